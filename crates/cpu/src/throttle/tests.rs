use std::cell::Cell;
use std::rc::Rc;

use super::*;
use crate::account::{AccountConfig, Accountant, CpuClock};
use plimsoll_core_types::{ManualClock, Priority, TaskClass, TenantId, Timestamp};
use tokio::task::{LocalSet, yield_now};

thread_local! {
    static TIME: Cell<u64> = const { Cell::new(0) };
}

/// CPU time that tests spend by saying so.
#[derive(Debug)]
struct Spent;

impl CpuClock for Spent {
    fn thread_time(&self) -> Duration {
        Duration::from_nanos(TIME.get())
    }
}

fn spend(millis: u64) {
    TIME.set(TIME.get() + millis * 1_000_000);
}

/// The runtime's own, paused time.
#[derive(Debug)]
struct Virtual(tokio::time::Instant);

impl Clock for Virtual {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }
}

fn meter(name: &str) -> Meter {
    let config = AccountConfig { most_interval: 1, ..AccountConfig::default() };
    let accountant = Accountant::with_clock(&config, std::sync::Arc::new(Spent));
    let tenant = TenantId::new(name).unwrap();
    accountant.meter(&TaskClass { model: None, tenant, priority: Priority::Normal })
}

fn throttle(millicores: u64) -> Throttle {
    let config = ThrottleConfig { rate: Millicores::new(millicores), ..ThrottleConfig::default() };
    let clock = Virtual(tokio::time::Instant::now());
    Throttle::new(&config, std::sync::Arc::new(clock)).unwrap()
}

/// Uses `millis` a poll, for ever.
async fn greedy(millis: u64, polls: Rc<Cell<u64>>) {
    loop {
        spend(millis);
        polls.set(polls.get() + 1);
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_class_gets_its_rate_and_no_more() {
    let class = throttle(500).class(1.0, meter("a")).unwrap();
    let polls = Rc::new(Cell::new(0));
    let run = class.throttle(greedy(1, Rc::clone(&polls)));
    assert!(tokio::time::timeout(Duration::from_secs(10), run).await.is_err());
    // 20 ms that were saved up, and 5 s.
    assert!((5000..=5041).contains(&polls.get()), "{}", polls.get());
}

#[tokio::test(start_paused = true)]
async fn what_is_idle_leaves_its_part_to_others_and_has_it_back_at_once() {
    let throttle = throttle(1000);
    let (busy, idle) = (throttle.class(1.0, meter("a")), throttle.class(9.0, meter("b")));
    let (busy, idle) = (busy.unwrap(), idle.unwrap());
    let polls = [(); 2].map(|()| Rc::new(Cell::new(0)));
    let first = busy.throttle(greedy(1, Rc::clone(&polls[0])));
    tokio::pin!(first);
    assert!(tokio::time::timeout(Duration::from_secs(5), &mut first).await.is_err());
    assert!(polls[0].get() > 4900, "{}", polls[0].get());
    let second = idle.throttle(greedy(1, Rc::clone(&polls[1])));
    let both = async { tokio::join!(first, second) };
    assert!(tokio::time::timeout(Duration::from_secs(5), both).await.is_err());
    assert!((4400..4600).contains(&polls[1].get()), "{}", polls[1].get());
}

#[tokio::test(start_paused = true)]
async fn no_task_of_a_class_is_passed_over() {
    let class = throttle(200).class(1.0, meter("a")).unwrap();
    let counts: Vec<_> = (0..50).map(|_| Rc::new(Cell::new(0))).collect();
    let tasks = LocalSet::new();
    for count in &counts {
        tasks.spawn_local(class.throttle(greedy(1, Rc::clone(count))));
    }
    let end = tokio::time::sleep(Duration::from_secs(20));
    tasks.run_until(end).await;
    let counts: Vec<u64> = counts.iter().map(|count| count.get()).collect();
    let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
    assert!(*least > 60 && most - least <= 20, "{counts:?}");
    assert_eq!(class.waiting(), 50);
    drop(tasks);
    assert_eq!(class.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_cancelled_in_front_wakes_the_next() {
    let class = throttle(1000).class(1.0, meter("a")).unwrap();
    class.charge(Duration::from_millis(520));
    let first = tokio::spawn(class.throttle(std::future::ready(1)));
    yield_now().await;
    let second = tokio::spawn(class.throttle(std::future::ready(2)));
    yield_now().await;
    assert_eq!(class.waiting(), 2);
    first.abort();
    // Half a second of debt is paid in half a second, by whoever is the first then.
    let answer = tokio::time::timeout(Duration::from_millis(600), second).await;
    assert_eq!(answer.unwrap().unwrap(), 2);
    assert_eq!(class.waiting(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_new_rate_holds_for_what_waits_already() {
    let throttle = throttle(0);
    let class = throttle.class(1.0, meter("a")).unwrap();
    class.charge(Duration::from_millis(120));
    assert_eq!(class.balance(), Duration::ZERO);
    assert!(class.check().is_err());
    let waiting = tokio::spawn(class.throttle(std::future::ready(())));
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(!waiting.is_finished());
    throttle.set_rate(Millicores::from_cores(1));
    assert!(tokio::time::timeout(Duration::from_millis(250), waiting).await.is_ok());
}

#[test]
fn classes_come_and_go_and_are_checked() {
    let config = ThrottleConfig { most_classes: 1, ..ThrottleConfig::default() };
    let clock = std::sync::Arc::new(ManualClock::new());
    let throttle = Throttle::new(&config, clock.clone()).unwrap();
    let class = throttle.class(1.0, meter("a")).unwrap();
    assert!(matches!(throttle.class(0.0, meter("b")), Err(ThrottleError::Weight { .. })));
    assert_eq!(
        throttle.class(1.0, meter("b")).unwrap_err(),
        ThrottleError::TooManyClasses { most: 1 }
    );
    drop(class);
    assert!(throttle.class(1.0, meter("b")).is_ok());
    let config = ThrottleConfig { burst: Duration::ZERO, ..ThrottleConfig::default() };
    assert_eq!(Throttle::new(&config, clock).unwrap_err(), ThrottleError::NoBurst);
}

#[test]
fn work_that_is_no_future_is_told_when_to_come_back() {
    let clock = std::sync::Arc::new(ManualClock::new());
    let throttle = Throttle::new(&ThrottleConfig::default(), clock.clone()).unwrap();
    let class = throttle.class(1.0, meter("a")).unwrap();
    assert!(class.check().is_ok());
    class.charge(Duration::from_millis(30));
    let wait = class.check().unwrap_err();
    assert!(wait > Duration::from_millis(10) && wait < Duration::from_millis(11), "{wait:?}");
    clock.advance(wait);
    assert!(class.check().is_ok());
}

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use plimsoll_core_types::{GiveUp, Priority, Ratio, ReclaimRequest};

use super::*;
use crate::reclaim::Outcome;

type Waiting = Pin<Box<dyn Future<Output = Result<Reservation, ReserveError>> + Send>>;

/// Begins to wait, and sees that there is something to wait for.
fn wait(budget: &Budget, ask: Ask) -> Waiting {
    let budget = budget.clone();
    let mut waiting: Waiting = Box::pin(async move { budget.reserve(ask).await });
    assert!(poll(&mut waiting).is_none(), "it has to wait");
    waiting
}

fn poll(waiting: &mut Waiting) -> Option<Result<Reservation, ReserveError>> {
    match waiting.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer),
        Poll::Pending => None,
    }
}

fn granted(waiting: &mut Waiting) -> Option<Reservation> {
    poll(waiting).map(|answer| answer.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_large_request_is_not_passed_by_small_ones() {
    let host = root(mib(100));
    let mut held = host.try_reserve(mib(60)).unwrap();
    let mut large = wait(&host, Ask::new(mib(80)));
    let refused = host.try_reserve(mib(1)).unwrap_err();
    assert_eq!(refused.cause(), Cause::Line);
    let mut small = wait(&host, Ask::new(mib(1)));
    held.shrink(mib(30));
    assert!(granted(&mut small).is_none() && granted(&mut large).is_none());
    held.shrink(mib(30));
    let large = granted(&mut large).unwrap();
    assert_eq!(large.bytes(), mib(80));
    assert_eq!(granted(&mut small).unwrap().bytes(), mib(1));
    drop((held, large));
    assert_whole(&host);
}

#[tokio::test(start_paused = true)]
async fn who_waits_blocks_nobody_who_does_not_need_that() {
    let host = root(mib(100));
    let a = host.child(name("a"), Allowance::bytes(mib(20))).unwrap();
    let b = host.child(name("b"), Allowance::default()).unwrap();
    let held = a.try_reserve(mib(20)).unwrap();
    let mut waiting = wait(&a, Ask::new(mib(10)));
    let beside = b.try_reserve(mib(80)).unwrap();
    drop(held);
    assert_eq!(granted(&mut waiting).unwrap().bytes(), mib(10));
    drop(beside);
    assert_whole(&host);
}

#[tokio::test(start_paused = true)]
async fn priority_goes_first_but_not_for_ever() {
    let config = BudgetConfig { bypass: 2, ..BudgetConfig::default() };
    let host = Budget::root(name("host"), mib(10), config).unwrap();
    let mut held = host.try_reserve(mib(10)).unwrap();
    let ask = |priority| Ask::new(mib(1)).priority(priority);
    let low = wait(&host, ask(Priority::Low));
    let high: Vec<_> = (0..4).map(|_| wait(&host, ask(Priority::High))).collect();
    let mut order = vec![low];
    order.extend(high);
    let mut served = Vec::new();
    let mut kept = Vec::new();
    for _ in 0..5 {
        held.shrink(mib(1));
        for (number, waiting) in order.iter_mut().enumerate() {
            if !served.contains(&number)
                && let Some(reservation) = granted(waiting)
            {
                served.push(number);
                kept.push(reservation);
            }
        }
    }
    assert_eq!(served, [1, 2, 0, 3, 4], "passed twice, and no more");
}

#[tokio::test(start_paused = true)]
async fn a_deadline_ends_the_wait_and_says_what_was_in_the_way() {
    let host = root(mib(10));
    let held = host.try_reserve(mib(8)).unwrap();
    let ask = Ask::new(mib(5)).within(Duration::from_secs(3));
    let error = host.reserve(ask).await.unwrap_err();
    let ReserveError::Late { waited, last, .. } = error else { panic!("{error}") };
    assert_eq!((waited, last.available()), (Duration::from_secs(3), mib(2)));
    let never = host.reserve(Ask::new(mib(11))).await.unwrap_err();
    assert!(matches!(never, ReserveError::NeverFits { limit, .. } if limit == mib(10)));
    drop(held);
    assert_whole(&host);
}

#[tokio::test(start_paused = true)]
async fn the_line_is_bounded() {
    let config = BudgetConfig { waiters: 2, ..BudgetConfig::default() };
    let host = Budget::root(name("host"), mib(10), config).unwrap();
    let _held = host.try_reserve(mib(10)).unwrap();
    let _waiting = [wait(&host, Ask::new(mib(1))), wait(&host, Ask::new(mib(1)))];
    let error = host.reserve(Ask::new(mib(1))).await.unwrap_err();
    assert_eq!(error, ReserveError::LineFull { waiting: 2 });
}

/// Cancels at each of the moments at which a waiter can be cancelled.
#[tokio::test(start_paused = true)]
async fn cancelled_waiters_lose_nothing() {
    let host = root(mib(10));
    for granted_first in [false, true] {
        let held = host.try_reserve(mib(10)).unwrap();
        let first = wait(&host, Ask::new(mib(10)));
        let mut second = wait(&host, Ask::new(mib(10)));
        if granted_first {
            drop(held);
            // It was granted, and never looked.
            drop(first);
        } else {
            drop(first);
            drop(held);
        }
        assert_eq!(granted(&mut second).unwrap().bytes(), mib(10));
        assert_whole(&host);
        assert_eq!(host.status().waiting, 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_guarantee_goes_before_the_line() {
    let host = root(mib(100));
    let sure = host.child(name("sure"), Allowance::default().guaranteed(mib(20))).unwrap();
    let other = host.child(name("other"), Allowance::default()).unwrap();
    let mut held = other.try_reserve(mib(100)).unwrap();
    let mut large = wait(&other, Ask::new(mib(90)).priority(Priority::Critical));
    let mut entitled = wait(&sure, Ask::new(mib(10)));
    held.shrink(mib(10));
    assert_eq!(granted(&mut entitled).unwrap().bytes(), mib(10));
    assert!(granted(&mut large).is_none());
}

/// What a reclaimer does when it is asked.
#[derive(Debug)]
enum Way {
    /// Frees what it holds.
    Frees,
    /// Says that it freed, and frees nothing.
    Lies,
    Hangs,
    Panics,
    /// Needs something itself before it can free.
    Reserves(Budget),
    /// Gives way to another task in the middle, so that somebody may come in between.
    Slowly,
}

#[derive(Debug)]
struct Cache {
    consumer: ConsumerId,
    priority: Priority,
    offers: Bytes,
    holds: Mutex<Option<Reservation>>,
    way: Way,
}

impl Cache {
    fn new(budget: &Budget, bytes: Bytes, priority: Priority, way: Way) -> Arc<Self> {
        let holds = Mutex::new(Some(budget.try_reserve(bytes).unwrap()));
        Arc::new(Self { consumer: budget.name(), priority, offers: bytes, holds, way })
    }

    fn free(&self, bytes: Bytes) -> Bytes {
        self.holds.lock().unwrap().as_mut().map_or(Bytes::ZERO, |held| held.shrink(bytes))
    }
}

#[async_trait::async_trait]
impl Reclaimer for Cache {
    fn consumer(&self) -> &ConsumerId {
        &self.consumer
    }

    fn priority(&self) -> Priority {
        self.priority
    }

    fn offer(&self) -> GiveUp {
        GiveUp {
            bytes: self.offers,
            cost: Duration::from_millis(1),
            need: Ratio::ZERO,
            return_cost: Duration::ZERO,
        }
    }

    async fn reclaim(&self, request: ReclaimRequest) -> Bytes {
        match &self.way {
            Way::Frees => self.free(request.bytes),
            Way::Lies => request.bytes,
            Way::Hangs => std::future::pending().await,
            Way::Panics => std::panic::resume_unwind(Box::new("told to panic")),
            Way::Reserves(budget) => {
                let ask = Ask::new(mib(1)).within(Duration::from_millis(200));
                let _scratch = budget.reserve(ask).await;
                self.free(request.bytes)
            }
            Way::Slowly => {
                let freed = self.free(request.bytes);
                tokio::time::sleep(Duration::from_millis(100)).await;
                freed
            }
        }
    }
}

/// Whoever freed enough ends its turn after the waiter has what it waited for.
async fn turns_end() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}

#[tokio::test(start_paused = true)]
async fn reclaimers_are_asked_lowest_priority_first_and_no_more_than_needed() {
    let host = root(mib(100));
    let child = |n: &str| host.child(name(n), Allowance::default()).unwrap();
    let (low, high, asker) = (child("low"), child("high"), child("asker"));
    let dear = Cache::new(&high, mib(50), Priority::High, Way::Frees);
    let cheap = Cache::new(&low, mib(50), Priority::Low, Way::Frees);
    let _registered =
        [high.register(Arc::clone(&dear) as _), low.register(Arc::clone(&cheap) as _)];
    let first = asker.reserve(Ask::new(mib(30))).await.unwrap();
    assert_eq!((low.status().held, high.status().held), (mib(20), mib(50)));
    let second = asker.reserve(Ask::new(mib(30))).await.unwrap();
    assert_eq!((low.status().held, high.status().held), (Bytes::ZERO, mib(40)));
    turns_end().await;
    let reports = host.reclaimers().reports();
    let freed: Vec<_> =
        reports.iter().map(|r| (r.consumer.to_string(), r.measured.get() >> 20)).collect();
    assert_eq!(freed, [("low".into(), 30), ("low".into(), 20), ("high".into(), 10)]);
    assert!(reports.iter().all(|report| report.outcome == Outcome::Freed), "{reports:?}");
    drop((first, second));
}

#[tokio::test(start_paused = true)]
async fn hooks_that_lie_hang_or_panic_are_contained_and_reported() {
    for (way, outcome) in [
        (Way::Lies, Outcome::Overstated),
        (Way::Hangs, Outcome::TimedOut),
        (Way::Panics, Outcome::Panicked),
    ] {
        let host = root(mib(100));
        let child = |n: &str| host.child(name(n), Allowance::default()).unwrap();
        let (bad, good, asker) = (child("bad"), child("good"), child("asker"));
        let bad_one = Cache::new(&bad, mib(60), Priority::Low, way);
        let good_one = Cache::new(&good, mib(40), Priority::Normal, Way::Frees);
        let _registered = [bad.register(bad_one), good.register(good_one)];
        let got = asker.reserve(Ask::new(mib(20)).within(Duration::from_secs(5))).await.unwrap();
        assert_eq!(got.bytes(), mib(20));
        turns_end().await;
        let reports = host.reclaimers().reports();
        assert_eq!(reports[0].outcome, outcome);
        assert_eq!((reports[0].consumer.as_str(), reports[0].measured), ("bad", Bytes::ZERO));
        assert_eq!(reports[1].outcome, Outcome::Freed);
        let trust = host.reclaimers().trust();
        assert!(trust[0].1.sits_out > 0 && trust[1].1.sits_out == 0, "{trust:?}");
    }
}

/// A reclaimer frees for one; somebody of a higher priority comes before that one can take it.
#[tokio::test(start_paused = true)]
async fn what_was_freed_for_one_is_not_taken_by_another() {
    let host = root(mib(100));
    let child = |n: &str| host.child(name(n), Allowance::default()).unwrap();
    let (cache, first, thief) = (child("cache"), child("first"), child("thief"));
    let holder = Cache::new(&cache, mib(50), Priority::Low, Way::Slowly);
    let _registered = cache.register(holder);
    let rest = host.try_reserve(mib(50)).unwrap();
    // It needs more than can be freed in one turn, so that the freed part lies there meanwhile.
    let asker = {
        let first = first.clone();
        tokio::spawn(async move { first.reserve(Ask::new(mib(60))).await })
    };
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(cache.status().held, Bytes::ZERO, "it has freed all it has");
    let urgent = Ask::new(mib(20)).priority(Priority::Critical).within(Duration::from_secs(1));
    let late = thief.reserve(urgent).await;
    assert!(matches!(late, Err(ReserveError::Late { .. })), "{late:?}");
    drop(rest);
    assert_eq!(asker.await.unwrap().unwrap().bytes(), mib(60));
    assert_whole(&host);
}

#[tokio::test(start_paused = true)]
async fn a_reclaimer_that_reserves_deadlocks_with_nobody() {
    let host = root(mib(100));
    let child = |n: &str| host.child(name(n), Allowance::default()).unwrap();
    let (cache, asker) = (child("cache"), child("asker"));
    let holder = Cache::new(&cache, mib(100), Priority::Low, Way::Reserves(cache.clone()));
    let _registered = cache.register(holder);
    let got = asker.reserve(Ask::new(mib(10)).within(Duration::from_secs(5))).await.unwrap();
    assert_eq!(got.bytes(), mib(10));
}

#[tokio::test(start_paused = true)]
async fn a_leaf_gives_its_stock_to_those_who_wait_at_its_next_step() {
    let host = root(mib(64));
    let (one, two) = (
        host.child(name("one"), Allowance::default()).unwrap(),
        host.child(name("two"), Allowance::default()).unwrap(),
    );
    let mut leaf = one.leaf();
    leaf.try_grow(Bytes::new(1)).unwrap();
    let stock = leaf.stock();
    assert!(!stock.is_zero());
    let all_but = mib(64).saturating_sub(stock);
    let mut waiting = wait(&two, Ask::new(all_but.saturating_add(Bytes::new(stock.get() / 2))));
    assert!(granted(&mut waiting).is_none());
    leaf.shrink(Bytes::new(1));
    assert_eq!(leaf.stock(), Bytes::ZERO);
    assert!(granted(&mut waiting).is_some());
}

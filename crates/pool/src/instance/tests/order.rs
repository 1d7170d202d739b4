//! Who goes first.

use super::*;

/// Asks with `ask`, and sends `name` when it is served; holds for a moment.
async fn asks(
    pool: &Pool<Objects>,
    ask: Ask,
    name: &'static str,
    tell: &tokio::sync::mpsc::UnboundedSender<&'static str>,
) {
    let (asking, tell) = (pool.clone(), tell.clone());
    let before = pool.status().waiting;
    tokio::spawn(async move {
        match asking.get_with(ask).await {
            Ok(held) => {
                let _ = tell.send(name);
                tokio::task::yield_now().await;
                drop(held);
            }
            Err(error) => assert!(matches!(error, GetError::WaitTimedOut { .. }), "{error}"),
        }
    });
    while pool.status().waiting == before {
        tokio::task::yield_now().await;
    }
}

async fn order(
    max_bypass: u32,
    line: &[(&'static str, Priority, Option<u64>)],
    after: Duration,
) -> Vec<&'static str> {
    let config = PoolConfig { max_bypass, ..PoolConfig::new(1) };
    let pool = Pool::new(Objects::default(), config).unwrap();
    let held = pool.get().await.unwrap();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for (name, priority, within) in line {
        let within = within.map(Duration::from_secs);
        asks(&pool, Ask { priority: *priority, within }, name, &tell).await;
    }
    drop(tell);
    tokio::time::advance(after).await;
    drop(held);
    let mut order = Vec::new();
    while let Some(name) = told.recv().await {
        order.push(name);
    }
    order
}

const LOW: Priority = Priority::Low;
const NORMAL: Priority = Priority::Normal;
const HIGH: Priority = Priority::High;

#[tokio::test(start_paused = true)]
async fn by_class_then_by_deadline_then_by_arrival() {
    let line = [
        ("low", LOW, None),
        ("first", NORMAL, None),
        ("patient", NORMAL, Some(90)),
        ("second", NORMAL, None),
        ("urgent", NORMAL, Some(10)),
        ("between", NORMAL, Some(50)),
        ("high", HIGH, None),
    ];
    assert_eq!(
        order(32, &line, Duration::ZERO).await,
        ["high", "urgent", "between", "patient", "first", "second", "low"]
    );
}

#[tokio::test(start_paused = true)]
async fn a_lower_class_ages_by_being_passed() {
    let mut line = vec![("low", LOW, None), ("lower", Priority::BestEffort, None)];
    line.extend([("high", HIGH, None); 6]);
    let order = order(2, &line, Duration::ZERO).await;
    assert_eq!(order, ["high", "high", "lower", "low", "high", "high", "high", "high"]);
}

#[tokio::test(start_paused = true)]
async fn those_whose_time_is_up_are_dropped_in_passing() {
    let line = [("late", NORMAL, Some(1)), ("later", HIGH, Some(2)), ("patient", NORMAL, Some(9))];
    // Their own timers have not run yet: the time is moved and the object returned at once.
    assert_eq!(order(32, &line, Duration::from_secs(5)).await, ["patient"]);
}

#[tokio::test]
async fn the_future_is_small() {
    let pool = pool(1);
    assert!(size_of_val(&pool.get()) <= 128, "{}", size_of_val(&pool.get()));
    assert_eq!(size_of::<Lent<Objects>>(), 16);
    const { assert!(super::core::SLOT_OVERHEAD <= 16) };
}

/// Jain's index of fairness and the longest run without a turn, in virtual time: 32 tasks of two
/// classes on four objects.
#[tokio::test(start_paused = true)]
async fn one_class_floods_and_the_other_is_served_its_part() {
    let config = PoolConfig { max_bypass: 4, ..PoolConfig::new(4) };
    let pool = Pool::new(Objects::default(), config).unwrap();
    let served: Arc<[AtomicUsize; 2]> = Arc::default();
    let tasks: Vec<_> = (0..32)
        .map(|task| {
            let (pool, served) = (pool.clone(), Arc::clone(&served));
            let (class, priority) = if task == 0 { (0, LOW) } else { (1, HIGH) };
            tokio::spawn(async move {
                loop {
                    let held = pool.get_as(priority).await.unwrap();
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    served[class].fetch_add(1, Ordering::Relaxed);
                    drop(held);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_mins(1)).await;
    for task in &tasks {
        task.abort();
    }
    let [low, high] = [&served[0], &served[1]].map(|count| count.load(Ordering::Relaxed));
    // Four objects serve 400 a second. Those that came before the low one go before it; of those
    // that came later, four do. So it gets about what each of the 31 others gets.
    assert!(low >= 60 * 10, "{low} of {}", low + high);
    assert!(low + high >= 60 * 395, "{}", low + high);
}

//! What a pool does by itself: making, replacing, retiring, measuring.

use plimsoll_core_types::{Ratio, Reason};

use super::*;
use crate::sizing::{ErlangC, Fixed};

const SECOND: Duration = Duration::from_secs(1);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn with(config: PoolConfig, manager: Objects) -> Pool<Objects> {
    Pool::builder(manager, config).seed(7).build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_first_is_taken_and_the_new_one_stays_for_the_next() {
    let pool = with(PoolConfig::new(2), Objects { takes: secs(10), ..Objects::default() });
    let first = pool.get().await.unwrap();
    let begun = Instant::now();
    let second = queued(&pool).await;
    assert_eq!(pool.status().creating, 1);
    drop(first);
    let second = second.await.unwrap().unwrap();
    assert_eq!((second.0, begun.elapsed()), (0, Duration::ZERO), "it did not wait for the new one");
    tokio::time::sleep(secs(11)).await;
    assert_eq!((pool.status().idle, pool.status().size), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn the_making_goes_on_when_who_asked_goes_away() {
    let pool = with(PoolConfig::new(1), Objects { takes: secs(10), ..Objects::default() });
    let gone = queued(&pool).await;
    gone.abort();
    tokio::time::sleep(secs(11)).await;
    assert_eq!((pool.status().idle, pool.status().counts.created), (1, 1));
    assert_eq!(pool.try_get().unwrap().0, 0);
}

#[tokio::test(start_paused = true)]
async fn single_flight_makes_one_at_a_time() {
    let config = PoolConfig { max_creating: 1, ..PoolConfig::new(8) };
    let pool = with(config, Objects { takes: secs(1), ..Objects::default() });
    let tasks = [queued(&pool).await, queued(&pool).await, queued(&pool).await];
    assert_eq!((pool.status().creating, pool.status().waiting), (1, 3));
    let begun = Instant::now();
    let mut held = Vec::new();
    for task in tasks {
        held.push(task.await.unwrap().unwrap());
    }
    assert_eq!(begun.elapsed().as_secs(), 3);
}

#[tokio::test(start_paused = true)]
async fn attempts_are_repeated_with_growing_pauses_and_the_last_error_is_told() {
    let retry = Retry { attempts: 4, first: SECOND, most: secs(3) };
    let pool = with(PoolConfig { retry, ..PoolConfig::new(1) }, Objects::default());
    pool.manager().fail.store(3, Ordering::SeqCst);
    let begun = Instant::now();
    drop(pool.get().await.unwrap());
    let waited = begun.elapsed();
    assert!(waited > Duration::ZERO && waited < secs(1 + 2 + 3), "{waited:?}");
    assert_eq!(pool.status().counts.create_failures, 3);

    pool.get().await.unwrap().discard();
    pool.manager().fail.store(4, Ordering::SeqCst);
    assert_eq!(pool.get().await.unwrap_err(), GetError::Create("no"));
    assert_eq!((pool.status().size, pool.status().creating), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn so_many_are_kept_idle_and_the_others_idle_out() {
    let config = PoolConfig { min_idle: 2, idle_for: Some(secs(10)), ..PoolConfig::new(6) };
    let pool = with(config, Objects::default());
    drop(pool.get().await.unwrap());
    tokio::time::sleep(secs(3)).await;
    assert_eq!(pool.status().idle, 2);
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(pool.get().await.unwrap());
    }
    tokio::time::sleep(secs(3)).await;
    assert_eq!((pool.status().size, pool.status().idle), (6, 1), "no room for a second idle one");
    held.clear();
    tokio::time::sleep(secs(9)).await;
    assert_eq!(pool.status().idle, 6);
    tokio::time::sleep(secs(4)).await;
    assert_eq!((pool.status().idle, pool.status().counts.idled_out), (2, 4));
    assert_eq!(pool.manager().alive.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn an_old_object_is_replaced_before_it_is_retired() {
    let config =
        PoolConfig { lifetime: Some(secs(60)), lifetime_jitter: Ratio::ZERO, ..PoolConfig::new(2) };
    let pool = with(config, Objects { takes: secs(5), ..Objects::default() });
    drop(pool.get().await.unwrap());
    // The old one is there until the new one is.
    tokio::time::sleep(secs(62)).await;
    assert_eq!((pool.status().idle, pool.status().creating), (1, 1));
    tokio::time::sleep(secs(5)).await;
    assert_eq!((pool.status().idle, pool.status().size), (1, 1));
    assert_eq!(pool.get().await.unwrap().0, 1);
    assert_eq!(pool.status().counts.too_old, 1);

    // One that is out at its end is retired when it comes back; its replacement is ready.
    let held = pool.get().await.unwrap();
    tokio::time::sleep(secs(75)).await;
    assert_eq!((pool.status().idle, pool.status().size), (1, 2));
    drop(held);
    assert_eq!((pool.status().idle, pool.status().size), (1, 1));
    assert_eq!(pool.get().await.unwrap().0, 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_retires_first_unless_it_may_surge() {
    for (surge, most_alive) in [(0, 1), (1, 2)] {
        let config = PoolConfig {
            lifetime: Some(secs(60)),
            lifetime_jitter: Ratio::ZERO,
            surge,
            ..PoolConfig::new(1)
        };
        let pool = with(config, Objects { takes: secs(5), ..Objects::default() });
        drop(pool.get().await.unwrap());
        tokio::time::sleep(secs(63)).await;
        assert_eq!(pool.status().idle, surge, "the old one is still there where it may be");
        tokio::time::sleep(secs(10)).await;
        let made = pool.manager().made.load(Ordering::SeqCst);
        let most = pool.manager().most_alive.load(Ordering::SeqCst);
        assert_eq!((pool.status().idle, made, most), (1, 2, most_alive));
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_made_together_does_not_end_together() {
    let config = PoolConfig {
        lifetime: Some(secs(1000)),
        lifetime_jitter: Ratio::saturating(0.5),
        min_idle: 50,
        ..PoolConfig::new(100)
    };
    let pool = with(config, Objects::default());
    let _ = pool.get().await.unwrap();
    let mut ends = Vec::new();
    for _ in 0..110 {
        let before = pool.status().counts.too_old;
        tokio::time::sleep(secs(10)).await;
        ends.push(pool.status().counts.too_old - before);
    }
    assert!(ends.iter().sum::<u64>() >= 50);
    assert!(ends.iter().all(|ended| *ended <= 8), "no wave: {ends:?}");
    assert_eq!(ends[..45].iter().sum::<u64>(), 0, "none ends before half of its life");
}

#[tokio::test(start_paused = true)]
async fn an_old_object_stays_where_none_can_be_made_in_its_place() {
    let config = PoolConfig { lifetime: Some(secs(60)), ..PoolConfig::new(2) };
    let pool = with(config, Objects::default());
    drop(pool.get().await.unwrap());
    pool.manager().fail.store(usize::MAX, Ordering::SeqCst);
    tokio::time::sleep(secs(100)).await;
    assert_eq!(pool.get().await.unwrap().0, 0);
    pool.manager().fail.store(0, Ordering::SeqCst);
    tokio::time::sleep(secs(3)).await;
    assert_eq!(pool.status().size, 1);
    assert_ne!(pool.get().await.unwrap().0, 0);
}

#[tokio::test(start_paused = true)]
async fn closing_drains() {
    let pool = with(PoolConfig::new(3), Objects::default());
    let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(pool.get().await.unwrap());
    pool.close();
    let drained = tokio::spawn({
        let pool = pool.clone();
        async move { pool.drained().await }
    });
    tokio::time::sleep(SECOND).await;
    drop(one);
    tokio::time::sleep(SECOND).await;
    assert!(!drained.is_finished());
    drop(two);
    drained.await.unwrap();
    assert_eq!(pool.manager().alive.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn loans_outlive_the_last_handle_and_nothing_leaks() {
    let manager = Objects::default();
    let alive = Arc::clone(&manager.alive);
    let pool = Pool::new(manager, PoolConfig::new(3)).unwrap();
    let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(pool.get().await.unwrap());
    assert_eq!(alive.load(Ordering::SeqCst), 3);
    drop(pool);
    assert_eq!(alive.load(Ordering::SeqCst), 2, "what was idle has gone");
    assert_eq!(one.0 + two.0, 1);
    drop(one);
    let last = two.detach();
    assert_eq!(alive.load(Ordering::SeqCst), 1);
    drop(last);
    assert_eq!(Arc::strong_count(&alive), 1, "the manager has gone with the pool");
}

#[tokio::test(start_paused = true)]
async fn metrics_count_waits_that_timed_out_and_holds_by_littles_law() {
    let config = PoolConfig { idle_for: Some(secs(3600)), ..PoolConfig::new(2) };
    let pool = with(config, Objects { takes: SECOND, ..Objects::default() });
    let tasks: Vec<_> = (0..2)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move {
                for _ in 0..10 {
                    let held = pool.get().await.unwrap();
                    tokio::time::sleep(secs(10)).await;
                    drop(held);
                }
            })
        })
        .collect();
    tokio::time::sleep(secs(5)).await;
    let ask = Ask { within: Some(secs(2)), ..Ask::default() };
    for _ in 0..3 {
        assert_eq!(
            pool.get_with(ask).await.unwrap_err(),
            GetError::WaitTimedOut { within: secs(2) }
        );
    }
    for task in tasks {
        task.await.unwrap();
    }
    let metrics = pool.measure();
    assert_eq!((metrics.timed_out, metrics.served, metrics.arrivals), (3, 20, 23));
    let hold = metrics.mean_hold.as_secs_f64();
    assert!((hold - 10.0).abs() < 0.6, "{hold}");
    assert!(metrics.utilization.get() > 0.95, "{}", metrics.utilization);
    assert_eq!(metrics.mean_create, SECOND);
    assert!(pool.waits().quantile(1.0) >= secs(2), "those that timed out are in it");
    assert_eq!(pool.waits().count(), 5);
    tokio::time::advance(SECOND).await;
    let quiet = pool.measure();
    assert_eq!((quiet.arrivals, quiet.timed_out, quiet.mean_hold), (0, 0, Duration::ZERO));
    assert_eq!(quiet.mean_create, SECOND, "what is known of creation outlasts a window");
}

#[tokio::test(start_paused = true)]
async fn the_size_follows_its_policy() {
    let pool =
        Pool::builder(Objects::default(), PoolConfig::new(2)).sizing(Fixed(5)).build().unwrap();
    tokio::time::advance(SECOND).await;
    let change = pool.optimize(&pool.measure()).unwrap();
    assert_eq!((change.from, change.to, pool.status().max), (2, 5, 5));
    pool.close();
    tokio::time::advance(SECOND).await;
    assert!(pool.optimize(&pool.measure()).is_err());

    // Eight at a time for 100 ms each, 40 a second: four busy on average. By itself.
    let policy = ErlangC { wait: Duration::from_millis(50), ..ErlangC::default() };
    let pool =
        Pool::builder(Objects::default(), PoolConfig::new(1)).sizing(policy).build().unwrap();
    for _ in 0..60 * 40 {
        let pool = pool.clone();
        tokio::spawn(async move {
            let held = pool.get().await.unwrap();
            tokio::time::sleep(Duration::from_millis(100)).await;
            drop(held);
        });
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    let max = pool.status().max;
    assert!((6..=14).contains(&max), "{max}");
}

#[tokio::test(start_paused = true)]
async fn a_size_whose_holds_nobody_saw_stays() {
    let pool = Pool::builder(Objects::default(), PoolConfig::new(8))
        .sizing(ErlangC::default())
        .build()
        .unwrap();
    for _ in 0..100 {
        let held = pool.get().await.unwrap();
        tokio::time::advance(Duration::from_millis(5)).await;
        drop(held);
    }
    // No round of upkeep has looked while one was out, and none is out now.
    let metrics = pool.measure();
    assert_eq!((metrics.served, metrics.mean_hold), (100, Duration::ZERO));
    let change = pool.optimize(&metrics).unwrap();
    assert_eq!((change.from, change.to, pool.status().max), (8, 8, 8));
    assert_eq!(change.reason, Reason::TooFewSamples { seen: 0, needed: 1 });
}

#[tokio::test]
async fn object_after_object_that_fails_its_check_ends_the_request() {
    let config = PoolConfig { recycle_attempts: 3, ..PoolConfig::new(5) };
    let pool = with(config, Objects::default());
    let mut held = Vec::new();
    for _ in 0..5 {
        held.push(pool.get().await.unwrap());
    }
    held.clear();
    pool.manager().unfit.store(usize::MAX, Ordering::SeqCst);
    assert_eq!(pool.get().await.unwrap_err(), GetError::Recycle { tried: 3, last: "unfit" });
    assert_eq!(pool.status().size, 2);
    // Two more are tried, then a new one is made, which needs no check.
    assert_eq!(pool.get().await.unwrap().0, 5);
}

#[tokio::test]
async fn keys_have_pools_of_their_own_up_to_a_limit() {
    let config = KeyedConfig { max_keys: 2, ..KeyedConfig::new(PoolConfig::new(1)) };
    let pools = KeyedPool::new(config, |_: &u32| Objects::default());
    let one = pools.get(&1).await.unwrap();
    drop(pools.get(&2).await.unwrap());
    assert_eq!(one.0, 0);
    // The second has nothing out: it makes way.
    let three = pools.get(&3).await.unwrap();
    let mut keys = pools.keys();
    keys.sort_unstable();
    assert_eq!(keys, [1, 3]);
    assert!(matches!(pools.get(&4).await, Err(KeyedError::TooManyKeys { keys: 2 })));
    drop(one);
    drop(pools.get(&4).await.unwrap());
    pools.close();
    drop(three);
    assert!(pools.keys().is_empty());
}

#[test]
fn bad_configs_name_their_field() {
    let check = |config: PoolConfig, expected: &str| {
        let error = Pool::new(Objects::default(), config).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let good = PoolConfig::new(4);
    check(PoolConfig::new(0), "size is 0; it must be at least 1");
    check(PoolConfig::new(1 << 20), "size 1048576 and surge 0 are more than 1048574 together");
    check(PoolConfig { min_idle: 5, ..good }, "min_idle 5 is more than size 4");
    check(PoolConfig { max_creating: 0, ..good }, "max_creating is 0; it must be above 0");
    check(
        PoolConfig { upkeep_every: Duration::ZERO, ..good },
        "upkeep_every is 0; it must be above 0",
    );
    check(PoolConfig { recycle_attempts: 0, ..good }, "recycle_attempts is 0; it must be above 0");
    let retry = Retry { attempts: 0, ..Retry::default() };
    check(PoolConfig { retry, ..good }, "retry.attempts is 0; it must be above 0");
}

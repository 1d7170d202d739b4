//! Erlang's formula against simulation, and the pool against both, in virtual time.

use std::collections::BinaryHeap;
use std::convert::Infallible;
use std::time::Duration;

use plimsoll_pool::sizing::wait_probability;
use plimsoll_pool::{Manager, Pool, PoolConfig};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

/// An exponential time of mean one.
fn chance(rng: &mut StdRng) -> f64 {
    -(1.0 - rng.random::<f64>()).ln()
}

/// How long each of `customers` waits at `servers` that serve in order of arrival, with a mean
/// service of one.
fn waits(servers: usize, rate: f64, customers: usize, rng: &mut StdRng) -> Vec<f64> {
    // Negated, so that the earliest is on top.
    let mut free: BinaryHeap<i64> = vec![0; servers].into();
    let mut now = 0.0;
    let mut waits = Vec::with_capacity(customers);
    for _ in 0..customers {
        now += chance(rng) / rate;
        let earliest = -free.pop().unwrap() as f64 / 1e9;
        let begins = now.max(earliest);
        free.push(-((begins + chance(rng)) * 1e9) as i64);
        waits.push(begins - now);
    }
    waits
}

#[test]
fn erlangs_formula_agrees_with_simulation() {
    let seed = plimsoll_testkit::seed("erlangs_formula_agrees_with_simulation", 11);
    let mut rng = StdRng::seed_from_u64(seed);
    let customers = plimsoll_testkit::scale(200_000);
    for (servers, rate) in [(1, 0.5), (2, 1.2), (5, 4.0), (20, 17.0)] {
        let waits = waits(servers, rate, customers, &mut rng);
        for limit in [0.0, 0.5, 1.0] {
            let longer = waits.iter().filter(|wait| **wait > limit).count() as f64;
            let (got, limit) = (longer / customers as f64, Duration::from_secs_f64(limit));
            let expected = wait_probability(servers, rate, Duration::from_secs(1), limit);
            assert!(
                (got - expected).abs() < 0.03,
                "{servers} at {rate}, {limit:?}: {got}, the formula says {expected}"
            );
        }
    }
}

struct Numbers;

impl Manager for Numbers {
    type Object = ();
    type Error = Infallible;

    async fn create(&self) -> Result<(), Infallible> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_pool_makes_requests_wait_as_erlang_says() {
    let seed = plimsoll_testkit::seed("the_pool_makes_requests_wait_as_erlang_says", 5);
    let mut rng = StdRng::seed_from_u64(seed);
    let (servers, rate, customers) = (4, 3.0, plimsoll_testkit::scale(10_000));
    let pool = Pool::new(Numbers, PoolConfig::new(servers)).unwrap();
    let mut tasks = Vec::new();
    for _ in 0..customers {
        tokio::time::sleep(Duration::from_secs_f64(chance(&mut rng) / rate)).await;
        let (pool, holds) = (pool.clone(), Duration::from_secs_f64(chance(&mut rng)));
        tasks.push(tokio::spawn(async move {
            let begun = tokio::time::Instant::now();
            let lent = pool.get().await.unwrap();
            let waited = begun.elapsed();
            tokio::time::sleep(holds).await;
            drop(lent);
            waited
        }));
    }
    let mut longer = 0;
    for task in tasks {
        longer += u32::from(task.await.unwrap() > Duration::from_millis(500));
    }
    let got = f64::from(longer) / customers as f64;
    let half = Duration::from_millis(500);
    let expected = wait_probability(servers, rate, Duration::from_secs(1), half);
    assert!((got - expected).abs() < 0.06, "{got}, the formula says {expected}");
    let metrics = pool.measure();
    assert_eq!(metrics.arrivals, customers as u64);
}

//! Storms of cancels and panics: nothing is lost, and nothing is promised past the limit.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_core_types::{
    Bytes, ConsumerId, Millicores, Priority, ResourcePool, ResourceRequest, ResourceVector,
    SystemClock,
};
use plimsoll_pool::{GetError, LedgerConfig, LedgerPool, Manager, Pool, PoolConfig};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

const LIMIT: u64 = 64;

fn amount(slots: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::new(slots)).with_cpu(Millicores::new(slots))
}

/// What the tasks of the storm believe to hold together.
#[derive(Debug, Default)]
struct Held(AtomicU64);

struct Holds<'a>(&'a Held, u64);

impl Held {
    fn add(&self, amount: u64) -> Holds<'_> {
        let now = self.0.fetch_add(amount, Ordering::SeqCst) + amount;
        assert!(now <= LIMIT, "{now} of {LIMIT} are out");
        Holds(self, amount)
    }
}

impl Drop for Holds<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(self.1, Ordering::SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancels_and_panics_lose_nothing() {
    let seed = plimsoll_testkit::seed("cancels_and_panics_lose_nothing", 7);
    let rounds = plimsoll_testkit::scale(2_000);
    let clock = Arc::new(SystemClock::new());
    let pool = Arc::new(LedgerPool::new(amount(LIMIT), LedgerConfig::default(), clock).unwrap());
    let held = Arc::new(Held::default());
    let tasks: Vec<_> = (0..64_u64)
        .map(|index| {
            let (pool, held) = (Arc::clone(&pool), Arc::clone(&held));
            tokio::spawn(storm(pool, held, StdRng::seed_from_u64(seed ^ index), rounds))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let status = pool.monitor();
    assert_eq!(status.available, status.limit);
    assert_eq!(status.waiters.len(), 0);
    assert!(status.granted > 0 && status.cancelled > 0, "{status:?}");
}

async fn storm(pool: Arc<LedgerPool>, held: Arc<Held>, mut rng: StdRng, rounds: usize) {
    for _ in 0..rounds {
        let wanted = rng.random_range(1..24);
        let request = ResourceRequest::new(ConsumerId::new("storm").unwrap(), amount(wanted))
            .unwrap()
            .with_priority(Priority::ALL[rng.random_range(0..5)]);
        let (pool, held) = (Arc::clone(&pool), Arc::clone(&held));
        let (polls, panics) = (rng.random_range(0..6), rng.random_bool(0.1));
        let work = async move {
            let mut lease = pool.allocate(request).await.unwrap();
            let holds = held.add(wanted);
            tokio::task::yield_now().await;
            // What is given back is counted out before the pool can hand it on.
            drop(holds);
            if wanted > 1 {
                lease.resize(amount(wanted - 1)).unwrap();
            }
            let holds = held.add(wanted.saturating_sub(1).max(1));
            tokio::task::yield_now().await;
            drop(holds);
            if panics {
                std::panic::resume_unwind(Box::new("with a lease in hand"));
            }
        };
        if panics {
            assert!(tokio::spawn(work).await.unwrap_err().is_panic());
        } else {
            give_up_after(polls, work).await;
        }
    }
}

/// Polls `work` at most `polls` times, then drops it.
async fn give_up_after(polls: usize, work: impl Future<Output = ()>) {
    let mut work = std::pin::pin!(work);
    let mut left = polls;
    std::future::poll_fn(|context| {
        if left == 0 {
            return std::task::Poll::Ready(());
        }
        left -= 1;
        let polled = work.as_mut().poll(context);
        context.waker().wake_by_ref();
        polled
    })
    .await;
}

/// Makes objects that count themselves; each thousandth attempt fails, each other one panics.
#[derive(Debug, Default)]
struct Objects {
    alive: Arc<AtomicU64>,
    attempts: AtomicU64,
}

struct Object(Arc<AtomicU64>);

impl Drop for Object {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Manager for Objects {
    type Object = Object;
    type Error = &'static str;

    async fn create(&self) -> Result<Object, &'static str> {
        let attempt = self.attempts.fetch_add(1, Ordering::SeqCst);
        if attempt % 2000 == 999 {
            std::panic::resume_unwind(Box::new("create"));
        }
        if attempt % 2000 == 1999 {
            return Err("no");
        }
        let alive = self.alive.fetch_add(1, Ordering::SeqCst) + 1;
        assert!(alive <= OBJECTS as u64, "{alive} exist");
        Ok(Object(Arc::clone(&self.alive)))
    }
}

const OBJECTS: usize = 16;

/// A million requests that are given up, ten million in all with `PLIMSOLL_SCALE=10`, and one
/// panic with an object in hand for each hundred of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_million_cancels_and_ten_thousand_panics_lose_no_object() {
    let seed = plimsoll_testkit::seed("a_million_cancels", 3);
    let cancels = plimsoll_testkit::scale(1_000_000);
    let pool = Pool::new(Objects::default(), PoolConfig::new(OBJECTS)).unwrap();
    let tasks: Vec<_> = (0..32_u64)
        .map(|task| {
            let rng = StdRng::seed_from_u64(seed ^ task);
            tokio::spawn(cancels_and_panics(pool.clone(), rng, cancels / 32))
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    // What is still being made comes to rest.
    while pool.status().creating > 0 {
        tokio::task::yield_now().await;
    }
    let status = pool.status();
    assert_eq!((status.waiting, status.in_use()), (0, 0), "{status:?}");
    assert!(status.counts.gave_up > 0 && status.counts.created > OBJECTS as u64, "{status:?}");
    assert_eq!(pool.manager().alive.load(Ordering::SeqCst), status.size as u64);
    // Nothing lost: all of them can be had. Nothing extra: not one more.
    let mut held = Vec::new();
    while held.len() < OBJECTS {
        match pool.get().await {
            Ok(lent) => held.push(lent),
            Err(GetError::Create(_) | GetError::CreateBroken) => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(pool.try_get().is_none());
    drop(held);
    pool.close();
    pool.drained().await;
    assert_eq!(pool.manager().alive.load(Ordering::SeqCst), 0);
}

async fn cancels_and_panics(pool: Pool<Objects>, mut rng: StdRng, cancels: usize) {
    let mut held = Vec::new();
    for round in 0..cancels {
        // Given up before the first look, after it, or with the object in hand.
        let polls = round % 3;
        let asking = async { drop(pool.get_as(Priority::ALL[round % 5]).await) };
        give_up_after(polls, asking).await;
        if round % 100 == 0
            && let Ok(lent) = pool.get().await
        {
            let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let _lent = lent;
                std::panic::resume_unwind(Box::new("with an object in hand"));
            }));
            assert!(panicked.is_err());
        }
        match rng.random_range(0..16) {
            0 => held.extend(pool.try_get()),
            1 => held.clear(),
            2 => held.drain(..).for_each(plimsoll_pool::Lent::discard),
            3 => tokio::task::yield_now().await,
            _ => {}
        }
        if held.len() > 1 || round % 100 == 99 {
            held.clear();
        }
    }
}

//! What a pool must never do, and what it must do in the end.

mod care;
mod hooks;
mod order;
mod peers;
mod retiring;
mod storm;

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use plimsoll_core_types::Priority;

use super::*;

/// Counts what exists; fails, panics or hangs on demand.
#[derive(Debug, Default)]
struct Objects {
    made: AtomicUsize,
    alive: Arc<AtomicUsize>,
    most_alive: AtomicUsize,
    /// Makes the next so many attempts fail.
    fail: AtomicUsize,
    panic: AtomicUsize,
    hang: bool,
    /// How long one takes to make; in virtual time.
    takes: Duration,
    unfit: AtomicUsize,
    /// Makes the next so many checks panic.
    recycle_panic: AtomicUsize,
    recycle_hang: bool,
}

#[derive(Debug)]
struct Object(usize, Arc<AtomicUsize>);

impl Drop for Object {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

fn once(counter: &AtomicUsize) -> bool {
    counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Manager for Objects {
    type Object = Object;
    type Error = &'static str;

    async fn create(&self) -> Result<Object, &'static str> {
        tokio::task::yield_now().await;
        if !self.takes.is_zero() {
            tokio::time::sleep(self.takes).await;
        }
        if self.hang {
            std::future::pending::<Infallible>().await;
        }
        if once(&self.panic) {
            std::panic::resume_unwind(Box::new("create"));
        }
        if once(&self.fail) {
            return Err("no");
        }
        let alive = self.alive.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_alive.fetch_max(alive, Ordering::SeqCst);
        Ok(Object(self.made.fetch_add(1, Ordering::SeqCst), Arc::clone(&self.alive)))
    }

    async fn recycle(&self, _: &mut Object) -> Result<(), &'static str> {
        if self.recycle_hang {
            std::future::pending::<Infallible>().await;
        }
        if once(&self.recycle_panic) {
            std::panic::resume_unwind(Box::new("recycle"));
        }
        if once(&self.unfit) { Err("unfit") } else { Ok(()) }
    }
}

fn pool(size: usize) -> Pool<Objects> {
    Pool::new(Objects::default(), PoolConfig::new(size)).unwrap()
}

async fn queued(
    pool: &Pool<Objects>,
) -> tokio::task::JoinHandle<Result<Lent<Objects>, GetError<&'static str>>> {
    let before = pool.status().waiting;
    let asking = pool.clone();
    let task = tokio::spawn(async move { asking.get().await });
    while pool.status().waiting == before {
        tokio::task::yield_now().await;
    }
    task
}

#[tokio::test]
async fn the_last_to_come_back_is_lent_first() {
    let pool = pool(3);
    let (one, two) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(one);
    let second = two.0;
    drop(two);
    assert_eq!(pool.get().await.unwrap().0, second);
    assert_eq!(pool.status().counts.hits, 1);
    assert_eq!(pool.manager().made.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn nobody_barges() {
    let pool = pool(1);
    let held = pool.get().await.unwrap();
    let waiting = queued(&pool).await;
    drop(held);
    // The object is its already, though it has not been polled yet.
    assert_eq!(pool.status().idle, 0);
    let second = queued(&pool).await;
    drop(waiting.await.unwrap().unwrap());
    drop(second.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_shrink_before_anything_was_made_holds() {
    let pool = pool(10);
    pool.resize(3);
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap(), pool.get().await.unwrap()];
    let fourth = queued(&pool).await;
    assert_eq!(pool.status().size, 3);
    drop(held);
    drop(fourth.await.unwrap().unwrap());
}

#[tokio::test]
async fn a_shrink_and_growth_while_all_are_out_never_passes_the_line() {
    let pool = pool(10);
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(pool.get().await.unwrap());
    }
    pool.resize(3);
    assert_eq!(pool.status().size, 10, "what is lent stays lent");
    pool.resize(10);
    let waiting = queued(&pool).await;
    held.clear();
    drop(waiting.await.unwrap());
    for _ in 0..10 {
        held.push(pool.get().await.unwrap());
    }
    assert_eq!(pool.status().size, 10);
    assert_eq!(pool.manager().most_alive.load(Ordering::SeqCst), 10);
    pool.resize(3);
    held.clear();
    assert_eq!((pool.status().size, pool.status().idle), (3, 3));
    assert_eq!(pool.manager().alive.load(Ordering::SeqCst), 3);
}

#[tokio::test]
async fn growth_serves_those_who_wait() {
    let pool = pool(1);
    let _held = pool.get().await.unwrap();
    let (one, two) = (queued(&pool).await, queued(&pool).await);
    pool.resize(3);
    let _both = (one.await.unwrap().unwrap(), two.await.unwrap().unwrap());
    assert_eq!(pool.status().size, 3);
}

#[tokio::test]
async fn failures_and_panics_of_the_manager_lose_no_place() {
    let pool = pool(2);
    for _ in 0..20 {
        pool.manager().fail.store(1, Ordering::SeqCst);
        assert_eq!(pool.get().await.unwrap_err(), GetError::Create("no"));
        pool.manager().panic.store(1, Ordering::SeqCst);
        assert_eq!(pool.get().await.unwrap_err(), GetError::CreateBroken);
    }
    assert_eq!(pool.status().size, 0);
    assert_eq!(pool.status().counts.create_failures, 40);
    let _both = (pool.get().await.unwrap(), pool.get().await.unwrap());
}

#[tokio::test]
async fn a_failure_passes_the_right_on_to_who_waits() {
    let pool = pool(1);
    pool.manager().fail.store(1, Ordering::SeqCst);
    let asking = pool.clone();
    let first = tokio::spawn(async move { asking.get().await.map(drop) });
    tokio::task::yield_now().await;
    let second = pool.get().await;
    assert_eq!(first.await.unwrap(), Err(GetError::Create("no")));
    assert!(second.is_ok());
}

#[tokio::test]
async fn unfit_objects_are_replaced() {
    let pool = pool(1);
    drop(pool.get().await.unwrap());
    pool.manager().unfit.store(1, Ordering::SeqCst);
    let lent = pool.get().await.unwrap();
    assert_eq!(lent.0, 1);
    lent.discard();
    assert_eq!(pool.status().size, 0);
    let taken = pool.get().await.unwrap().detach();
    assert_eq!((taken.0, pool.status().size), (2, 0));
    let counts = pool.status().counts;
    assert_eq!((counts.unfit, counts.taken_out), (2, 1), "one by its check, one discarded");
}

#[tokio::test(start_paused = true)]
async fn timeouts_are_told_apart() {
    let within = Duration::from_secs(3);
    let config = PoolConfig { wait_within: Some(within), ..PoolConfig::new(1) };
    let pool = Pool::new(Objects::default(), config).unwrap();
    let held = pool.get().await.unwrap();
    assert_eq!(pool.get().await.unwrap_err(), GetError::WaitTimedOut { within });
    assert_eq!(pool.status().counts.gave_up, 1);
    drop(held);
    assert_eq!(pool.status().idle, 1);

    let config = PoolConfig { create_within: Some(within), ..PoolConfig::new(1) };
    let pool = Pool::new(Objects { hang: true, ..Objects::default() }, config).unwrap();
    assert_eq!(pool.get().await.unwrap_err(), GetError::CreateTimedOut { within });
    assert_eq!(pool.status().size, 0);

    let config =
        PoolConfig { recycle_within: Some(within), recycle_attempts: 1, ..PoolConfig::new(1) };
    let pool = Pool::new(Objects { recycle_hang: true, ..Objects::default() }, config).unwrap();
    drop(pool.get().await.unwrap());
    let error = pool.get().await.unwrap_err();
    assert_eq!(error, GetError::RecycleTimedOut { tried: 1, within });
    assert_eq!(pool.status().size, 0);
}

#[tokio::test]
async fn closing_ends_waits_and_retires_what_comes_back() {
    let pool = pool(2);
    let (held, idle) = (pool.get().await.unwrap(), pool.get().await.unwrap());
    drop(idle);
    let other = pool.get().await.unwrap();
    let waiting = queued(&pool).await;
    pool.close();
    assert_eq!(waiting.await.unwrap().unwrap_err(), GetError::Closed);
    assert_eq!(pool.get().await.unwrap_err(), GetError::Closed);
    drop((held, other));
    assert_eq!(pool.manager().alive.load(Ordering::SeqCst), 0);
    assert_eq!(pool.status().size, 0);
}

#[tokio::test]
async fn the_line_has_an_end() {
    let config = PoolConfig { max_waiting: 1, ..PoolConfig::new(1) };
    let pool = Pool::new(Objects::default(), config).unwrap();
    let _held = pool.get().await.unwrap();
    let _waiting = queued(&pool).await;
    assert_eq!(pool.get().await.unwrap_err(), GetError::LineFull { waiting: 1 });
    assert!(Pool::new(Objects::default(), PoolConfig::new(0)).is_err());
}

#[tokio::test]
async fn a_task_that_only_gets_and_drops_lets_others_run() {
    let pool = pool(1);
    let greedy = pool.clone();
    let task = tokio::spawn(async move {
        loop {
            drop(greedy.get().await.unwrap());
        }
    });
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
}

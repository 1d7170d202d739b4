//! The pools that are compared, each as its documentation says to use it.
#![expect(deprecated, reason = "fastpool has been renamed; it is compared under its known name")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use crossbeam_queue::ArrayQueue;
use plimsoll_pool::{Hooks, Lent, Manager, Pool, PoolConfig};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::Peer;

/// Makes what is lent: a number, at no cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers;

impl Manager for Numbers {
    type Object = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }
}

/// Our pool.
pub type Own = Pool<Numbers>;

/// Our pool with everything on: hooks, metrics, lifetimes, idle times, time limits.
#[derive(Clone, Debug)]
pub struct OwnFull(pub Own);

struct Mark;

impl Hooks<u64> for Mark {
    fn on_checkout(&self, object: &mut u64) {
        *object = object.wrapping_add(1);
    }

    fn on_return(&self, object: &mut u64) {
        *object = object.wrapping_sub(1);
    }
}

/// Our pool of `size`.
///
/// # Panics
///
/// When `size` is zero.
pub fn own(size: usize) -> Own {
    Pool::new(Numbers, PoolConfig::new(size)).expect("a size")
}

/// Our pool of `size` with everything on.
///
/// # Panics
///
/// When `size` is zero.
pub fn own_full(size: usize) -> Own {
    let config = PoolConfig {
        lifetime: Some(Duration::from_hours(1)),
        idle_for: Some(Duration::from_mins(10)),
        wait_within: Some(Duration::from_secs(30)),
        create_within: Some(Duration::from_secs(30)),
        recycle_within: Some(Duration::from_secs(30)),
        ..PoolConfig::new(size)
    };
    Pool::builder(Numbers, config).hooks(Mark).build().expect("a size")
}

impl Peer for Own {
    type Guard<'a> = Lent<Numbers>;
    const NAME: &'static str = plimsoll_bench::OWN;

    fn new(size: usize) -> Self {
        own(size)
    }

    async fn get(&self) -> Self::Guard<'_> {
        Self::get(self).await.expect("numbers never fail")
    }
}

impl Peer for OwnFull {
    type Guard<'a> = Lent<Numbers>;
    const NAME: &'static str = plimsoll_bench::OWN;

    fn new(size: usize) -> Self {
        Self(own_full(size))
    }

    async fn get(&self) -> Self::Guard<'_> {
        self.0.get().await.expect("numbers never fail")
    }
}

/// tokio's semaphore: permits without objects.
#[derive(Clone, Debug)]
pub struct Semaphored(Arc<Semaphore>);

impl Peer for Semaphored {
    type Guard<'a> = SemaphorePermit<'a>;
    const NAME: &'static str = "semaphore";

    fn new(size: usize) -> Self {
        Self(Arc::new(Semaphore::new(size)))
    }

    async fn get(&self) -> Self::Guard<'_> {
        self.0.acquire().await.expect("never closed")
    }
}

/// What one writes by hand: a semaphore before a lock-free queue.
#[derive(Clone, Debug)]
pub struct ArrayQueued(Arc<(Semaphore, ArrayQueue<u64>)>);

/// What [`ArrayQueued`] lends.
#[derive(Debug)]
pub struct Queued<'a> {
    /// The object, which goes back before the permit does.
    object: u64,
    queue: &'a ArrayQueue<u64>,
    permit: Option<SemaphorePermit<'a>>,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        // There is a place for each object.
        let _ = self.queue.push(self.object);
        drop(self.permit.take());
    }
}

impl Peer for ArrayQueued {
    type Guard<'a> = Queued<'a>;
    const NAME: &'static str = "semaphore-arrayqueue";

    fn new(size: usize) -> Self {
        let queue = ArrayQueue::new(size);
        for _ in 0..size {
            let _ = queue.push(7);
        }
        Self(Arc::new((Semaphore::new(size), queue)))
    }

    async fn get(&self) -> Self::Guard<'_> {
        let (semaphore, queue) = &*self.0;
        let permit = semaphore.acquire().await.expect("never closed");
        let object = queue.pop().expect("an object for each permit");
        Queued { object, queue, permit: Some(permit) }
    }
}

impl deadpool::managed::Manager for Numbers {
    type Type = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn recycle(
        &self,
        _: &mut u64,
        _: &deadpool::managed::Metrics,
    ) -> deadpool::managed::RecycleResult<Infallible> {
        Ok(())
    }
}

/// deadpool, managed.
#[derive(Clone, Debug)]
pub struct Deadpool(pub deadpool::managed::Pool<Numbers>);

impl Peer for Deadpool {
    type Guard<'a> = deadpool::managed::Object<Numbers>;
    const NAME: &'static str = "deadpool";

    fn new(size: usize) -> Self {
        let builder = deadpool::managed::Pool::builder(Numbers).max_size(size);
        Self(builder.build().expect("no timeouts are asked for"))
    }

    async fn get(&self) -> Self::Guard<'_> {
        self.0.get().await.expect("numbers never fail")
    }
}

impl bb8::ManageConnection for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}

/// bb8.
#[derive(Clone, Debug)]
pub struct Bb8(pub bb8::Pool<Numbers>);

impl Peer for Bb8 {
    type Guard<'a> = bb8::PooledConnection<'a, Numbers>;
    const NAME: &'static str = "bb8";

    fn new(size: usize) -> Self {
        let builder = bb8::Pool::builder().max_size(size as u32).test_on_check_out(false);
        Self(builder.max_lifetime(None).idle_timeout(None).build_unchecked(Numbers))
    }

    async fn get(&self) -> Self::Guard<'_> {
        self.0.get().await.expect("numbers never fail")
    }
}

#[mobc::async_trait]
impl mobc::Manager for Numbers {
    type Connection = u64;
    type Error = Infallible;

    async fn connect(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn check(&self, connection: u64) -> Result<u64, Infallible> {
        Ok(connection)
    }
}

/// mobc.
#[derive(Clone)]
pub struct Mobc(pub mobc::Pool<Numbers>);

impl std::fmt::Debug for Mobc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Mobc")
    }
}

impl Peer for Mobc {
    type Guard<'a> = mobc::Connection<Numbers>;
    const NAME: &'static str = "mobc";

    fn new(size: usize) -> Self {
        let builder = mobc::Pool::builder().max_open(size as u64).max_idle(size as u64);
        Self(builder.get_timeout(None).build(Numbers))
    }

    async fn get(&self) -> Self::Guard<'_> {
        self.0.get().await.expect("numbers never fail")
    }
}

impl fastpool::ManageObject for Numbers {
    type Object = u64;
    type Error = Infallible;

    async fn create(&self) -> Result<u64, Infallible> {
        Ok(7)
    }

    async fn is_recyclable(
        &self,
        _: &mut u64,
        _: &fastpool::ObjectStatus,
    ) -> Result<(), Infallible> {
        Ok(())
    }
}

/// fastpool, bounded.
#[derive(Clone)]
pub struct Fastpool(pub Arc<fastpool::bounded::Pool<Numbers>>);

impl std::fmt::Debug for Fastpool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fastpool")
    }
}

impl Peer for Fastpool {
    type Guard<'a> = fastpool::bounded::Object<Numbers>;
    const NAME: &'static str = "fastpool";

    fn new(size: usize) -> Self {
        let config = fastpool::bounded::PoolConfig::new(size);
        Self(fastpool::bounded::Pool::new(config, Numbers))
    }

    async fn get(&self) -> Self::Guard<'_> {
        self.0.get().await.expect("numbers never fail")
    }
}

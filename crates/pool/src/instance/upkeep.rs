//! The rounds in which a pool looks after itself.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::core::Upkeep;
use super::{Manager, Pool, PoolConfig, Shared};

/// A pool's own unit of time: fine enough for lifetimes, and 497 days fit into a slot's 32 bits.
const TICK: Duration = Duration::from_millis(10);

impl<M: Manager> Pool<M> {
    /// One round of upkeep: retires what was idle for too long, replaces what is too old, has
    /// made what is missing. A pool whose config asks for any of that does this by itself, in a
    /// task that begins when the pool is made in a runtime, or else with the first request that
    /// finds nothing idle.
    ///
    /// # Panics
    ///
    /// When objects are to be made, outside a tokio runtime.
    pub fn upkeep(&self) {
        self.shared.upkeep();
    }
}

impl PoolConfig {
    const fn wants_upkeep(&self) -> bool {
        self.min_idle > 0 || self.idle_for.is_some() || self.lifetime.is_some()
    }
}

impl<M: Manager> Shared<M> {
    /// Sees to it that somebody does the upkeep, where there is any to do.
    #[inline]
    pub(super) fn spawn_upkeep(self: &Arc<Self>) {
        let wanted = self.config.wants_upkeep() || self.sizing.is_some();
        if wanted && !self.upkeep_runs.swap(true, Ordering::AcqRel) {
            tokio::spawn(rounds(Running(Arc::downgrade(self)), self.config.upkeep_every));
        }
    }

    /// One round. False where the pool is closed, and there will be nothing more to do.
    fn upkeep(self: &Arc<Self>) -> bool {
        let config = &self.config;
        let done = self.core.upkeep(&Upkeep {
            ticks: ticks(self.now().saturating_since(Timestamp::ZERO)),
            idle_for: config.idle_for.map(ticks),
            min_idle: config.min_idle,
            surge: config.surge,
        });
        self.sense.lock().note_in_use(done.in_use);
        self.finish(done.after);
        self.spawn_creations(done.create);
        for _ in 0..done.replace {
            self.spawn_creation(true);
        }
        !self.core.sizes().closed
    }

    /// The policy's word on the size, where there is a policy.
    fn adapt(&self) {
        if self.sizing.is_some() {
            let metrics = self.measure();
            // It was closed meanwhile, or no time has passed: nothing to adapt.
            let _ = self.optimize(&metrics);
        }
    }

    /// When an object that was made now is too old, in ticks; 0 is never.
    pub(super) fn expires(&self, now: Timestamp) -> u32 {
        let Some(lifetime) = self.config.lifetime else { return 0 };
        let jitter = self.config.lifetime_jitter.min_one().get() * self.jitter.share();
        let ends = now.saturating_since(Timestamp::ZERO) + lifetime.mul_f64(1.0 - jitter);
        ticks(ends).max(1)
    }
}

fn ticks(duration: Duration) -> u32 {
    (duration.as_millis() / TICK.as_millis()) as u32 + 1
}

/// The pool that a task looks after. Another one may once this is dropped.
struct Running<M: Manager>(Weak<Shared<M>>);

impl<M: Manager> Drop for Running<M> {
    fn drop(&mut self) {
        if let Some(shared) = self.0.upgrade() {
            shared.upkeep_runs.store(false, Ordering::Release);
        }
    }
}

async fn rounds<M: Manager>(pool: Running<M>, every: Duration) {
    loop {
        let Some(shared) = pool.0.upgrade() else { return };
        if !shared.upkeep() {
            return;
        }
        drop(shared);
        tokio::time::sleep(every).await;
        let Some(shared) = pool.0.upgrade() else { return };
        shared.adapt();
    }
}

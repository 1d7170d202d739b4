//! What the benches of memory share: the contenders, each on the same footing.

use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion_execution::memory_pool::{
    FairSpillPool, GreedyMemoryPool, MemoryConsumer, MemoryPool, MemoryReservation,
    TrackConsumersPool,
};
use plimsoll_core_types::{Bytes, ConsumerId};
use plimsoll_memory::budget::{Allowance, Budget, BudgetConfig};

/// The limit of every contender.
pub const LIMIT: usize = 1 << 30;
/// What is taken and given back.
pub const AMOUNT: usize = 4096;

/// A name that is well formed.
///
/// # Panics
///
/// When it is not.
pub fn name(text: &str) -> ConsumerId {
    ConsumerId::new(text).expect("a constant name is well formed")
}

/// Host, group, model: the node at the end of three levels, with all above it.
///
/// # Panics
///
/// Never: the limits are constants.
pub fn three_levels() -> [Budget; 3] {
    let limit = Bytes::new(LIMIT as u64);
    let host = Budget::root(name("host"), limit, BudgetConfig::default()).expect("a fine limit");
    let group = host.child(name("group"), Allowance::default()).expect("a fine limit");
    let model = group.child(name("model"), Allowance::default()).expect("a fine limit");
    [host, group, model]
}

/// The floor: one shared counter, by compare-exchange.
#[derive(Debug, Default)]
pub struct Counter(AtomicUsize);

impl Counter {
    /// Takes `bytes`, where they fit.
    pub fn take(&self, bytes: usize) -> bool {
        let fits = |used: usize| used.checked_add(bytes).filter(|used| *used <= LIMIT);
        self.0.fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits).is_ok()
    }

    /// Gives `bytes` back.
    pub fn give(&self, bytes: usize) {
        self.0.fetch_sub(bytes, Ordering::AcqRel);
    }
}

/// A pool of `DataFusion`'s, by the name of its row.
pub fn pool(which: &str) -> Arc<dyn MemoryPool> {
    let top = NonZeroUsize::new(5).unwrap_or(NonZeroUsize::MIN);
    match which {
        "datafusion-greedy" => Arc::new(GreedyMemoryPool::new(LIMIT)),
        "datafusion-fair" => Arc::new(FairSpillPool::new(LIMIT)),
        _ => Arc::new(TrackConsumersPool::new(GreedyMemoryPool::new(LIMIT), top)),
    }
}

/// The names of the pools.
pub const POOLS: [&str; 3] = ["datafusion-greedy", "datafusion-fair", "datafusion-track"];

/// A consumer of `pool` that holds nothing yet.
pub fn consumer(pool: &Arc<dyn MemoryPool>, name: &str) -> MemoryReservation {
    MemoryConsumer::new(name).with_can_spill(true).register(pool)
}

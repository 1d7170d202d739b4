//! Who may hold how much, and who goes next.
//!
//! Two things that stand alone:
//!
//! - The **ledger** ([`LedgerPool`], [`ledger::Ledger`]) hands out quantities: memory, CPU,
//!   accelerator memory, slots, as one vector, whole or not at all. It is the only owner of what
//!   is promised.
//! - The **instance pool** ([`Pool`]) lends warm objects: connections, sessions, loaded models.
//!
//! Beside them stands [`sizing`]: how large a pool should be.
//!
//! ```
//! use std::sync::Arc;
//! use plimsoll_core_types::{Bytes, ConsumerId, ResourcePool, ResourceRequest, ResourceVector, SystemClock};
//! use plimsoll_pool::{LedgerConfig, LedgerPool};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let machine = ResourceVector::new().with_memory(Bytes::from_gib(8));
//! let pool = LedgerPool::new(machine, LedgerConfig::default(), Arc::new(SystemClock::new()))?;
//!
//! let need = ResourceVector::new().with_memory(Bytes::from_gib(3));
//! let lease = pool.allocate(ResourceRequest::new(ConsumerId::new("llama-8b")?, need)?).await?;
//! assert_eq!(pool.monitor().available.memory(), Bytes::from_gib(5));
//! drop(lease);
//! assert_eq!(pool.monitor().available.memory(), Bytes::from_gib(8));
//! # Ok(())
//! # }
//! ```

mod instance;
#[cfg(loom)]
#[doc(hidden)]
pub use instance::core::model;
pub mod ledger;
mod service;
pub mod sizing;

pub use instance::{
    Ask, Counts, GetError, Hooks, KeyedConfig, KeyedError, KeyedPool, Lent, Manager, Pool,
    PoolBuilder, PoolConfig, PoolConfigError, PoolStatus, Retired, Retry, SLOT_OVERHEAD,
    SizeChange, WaitHistogram,
};
pub use ledger::{LedgerConfig, LedgerConfigError, Preempt, TenantConfig};
pub use service::{Allocate, LedgerPool, PoolEvent, PoolEventKind};

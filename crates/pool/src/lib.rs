#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | you have | begin at |
//! |---|---|
//! | a machine, or anything that is counted | [`LedgerPool`]; [`ledger::Ledger`] is its pure core |
//! | objects that are costly to make | [`Pool`], with a [`Manager`] that makes and checks them |
//! | such objects for many keys, within one bound | [`KeyedPool`] |
//! | a pool, and the question how large it should be | [`sizing`] |

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

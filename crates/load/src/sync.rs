//! The lock and the atomics of this crate, in one place, so that they can be exchanged for others.

pub(crate) use parking_lot::{Mutex, MutexGuard};
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

//! How a budget tree and its nodes are laid out.

use std::time::Duration;

use plimsoll_core_types::{AmountOrShare, Bytes, Ratio};
use serde::{Deserialize, Serialize};

/// How a tree of budgets works. The defaults suit limits from some MiB upwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetConfig {
    /// How much a node draws from its ancestors beyond what is asked for, so that most
    /// reservations touch that node alone; at most 1/64 of the tightest limit above it. It is taken
    /// back when the limit comes near. Default 1 MiB.
    pub batch: Bytes,
    /// How much a [`Leaf`](super::Leaf) may keep in stock; all leaves below a node together at
    /// most 1/32 of its limit. An idle leaf keeps it when the limit comes near. Default 64 KiB.
    pub lease: Bytes,
    /// How many may wait. Default 1024.
    pub waiters: usize,
    /// How often a waiter is passed by others of a higher priority before it is passed no more.
    /// Default 64.
    pub bypass: u32,
    /// How long a [reclaimer](super::Budget::register) may take for one turn. Default 1 s.
    pub reclaim_within: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            batch: Bytes::from_mib(1),
            lease: Bytes::from_kib(64),
            waiters: 1024,
            bypass: 64,
            reclaim_within: Duration::from_secs(1),
        }
    }
}

/// How a node's children share it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sharing {
    /// Beyond what is guaranteed to those that are active, who comes first.
    #[default]
    FirstCome,
    /// Beyond what is guaranteed, an equal part of the rest to each that is active. Whoever held
    /// more before another became active keeps it, and gets nothing more until it has less.
    Even,
}

/// What one node may hold.
///
/// ```
/// use plimsoll_core_types::Bytes;
/// use plimsoll_memory::budget::{Allowance, Sharing};
///
/// let allowance = Allowance::of("60%".parse()?).guaranteed(Bytes::from_mib(64)).shared(Sharing::Even);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Allowance {
    /// At most this much, or this share of its parent's limit as it is now. Default 100%.
    pub limit: AmountOrShare<Bytes>,
    /// Nobody beside it may take this much from it while it is active. Default nothing.
    pub guaranteed: Bytes,
    /// How its children share it. Default [`Sharing::FirstCome`].
    pub sharing: Sharing,
}

impl Default for Allowance {
    fn default() -> Self {
        Self::of(AmountOrShare::Share(Ratio::ONE))
    }
}

impl Allowance {
    /// At most `limit`.
    pub const fn of(limit: AmountOrShare<Bytes>) -> Self {
        Self { limit, guaranteed: Bytes::ZERO, sharing: Sharing::FirstCome }
    }

    /// At most `limit` bytes.
    pub const fn bytes(limit: Bytes) -> Self {
        Self::of(AmountOrShare::Amount(limit))
    }

    /// The same with a guarantee.
    #[must_use]
    pub const fn guaranteed(mut self, bytes: Bytes) -> Self {
        self.guaranteed = bytes;
        self
    }

    /// The same, shared like this.
    #[must_use]
    pub const fn shared(mut self, sharing: Sharing) -> Self {
        self.sharing = sharing;
        self
    }
}

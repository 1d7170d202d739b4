//! Why a budget refuses.

use std::fmt;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId};
use serde::{Deserialize, Serialize};

/// A node of a budget tree, by a number that is its own as long as the node lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeId(pub(super) u32);

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "budget-{}", self.0)
    }
}

/// What stood in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// The node's own limit.
    Limit,
    /// What the node's children were guaranteed, or their even shares.
    Share,
    /// Others wait there, and come first.
    Line,
}

impl Cause {
    pub(super) const fn code(self) -> u32 {
        self as u32
    }

    pub(super) const fn from_code(code: u32) -> Self {
        match code {
            1 => Self::Share,
            2 => Self::Line,
            _ => Self::Limit,
        }
    }

    const fn text(self) -> &'static str {
        match self {
            Self::Limit => "its limit",
            Self::Share => "what others are entitled to there",
            Self::Line => "others who wait there",
        }
    }
}

/// A reservation that was refused: nothing was taken. Small, and made without allocation, since
/// whoever works at the limit sees many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{asked} can't be reserved: {available} can be had, by {} at {limiter}", cause.text())]
pub struct Rejected {
    asked: Bytes,
    available: Bytes,
    limiter: NodeId,
    cause: Cause,
}

impl Rejected {
    pub(super) const fn new(asked: u64, available: u64, limiter: NodeId, cause: Cause) -> Self {
        Self { asked: Bytes::new(asked), available: Bytes::new(available), limiter, cause }
    }

    /// What was asked for.
    pub const fn asked(&self) -> Bytes {
        self.asked
    }

    /// What could have been had then. What leaves hold in stock is not among it: they give it back
    /// at their next step.
    pub const fn available(&self) -> Bytes {
        self.available
    }

    /// Which node it failed at: itself, or one of its ancestors. See
    /// [`Budget::id`](super::Budget::id).
    pub const fn limiter(&self) -> NodeId {
        self.limiter
    }

    /// What stood in the way there.
    pub const fn cause(&self) -> Cause {
        self.cause
    }
}

/// Why [`Budget::reserve`](super::Budget::reserve) gave up. Nothing was taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReserveError {
    /// More than the node or an ancestor may ever hold: waiting would not help.
    #[error("{asked} can never be reserved by {node}: {limiter} is limited to {limit}")]
    NeverFits {
        /// Who asked.
        node: ConsumerId,
        /// For how much.
        asked: Bytes,
        /// Where it does not fit.
        limiter: ConsumerId,
        /// What may be held there.
        limit: Bytes,
    },
    /// It was not granted in time.
    #[error("{asked} were not granted to {node} within {waited:?}: {last}")]
    Late {
        /// Who asked.
        node: ConsumerId,
        /// For how much.
        asked: Bytes,
        /// How long it waited.
        waited: Duration,
        /// What stood in the way at last.
        last: Rejected,
    },
    /// Too many wait already.
    #[error("{waiting} wait already, as many as may; ask again later")]
    LineFull {
        /// How many.
        waiting: usize,
    },
}

/// Why a node can't be made or changed as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// A limit of nothing, or beyond what can be counted.
    #[error("budget {node}: the limit is {given}; it must be above 0 and below 4 EiB")]
    Limit {
        /// Which node.
        node: ConsumerId,
        /// What was given.
        given: Bytes,
    },
    /// More is guaranteed than the node may hold.
    #[error("budget {node}: {guaranteed} are guaranteed, more than its limit of {limit}")]
    Guarantee {
        /// Which node.
        node: ConsumerId,
        /// What was given.
        guaranteed: Bytes,
        /// Its limit.
        limit: Bytes,
    },
    /// More is guaranteed to children than there is.
    #[error(
        "budget {parent}: {guaranteed} would be guaranteed to its children, and its limit is {limit}"
    )]
    Guarantees {
        /// Which node.
        parent: ConsumerId,
        /// To all its children, the new one among them.
        guaranteed: Bytes,
        /// Its limit.
        limit: Bytes,
    },
    /// The tree is deeper or larger than it may be.
    #[error(
        "budget {parent} can't have a child: the tree has {nodes} nodes and {levels} levels here; at most {} and {}",
        super::MOST_NODES,
        super::MOST_LEVELS
    )]
    TooLarge {
        /// Under which node.
        parent: ConsumerId,
        /// How many nodes there are.
        nodes: usize,
        /// How many levels down to the parent.
        levels: usize,
    },
    /// A lease without memory is no budget.
    #[error("the lease of {node} holds no memory")]
    NoMemory {
        /// Which node.
        node: ConsumerId,
    },
}

/// Two reservations that can't be made one: they are charged to different nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a reservation of {theirs} can't be merged into one of {ours}; transfer it first")]
pub struct OtherNode {
    pub(super) ours: NodeId,
    pub(super) theirs: NodeId,
}

//! What a node shows of itself.

use plimsoll_core_types::{Bytes, ConsumerId};
use serde::{Deserialize, Serialize};

use super::error::NodeId;
use super::state::State;

/// One node of a budget tree, at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BudgetStatus {
    /// Its number.
    pub id: NodeId,
    /// Its name.
    pub name: ConsumerId,
    /// Its parent; none for the root.
    pub parent: Option<NodeId>,
    /// What it may hold.
    pub limit: Bytes,
    /// What nobody beside it may take from it while it is active.
    pub guaranteed: Bytes,
    /// What is charged to it and to each of its ancestors: what is held and what is in stock.
    pub charged: Bytes,
    /// What is held by reservations and leaves in its subtree.
    pub held: Bytes,
    /// What is charged and not held: credit that was drawn in advance, and stocks of leaves. Taken
    /// back when the limit comes near, except for the stocks of idle leaves.
    pub slack: Bytes,
    /// What could be had there now without waiting.
    pub available: Bytes,
    /// How many wait there or below.
    pub waiting: usize,
    /// True while its limit is near, and everything below it goes by the lock.
    pub tight: bool,
}

impl State {
    /// How `index` stands. Stocks move without the lock, so that what is held by leaves may be
    /// some steps old; what is charged is exact.
    pub(super) fn status(&self, index: usize) -> BudgetStatus {
        let node = self.node(index);
        let slack = self.slack(index).min(node.charge);
        let room = self.room(index).bytes.saturating_add(node.hot.credit());
        BudgetStatus {
            id: NodeId(index as u32),
            name: node.name.clone(),
            parent: node.parent.map(|parent| NodeId(parent as u32)),
            limit: Bytes::new(node.limit),
            guaranteed: node.allowance.guaranteed,
            charged: Bytes::new(node.charge),
            held: Bytes::new(node.charge - slack),
            slack: Bytes::new(slack),
            available: Bytes::new(room),
            waiting: self.line.nodes().filter(|node| self.is_below(*node, index)).count(),
            tight: node.bottleneck,
        }
    }

    /// How everything stands from `top` down, parents before children.
    pub(super) fn statuses(&self, top: usize) -> Vec<BudgetStatus> {
        self.subtree(top).into_iter().map(|index| self.status(index)).collect()
    }
}

//! The tree under its lock: what is charged where, and by whom.

use std::sync::Arc;

use plimsoll_core_types::{AmountOrShare, Bytes, ConsumerId};

use super::config::{Allowance, BudgetConfig, Sharing};
use super::error::{BudgetError, NodeId};
use super::hot::Hot;
use super::leaf::Stock;
use super::line::{Delivery, Line, TicketNumber};
use super::sync::{AtomicU64, Ordering};
use super::{MOST_LEVELS, MOST_NODES};

/// All that is known of a tree.
#[derive(Debug)]
pub(super) struct State {
    pub(super) config: BudgetConfig,
    nodes: Vec<Option<Node>>,
    pub(super) line: Line,
    pub(super) reclaims: Vec<ActiveReclaim>,
    /// Grants to be handed over once the lock is let go.
    pub(super) outbox: Vec<Delivery>,
    /// True once any node has a guarantee: without one, less has to be looked at.
    pub(super) guarantees: bool,
}

/// One node.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: ConsumerId,
    pub(super) parent: Option<usize>,
    pub(super) children: Vec<usize>,
    pub(super) allowance: Allowance,
    /// The allowance's limit in bytes.
    pub(super) limit: u64,
    /// All that this subtree has: what is held, credit, and what leaves have in stock.
    pub(super) charge: u64,
    /// True while this node is what others have run into.
    pub(super) bottleneck: bool,
    /// Freed here for somebody who waits; nobody else may have it.
    pub(super) earmarked: u64,
    /// What leaves of this subtree may have in stock together.
    pub(super) leased: u64,
    /// The stock of each leaf that is charged here.
    pub(super) stocks: Vec<Arc<Stock>>,
    pub(super) hot: Arc<Hot>,
}

/// Somebody is giving memory back for somebody else.
#[derive(Debug)]
pub(super) struct ActiveReclaim {
    pub(super) number: u64,
    /// Below which node what is freed counts.
    pub(super) node: usize,
    /// For whom, and how much more of it.
    pub(super) ticket: Option<TicketNumber>,
    pub(super) wanted: u64,
    /// All that came back from there meanwhile.
    pub(super) freed: u64,
}

impl State {
    pub(super) fn new(
        name: ConsumerId,
        limit: u64,
        sharing: Sharing,
        config: BudgetConfig,
    ) -> (Self, Arc<Hot>) {
        let hot = Arc::new(Hot::new(false));
        hot.note_limit(limit, NodeId(0));
        let allowance = Allowance::bytes(Bytes::new(limit)).shared(sharing);
        let root = Node::new(name, None, allowance, limit, Arc::clone(&hot));
        let line = Line::new(config.waiters, config.bypass);
        let state = Self {
            config,
            nodes: vec![Some(root)],
            line,
            reclaims: Vec::new(),
            outbox: Vec::new(),
            guarantees: false,
        };
        (state, hot)
    }

    /// The node `index`, which its owner keeps alive.
    pub(super) fn node(&self, index: usize) -> &Node {
        self.nodes[index].as_ref().expect("an owner keeps its node alive")
    }

    pub(super) fn node_mut(&mut self, index: usize) -> &mut Node {
        self.nodes[index].as_mut().expect("an owner keeps its node alive")
    }

    /// `index` and its ancestors, from itself to the root.
    pub(super) fn path(&self, index: usize) -> Path<'_> {
        Path { state: self, next: Some(index) }
    }

    /// True where `index` is `top` or below it.
    pub(super) fn is_below(&self, index: usize, top: usize) -> bool {
        self.path(index).any(|node| node == top)
    }

    /// `top` and everything below it.
    pub(super) fn subtree(&self, top: usize) -> Vec<usize> {
        let mut found = vec![top];
        let mut at = 0;
        while at < found.len() {
            found.extend(&self.node(found[at]).children);
            at += 1;
        }
        found
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.iter().flatten().count()
    }

    /// Puts a node below `parent`.
    pub(super) fn add(
        &mut self,
        parent: usize,
        name: ConsumerId,
        allowance: Allowance,
    ) -> Result<(usize, Arc<Hot>), BudgetError> {
        let above = self.node(parent);
        let levels = self.path(parent).count();
        if self.len() >= MOST_NODES || levels >= MOST_LEVELS {
            let (parent, nodes) = (above.name.clone(), self.len());
            return Err(BudgetError::TooLarge { parent, nodes, levels });
        }
        let limit = checked_limit(&name, allowance.limit, above.limit)?;
        self.check_guarantees(parent, &name, limit, allowance.guaranteed)?;
        let pressed = self.path(parent).any(|node| self.node(node).bottleneck);
        let hot = Arc::new(Hot::new(pressed));
        let node = Node::new(name, Some(parent), allowance, limit, Arc::clone(&hot));
        self.guarantees |= !allowance.guaranteed.is_zero();
        let index = self.nodes.iter().position(Option::is_none).unwrap_or_else(|| {
            self.nodes.push(None);
            self.nodes.len() - 1
        });
        self.nodes[index] = Some(node);
        self.node_mut(parent).children.push(index);
        self.note_limits(index);
        Ok((index, hot))
    }

    fn check_guarantees(
        &self,
        parent: usize,
        name: &ConsumerId,
        limit: u64,
        guaranteed: Bytes,
    ) -> Result<(), BudgetError> {
        if guaranteed.get() > limit {
            let limit = Bytes::new(limit);
            return Err(BudgetError::Guarantee { node: name.clone(), guaranteed, limit });
        }
        let above = self.node(parent);
        let others = above.children.iter().map(|child| self.node(*child).allowance.guaranteed);
        let all = others.sum::<Bytes>().saturating_add(guaranteed);
        if all.get() > above.limit && !guaranteed.is_zero() {
            let (parent, limit) = (above.name.clone(), Bytes::new(above.limit));
            return Err(BudgetError::Guarantees { parent, guaranteed: all, limit });
        }
        Ok(())
    }

    /// Takes a node out whose owner is gone. Whatever it still has goes to its ancestors.
    pub(super) fn remove(&mut self, index: usize) {
        let node = self.node(index);
        debug_assert!(node.children.is_empty(), "children keep their parent alive");
        let (credit, parent) = (node.hot.sweep(), node.parent);
        self.uncharge(index, credit);
        debug_assert_eq!(self.node(index).charge, 0, "reservations keep their node alive");
        if let Some(parent) = parent {
            self.node_mut(parent).children.retain(|child| *child != index);
        }
        self.nodes[index] = None;
    }

    /// Charges `bytes` to `index` and every ancestor.
    pub(super) fn charge(&mut self, index: usize, bytes: u64) {
        let mut next = Some(index);
        while let Some(at) = next {
            let node = self.node_mut(at);
            node.charge += bytes;
            next = node.parent;
        }
    }

    /// The reverse of [`charge`](Self::charge).
    pub(super) fn uncharge(&mut self, index: usize, bytes: u64) {
        let mut next = Some(index);
        while let Some(at) = next {
            let node = self.node_mut(at);
            debug_assert!(node.charge >= bytes, "{}: {} of {}", node.name, bytes, node.charge);
            node.charge = node.charge.saturating_sub(bytes);
            next = node.parent;
        }
    }

    /// Sets the limit of `index`, and those of nodes below that are shares of it.
    pub(super) fn set_limit(&mut self, index: usize, limit: u64) {
        self.node_mut(index).limit = limit;
        for below in self.subtree(index).into_iter().skip(1) {
            if let AmountOrShare::Share(_) = self.node(below).allowance.limit
                && let Some(parent) = self.node(below).parent
            {
                let whole = Bytes::new(self.node(parent).limit);
                let limit = self.node(below).allowance.limit.of(whole).get();
                self.node_mut(below).limit = limit.max(1);
            }
        }
        self.note_limits(index);
    }

    /// Shows everything below `top` what can never be passed.
    fn note_limits(&self, top: usize) {
        for index in self.subtree(top) {
            let tightest = self.path(index).min_by_key(|node| self.node(*node).limit);
            if let Some(of) = tightest {
                self.node(index).hot.note_limit(self.node(of).limit, NodeId(of as u32));
            }
        }
    }

    /// The least limit from `index` up.
    pub(super) fn tightest(&self, index: usize) -> (usize, u64) {
        let limits = self.path(index).map(|node| (node, self.node(node).limit));
        limits.min_by_key(|(_, limit)| *limit).unwrap_or((index, 0))
    }

    /// Bytes of the subtree that nobody holds: credit and stocks. Stocks move without the lock, so
    /// that this may be some steps old.
    pub(super) fn slack(&self, index: usize) -> u64 {
        let own = |index: usize| {
            let node = self.node(index);
            let stocks: u64 = node.stocks.iter().map(|stock| stock.bytes()).sum();
            node.hot.credit() + stocks
        };
        if self.node(index).children.is_empty() {
            return own(index);
        }
        self.subtree(index).into_iter().map(own).sum()
    }

    /// True where somebody below `index` holds something, or waits.
    pub(super) fn is_active(&self, index: usize) -> bool {
        self.node(index).charge > self.slack(index)
            || self.line.nodes().any(|node| self.is_below(node, index))
    }
}

/// From a node to its root.
pub(super) struct Path<'s> {
    state: &'s State,
    next: Option<usize>,
}

impl Iterator for Path<'_> {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let index = self.next?;
        self.next = self.state.node(index).parent;
        Some(index)
    }
}

impl Node {
    fn new(
        name: ConsumerId,
        parent: Option<usize>,
        allowance: Allowance,
        limit: u64,
        hot: Arc<Hot>,
    ) -> Self {
        Self {
            name,
            parent,
            children: Vec::new(),
            allowance,
            limit,
            charge: 0,
            bottleneck: false,
            earmarked: 0,
            leased: 0,
            stocks: Vec::new(),
            hot,
        }
    }
}

/// `limit` below a parent of `above`, in bytes.
pub(super) fn checked_limit(
    name: &ConsumerId,
    limit: AmountOrShare<Bytes>,
    above: u64,
) -> Result<u64, BudgetError> {
    /// Credit words have a bit for a flag, and sums of two amounts must fit beside it.
    const BEYOND: u64 = 1 << 62;
    let given = limit.of(Bytes::new(above));
    if given.is_zero() || given.get() >= BEYOND {
        return Err(BudgetError::Limit { node: name.clone(), given });
    }
    Ok(given.get())
}

/// Moves on whenever something may have come back: what was refused before may fit now.
#[derive(Debug)]
pub(super) struct Epoch(pub(super) AtomicU64);

impl Epoch {
    pub(super) fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    pub(super) fn now(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Under the lock only.
    pub(super) fn advance(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

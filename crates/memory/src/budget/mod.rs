//! Budgets that hold: a tree of limits, and reservations that can't pass any of them.
//!
//! A [`Budget`] is a node of a tree: a host, a group of models, a model, a request. Whatever is
//! reserved at a node is charged to it and to each of its ancestors, and no limit among these is
//! ever passed, whatever the schedule of threads. The root's limit is the host's, or a lease of a
//! pool ([`Budget::of_lease`]).
//!
//! Three ways to hold bytes, from the fastest to the freest:
//!
//! - A [`Leaf`] belongs to one task and keeps a little in stock: growing and shrinking touch
//!   nothing that others touch.
//! - A [`Hold`] borrows its budget.
//! - A [`Reservation`] may go anywhere: it can be split, merged, and moved to another node.
//!
//! All give back by `Drop`. [`Budget::try_reserve`] says no at once; [`Budget::reserve`] waits in
//! a fair line, and has [reclaimers](Budget::register) free memory meanwhile.
//!
//! ```
//! use plimsoll_core_types::{Bytes, ConsumerId};
//! use plimsoll_memory::budget::{Allowance, Budget, BudgetConfig};
//!
//! let name = ConsumerId::new;
//! let host = Budget::root(name("host")?, Bytes::from_gib(8), BudgetConfig::default())?;
//! let chat = host.child(name("chat")?, Allowance::of("75%".parse()?))?;
//! let batch = host.child(name("batch")?, Allowance::default().guaranteed(Bytes::from_gib(1)))?;
//!
//! let kv_cache = chat.try_reserve(Bytes::from_gib(6))?;
//! let refused = chat.try_reserve(Bytes::new(1)).unwrap_err();
//! assert_eq!(refused.limiter(), chat.id());
//! let rest = batch.try_reserve(Bytes::from_gib(2))?;
//! assert_eq!(host.status().held, Bytes::from_gib(8));
//! drop((kv_cache, rest));
//! assert_eq!(host.status().held, Bytes::ZERO);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod config;
mod error;
mod hot;
mod leaf;
mod line;
mod reservation;
mod room;
mod state;
mod status;
mod sync;
mod tree;
mod wait;

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, Reclaimer, Resource};

pub use config::{Allowance, BudgetConfig, Sharing};
pub use error::{BudgetError, Cause, NodeId, OtherNode, Rejected, ReserveError};
pub use leaf::Leaf;
pub use reservation::{Hold, Reservation};
pub use status::BudgetStatus;
pub use wait::Ask;

use crate::reclaim::{Keep, Reclaimers, Registration};
use line::ROOT;
use state::{State, checked_limit};
use tree::{Owner, Tree};

/// The most nodes of one tree.
pub const MOST_NODES: usize = 4096;
/// The most levels of one tree, the root's among them.
pub const MOST_LEVELS: usize = 8;

/// A node of a tree of budgets. Cloning gives another handle on the same node, which lives as long
/// as a handle, a child or anything that is held of it.
#[derive(Clone, Debug)]
pub struct Budget {
    owner: Arc<Owner>,
}

impl Budget {
    /// A tree with one node, limited to `limit`, whose children come first, served first.
    ///
    /// # Errors
    ///
    /// When the limit is zero or 4 EiB and more.
    pub fn root(name: ConsumerId, limit: Bytes, config: BudgetConfig) -> Result<Self, BudgetError> {
        Self::root_shared(name, limit, Sharing::FirstCome, config)
    }

    /// The same, shared among its children by `sharing`.
    ///
    /// # Errors
    ///
    /// When the limit is zero or 4 EiB and more.
    pub fn root_shared(
        name: ConsumerId,
        limit: Bytes,
        sharing: Sharing,
        config: BudgetConfig,
    ) -> Result<Self, BudgetError> {
        Self::grow_tree(name, limit, sharing, config, None)
    }

    /// A tree inside of a pool's lease: limited to its memory, and keeping it as long as anything
    /// of the tree is left.
    ///
    /// # Errors
    ///
    /// When the lease holds no memory; it goes back to its pool.
    pub fn of_lease(
        name: ConsumerId,
        lease: Resource,
        sharing: Sharing,
        config: BudgetConfig,
    ) -> Result<Self, BudgetError> {
        let limit = lease.amount().memory();
        if limit.is_zero() {
            return Err(BudgetError::NoMemory { node: name });
        }
        Self::grow_tree(name, limit, sharing, config, Some(lease))
    }

    fn grow_tree(
        name: ConsumerId,
        limit: Bytes,
        sharing: Sharing,
        config: BudgetConfig,
        lease: Option<Resource>,
    ) -> Result<Self, BudgetError> {
        let allowance = Allowance::bytes(limit);
        let limit = checked_limit(&name, allowance.limit, limit.get())?;
        let (state, hot) = State::new(name.clone(), limit, sharing, config);
        let tree = Tree::new(state, lease);
        Ok(Self { owner: Owner::new(tree, ROOT, name, hot, None) })
    }

    /// A new node below this one.
    ///
    /// # Errors
    ///
    /// When the limit is zero, more would be guaranteed than there is, or the tree is too large.
    pub fn child(&self, name: ConsumerId, allowance: Allowance) -> Result<Self, BudgetError> {
        let tree = self.owner.tree();
        let add = |state: &mut State| state.add(self.owner.index(), name.clone(), allowance);
        let (index, hot) = tree.with(add)?;
        let parent = Some(Arc::clone(&self.owner));
        Ok(Self { owner: Owner::new(Arc::clone(tree), index, name, hot, parent) })
    }

    /// The node's number in its tree.
    pub fn id(&self) -> NodeId {
        NodeId(self.owner.index() as u32)
    }

    /// The node's name.
    pub fn name(&self) -> ConsumerId {
        self.owner.name().clone()
    }

    /// The node above; none for the root.
    pub fn parent(&self) -> Option<Self> {
        self.owner.parent().map(|owner| Self { owner: Arc::clone(owner) })
    }

    /// Reserves `bytes` now or not at all.
    ///
    /// Those who wait come first: while somebody waits for what this needs, only what is
    /// guaranteed is given.
    ///
    /// # Errors
    ///
    /// When the node or an ancestor has not that much left. Neither allocates nor formats.
    pub fn try_reserve(&self, bytes: Bytes) -> Result<Reservation, Rejected> {
        self.owner.take(bytes.get())?;
        Ok(Reservation::charged(Arc::clone(&self.owner), bytes.get()))
    }

    /// The same for as long as this handle is borrowed.
    ///
    /// # Errors
    ///
    /// When the node or an ancestor has not that much left. Neither allocates nor formats.
    #[inline]
    pub fn try_hold(&self, bytes: Bytes) -> Result<Hold<'_>, Rejected> {
        self.owner.take(bytes.get())?;
        Ok(Hold::charged(&self.owner, bytes.get()))
    }

    /// A task's own part of this budget, holding nothing yet.
    pub fn leaf(&self) -> Leaf {
        Leaf::new(Arc::clone(&self.owner))
    }

    /// Changes the node's limit, and those of nodes below that are a share of it. Where more is
    /// held, nothing is given there until that much has come back.
    ///
    /// # Errors
    ///
    /// When the limit is zero or 4 EiB and more.
    pub fn set_limit(&self, limit: Bytes) -> Result<(), BudgetError> {
        let allowance = Allowance::bytes(limit).limit;
        let bytes = checked_limit(self.owner.name(), allowance, limit.get())?;
        let index = self.owner.index();
        self.owner.tree().release(index, |state| state.set_limit(index, bytes));
        Ok(())
    }

    /// How the node stands.
    pub fn status(&self) -> BudgetStatus {
        self.owner.tree().with(|state| state.status(self.owner.index()))
    }

    /// How the node and everything below it stand, parents before children.
    pub fn statuses(&self) -> Vec<BudgetStatus> {
        self.owner.tree().with(|state| state.statuses(self.owner.index()))
    }

    /// Has `reclaimer` asked to free memory of this node when somebody waits for what that would
    /// free.
    ///
    /// What it says it freed is compared with what came back from this node and those below
    /// meanwhile.
    pub fn register(&self, reclaimer: Arc<dyn Reclaimer>) -> Registration {
        let keep = Arc::clone(&self.owner) as Keep;
        self.reclaimers().register_at(self.owner.index(), reclaimer, Some(keep))
    }

    /// The reclaimers of the whole tree, with what came of their turns.
    pub fn reclaimers(&self) -> &Reclaimers {
        &self.owner.tree().reclaimers
    }

    fn reclaim_within(&self) -> Duration {
        self.owner.tree().with(|state| state.config.reclaim_within)
    }

    const fn owner(&self) -> &Arc<Owner> {
        &self.owner
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

//! Taking and giving back, by credit where it can be, by the lock where it must.

use std::sync::Arc;

use plimsoll_core_types::{Bytes, ConsumerId, Resource};

use super::error::{Cause, Rejected};
use super::hot::Hot;
use super::state::{Epoch, State};
use super::sync::Mutex;
use crate::reclaim::Reclaimers;

/// A subtree is let go when at least this part of its limit is free again: less would have it
/// pressed and let go in turns.
const RELIEF: u64 = 16;
/// What one node draws in advance is at most this part of the tightest limit above it.
const BATCH_PART: u64 = 64;

/// One tree of budgets.
#[derive(Debug)]
pub(super) struct Tree {
    state: Mutex<State>,
    pub(super) epoch: Epoch,
    pub(super) reclaimers: Reclaimers,
    /// The lease that the whole is taken out of; held as long as any of it is.
    _lease: Option<Resource>,
}

impl Tree {
    pub(super) fn new(state: State, lease: Option<Resource>) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(state),
            epoch: Epoch::new(),
            reclaimers: Reclaimers::new(),
            _lease: lease,
        })
    }

    /// Does something under the lock, and hands over grants after it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let (answer, outbox) = {
            let mut state = self.state.lock();
            let answer = act(&mut state);
            (answer, std::mem::take(&mut state.outbox))
        };
        for delivery in outbox {
            delivery.deliver();
        }
        answer
    }

    /// Does something that may make room for others.
    pub(super) fn release<T>(&self, at: usize, act: impl FnOnce(&mut State) -> T) -> T {
        self.with(|state| {
            let answer = act(state);
            self.epoch.advance();
            state.serve();
            state.relieve(at);
            answer
        })
    }
}

/// Keeps a node in its tree. Whoever holds something there has one.
#[derive(Debug)]
pub(super) struct Owner {
    hot: Arc<Hot>,
    tree: Arc<Tree>,
    index: usize,
    name: ConsumerId,
    /// More credit than this is given back to the ancestors.
    most: u64,
    parent: Option<Arc<Self>>,
}

impl Owner {
    pub(super) fn new(
        tree: Arc<Tree>,
        index: usize,
        name: ConsumerId,
        hot: Arc<Hot>,
        parent: Option<Arc<Self>>,
    ) -> Arc<Self> {
        let most = 2 * tree.with(|state| state.batch(index));
        Arc::new(Self { hot, tree, index, name, most, parent })
    }

    pub(super) const fn index(&self) -> usize {
        self.index
    }

    pub(super) const fn name(&self) -> &ConsumerId {
        &self.name
    }

    pub(super) const fn tree(&self) -> &Arc<Tree> {
        &self.tree
    }

    pub(super) const fn hot(&self) -> &Arc<Hot> {
        &self.hot
    }

    pub(super) fn parent(&self) -> Option<&Arc<Self>> {
        self.parent.as_ref()
    }

    /// Takes `bytes`, or nothing.
    #[inline]
    pub(super) fn take(&self, bytes: u64) -> Result<(), Rejected> {
        if self.hot.try_take(bytes) {
            return Ok(());
        }
        self.take_slowly(bytes)
    }

    #[inline]
    fn take_slowly(&self, bytes: u64) -> Result<(), Rejected> {
        if let Some(refused) = self.hot.refusal(bytes, &self.tree.epoch.0) {
            return Err(refused);
        }
        self.take_locked(bytes)
    }

    #[cold]
    fn take_locked(&self, bytes: u64) -> Result<(), Rejected> {
        self.tree.with(|state| {
            let answer = state.take(self.index, bytes);
            if let Err(refused) = &answer {
                self.hot.note_refusal(refused, self.tree.epoch.now());
            }
            answer
        })
    }

    /// Gives back what was taken.
    #[inline]
    pub(super) fn give(&self, bytes: u64) {
        if self.hot.give(bytes, self.most) {
            self.give_locked();
        }
    }

    /// Sees to credit that was given while the node is pressed, or has too much.
    #[cold]
    fn give_locked(&self) {
        self.tree.with(|state| {
            if !self.hot.is_pressed() {
                return state.trim_credit(self.index, self.most / 2);
            }
            // Whoever pressed it may have swept this credit before: then others may fit as well.
            state.return_credit(self.index);
            self.tree.epoch.advance();
            state.serve();
            state.relieve(self.index);
        });
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        let at = self.parent.as_ref().map_or(self.index, |parent| parent.index);
        self.tree.release(at, |state| {
            // The root goes with its tree.
            if self.parent.is_some() {
                state.remove(self.index);
            }
        });
    }
}

impl State {
    /// Takes `bytes` at `index`, drawing some more into its credit where nothing is tight.
    fn take(&mut self, index: usize, bytes: u64) -> Result<(), Rejected> {
        let credit = self.node(index).hot.sweep();
        self.uncharge(index, credit);
        loop {
            let room = self.room(index);
            if room.bytes >= bytes {
                let left = room.bytes - bytes;
                let extra =
                    if self.is_pressed(index) { 0 } else { self.batch(index).min(left / 4) };
                self.charge(index, bytes + extra);
                if extra > 0 {
                    self.node(index).hot.stock(extra);
                }
                return Ok(());
            }
            if room.cause == Cause::Line || self.node(room.limiter).bottleneck {
                return Err(room.refuses(bytes));
            }
            self.press(room.limiter);
        }
    }

    /// How much `index` draws in advance.
    pub(super) fn batch(&self, index: usize) -> u64 {
        let (_, tightest) = self.tightest(index);
        self.config.batch.min(Bytes::new(tightest / BATCH_PART)).get()
    }

    fn is_pressed(&self, index: usize) -> bool {
        self.node(index).hot.is_pressed()
    }

    /// Returns all credit of `index` to its ancestors, for those who wait.
    pub(super) fn return_credit(&mut self, index: usize) {
        let credit = self.node(index).hot.sweep();
        self.note_freed(index, credit);
        self.uncharge(index, credit);
    }

    /// Returns credit of `index` beyond `most`.
    fn trim_credit(&mut self, index: usize, most: u64) {
        let credit = self.node(index).hot.sweep();
        let kept = credit.min(most);
        self.uncharge(index, credit - kept);
        self.node(index).hot.stock(kept);
    }

    /// Has everything below `top` go by the lock, and takes back its credit.
    pub(super) fn press(&mut self, top: usize) {
        self.node_mut(top).bottleneck = true;
        for index in self.subtree(top) {
            let credit = self.node(index).hot.press(true);
            self.uncharge(index, credit);
        }
    }

    /// Charges to `to` what is charged to `from`, below what both have in common.
    pub(super) fn transfer(&mut self, from: usize, to: usize, bytes: u64) -> Result<(), Rejected> {
        // Taken off first, so that it is not in its own way; nobody sees that under the lock.
        self.uncharge(from, bytes);
        loop {
            let room = self.room_beside(to, from);
            if room.bytes >= bytes {
                self.charge(to, bytes);
                return Ok(());
            }
            if room.cause == Cause::Line || self.node(room.limiter).bottleneck {
                self.charge(from, bytes);
                return Err(room.refuses(bytes));
            }
            self.press(room.limiter);
        }
    }

    /// Lets go of what is pressed from `index` up, where there is room again and nobody waits.
    pub(super) fn relieve(&mut self, index: usize) {
        let pressed: Vec<usize> = self.path(index).filter(|at| self.node(*at).bottleneck).collect();
        for top in pressed {
            let node = self.node(top);
            let free = node.limit.saturating_sub(node.charge);
            let waited_for = self.line.nodes().any(|waiting| self.is_below(waiting, top));
            if waited_for || free < (node.limit / RELIEF).max(1) {
                continue;
            }
            self.node_mut(top).bottleneck = false;
            for below in self.subtree(top) {
                if !self.path(below).any(|at| self.node(at).bottleneck) {
                    self.node(below).hot.press(false);
                }
            }
        }
    }
}

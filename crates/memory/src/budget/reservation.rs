//! What is held of a budget, and goes back by `Drop`.

use std::fmt;
use std::sync::Arc;

use plimsoll_core_types::Bytes;

use super::Budget;
use super::error::{NodeId, OtherNode, Rejected};
use super::tree::Owner;

/// Bytes that are held of a budget. Dropping it gives them back.
///
/// It may be sent to another thread, stored, split and merged. For memory that grows and shrinks
/// all the time within one task, a [`Leaf`](super::Leaf) is several times as fast.
#[must_use = "dropping a Reservation gives it back at once"]
pub struct Reservation {
    owner: Arc<Owner>,
    bytes: u64,
}

impl Reservation {
    /// Wraps bytes that are charged to `owner` already.
    pub(super) const fn charged(owner: Arc<Owner>, bytes: u64) -> Self {
        Self { owner, bytes }
    }

    /// What it holds.
    pub const fn bytes(&self) -> Bytes {
        Bytes::new(self.bytes)
    }

    /// Which node it is charged to.
    pub fn node(&self) -> NodeId {
        NodeId(self.owner.index() as u32)
    }

    /// Holds `more` beside what it holds, or stays what it is.
    ///
    /// # Errors
    ///
    /// When the node or an ancestor has not that much more.
    #[inline]
    pub fn try_grow(&mut self, more: Bytes) -> Result<(), Rejected> {
        self.owner.take(more.get())?;
        self.bytes += more.get();
        Ok(())
    }

    /// Gives `less` back, at most all of it, and says how much that was.
    #[inline]
    pub fn shrink(&mut self, less: Bytes) -> Bytes {
        let back = less.get().min(self.bytes);
        self.bytes -= back;
        self.owner.give(back);
        Bytes::new(back)
    }

    /// Holds exactly `bytes` afterwards, or stays what it is.
    ///
    /// # Errors
    ///
    /// When that is more and there is not that much more.
    pub fn try_resize(&mut self, bytes: Bytes) -> Result<(), Rejected> {
        if let Some(more) = bytes.get().checked_sub(self.bytes) {
            return self.try_grow(Bytes::new(more));
        }
        self.shrink(Bytes::new(self.bytes - bytes.get()));
        Ok(())
    }

    /// Takes `part` of it, at most all of it, as a reservation of its own. Nothing is charged
    /// anew.
    pub fn split(&mut self, part: Bytes) -> Self {
        let part = part.get().min(self.bytes);
        self.bytes -= part;
        Self { owner: Arc::clone(&self.owner), bytes: part }
    }

    /// Makes `other` part of this one.
    ///
    /// # Errors
    ///
    /// When they are charged to different nodes; `other` comes back with the error.
    pub fn merge(&mut self, mut other: Self) -> Result<(), (Self, OtherNode)> {
        if !Arc::ptr_eq(&self.owner, &other.owner) {
            let error = OtherNode { ours: self.node(), theirs: other.node() };
            return Err((other, error));
        }
        self.bytes += std::mem::take(&mut other.bytes);
        Ok(())
    }

    /// Charges it to `to` instead, or leaves it where it is. What both nodes have in common stays
    /// charged all the while: within one tree nothing can come between.
    ///
    /// # Errors
    ///
    /// When `to`, or an ancestor that is not also one of the present node's, has not that much.
    pub fn transfer(&mut self, to: &Budget) -> Result<(), Rejected> {
        let theirs = to.owner();
        if Arc::ptr_eq(self.owner.tree(), theirs.tree()) {
            let (from, at) = (self.owner.index(), theirs.index());
            self.owner.tree().release(from, |state| state.transfer(from, at, self.bytes))?;
        } else {
            theirs.take(self.bytes)?;
            self.owner.give(self.bytes);
        }
        self.owner = Arc::clone(theirs);
        Ok(())
    }

    /// Its node, to take more from, and what it holds, which it holds no more.
    pub(super) fn take_all(&mut self) -> u64 {
        std::mem::take(&mut self.bytes)
    }

    /// Whether it is charged to `owner`.
    pub(super) fn is_of(&self, owner: &Arc<Owner>) -> bool {
        Arc::ptr_eq(&self.owner, owner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.owner.give(self.bytes);
        }
    }
}

impl fmt::Debug for Reservation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reservation")
            .field("bytes", &self.bytes())
            .field("node", &self.node())
            .finish()
    }
}

/// Bytes that are held of a budget for as long as that is borrowed. Dropping it gives them back.
///
/// What [`Reservation`] is, without a share in the budget's ownership: taking and giving back are
/// one atomic operation each.
#[must_use = "dropping a Hold gives it back at once"]
#[derive(Debug)]
pub struct Hold<'b> {
    owner: &'b Owner,
    bytes: u64,
}

impl<'b> Hold<'b> {
    pub(super) const fn charged(owner: &'b Owner, bytes: u64) -> Self {
        Self { owner, bytes }
    }

    /// What it holds.
    pub const fn bytes(&self) -> Bytes {
        Bytes::new(self.bytes)
    }
}

impl Drop for Hold<'_> {
    #[inline]
    fn drop(&mut self) {
        self.owner.give(self.bytes);
    }
}

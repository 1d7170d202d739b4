//! How much a node may have now: its room, and who stands in its way.
//!
//! At each ancestor, from the node up, the room is the limit less what is charged, less what was
//! freed for others. Of that, what children are guaranteed and have not taken yet is kept for
//! those that are active. Under even sharing an active child gets no more than its guarantee and
//! an equal part of the rest, as in Spark's `ExecutionMemoryPool`, where a task gets at most 1/N;
//! unlike `DataFusion`'s `FairSpillPool` the parts are of what there is now, so that a consumer that
//! comes late can't be promised what others hold.
//!
//! Within its guarantee a child is bounded by the room alone.

use super::config::Sharing;
use super::error::{Cause, NodeId, Rejected};
use super::line::{Earmarks, Waiter};
use super::state::State;

/// How much may be had, and what bounds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Room {
    pub(super) bytes: u64,
    pub(super) limiter: usize,
    pub(super) cause: Cause,
}

impl Room {
    pub(super) fn refuses(&self, asked: u64) -> Rejected {
        Rejected::new(asked, self.bytes, NodeId(self.limiter as u32), self.cause)
    }
}

impl State {
    /// The room for whoever asks at `index` without waiting: none where others wait.
    pub(super) fn room(&self, index: usize) -> Room {
        let room = self.room_with(index, &Earmarks::default());
        if self.line.is_empty() {
            return room;
        }
        let Some(closed) = self.path(index).find(|at| self.line.is_closed(*at)) else {
            return room;
        };
        // Those who wait come first, but not before what was guaranteed.
        let bytes = room.bytes.min(self.guarantee_left(index));
        Room { bytes, limiter: closed, cause: Cause::Line }
    }

    /// The room for a waiter, which may have what is earmarked for it.
    pub(super) fn room_of(&self, waiter: &Waiter) -> Room {
        self.room_with(waiter.node, &waiter.earmarks)
    }

    fn room_with(&self, index: usize, own: &Earmarks) -> Room {
        let mut least = Room { bytes: u64::MAX, limiter: index, cause: Cause::Limit };
        let mut child = None;
        for at in self.path(index) {
            let room = self.room_at(at, child, own.at(at));
            // On a tie the nearest is named: less has to be swept for it.
            if room.bytes < least.bytes {
                least = room;
            }
            child = Some(at);
        }
        least
    }

    /// The room at `to` for bytes that were charged to `from` just now: what both have in common
    /// has room for them, and only shares of it may stand in the way.
    pub(super) fn room_beside(&self, to: usize, from: usize) -> Room {
        let mut least = Room { bytes: u64::MAX, limiter: to, cause: Cause::Limit };
        let mut child = None;
        for at in self.path(to) {
            let common = self.is_below(from, at);
            let mut room = self.room_at(at, child, 0);
            if common && room.cause == Cause::Limit {
                room.bytes = u64::MAX;
            } else if !common && self.line.is_closed(at) {
                room = Room { bytes: 0, limiter: at, cause: Cause::Line };
            }
            if room.bytes < least.bytes {
                least = room;
            }
            if common {
                break;
            }
            child = Some(at);
        }
        least
    }

    /// The room at `at` for what lies below its child `child`, or for itself.
    fn room_at(&self, at: usize, child: Option<usize>, own_earmark: u64) -> Room {
        let node = self.node(at);
        let kept = node.earmarked.saturating_sub(own_earmark);
        let free = node.limit.saturating_sub(node.charge).saturating_sub(kept);
        let limit = Room { bytes: free, limiter: at, cause: Cause::Limit };
        let plain = !self.guarantees && node.allowance.sharing == Sharing::FirstCome;
        if plain || node.children.is_empty() {
            return limit;
        }
        let share = self.share_at(at, child, free);
        if share < free { Room { bytes: share, limiter: at, cause: Cause::Share } } else { limit }
    }

    /// What of `free` at `at` the child `child` is entitled to.
    fn share_at(&self, at: usize, child: Option<usize>, free: u64) -> u64 {
        let node = self.node(at);
        let (mut active, mut guaranteed, mut unfilled) = (0_u64, 0_u64, 0_u64);
        let mut of_children = 0_u64;
        for other in &node.children {
            let (charge, promised) = {
                let other = self.node(*other);
                (other.charge, other.allowance.guaranteed.get())
            };
            of_children += charge;
            if child == Some(*other) {
                active += 1;
                guaranteed += promised;
            } else if self.is_active(*other) {
                active += 1;
                guaranteed += promised;
                unfilled += promised.saturating_sub(charge);
            }
        }
        let beyond = free.saturating_sub(unfilled);
        let Some(child) = child else { return beyond };
        let child = self.node(child);
        let promised = child.allowance.guaranteed.get();
        let within = promised.saturating_sub(child.charge).min(free);
        if node.allowance.sharing == Sharing::FirstCome {
            return beyond.max(within);
        }
        let own = node.charge.saturating_sub(of_children);
        let rest = node.limit.saturating_sub(own).saturating_sub(guaranteed);
        let cap = promised.saturating_add(rest / active.max(1));
        beyond.min(cap.saturating_sub(child.charge)).max(within)
    }

    /// What `index` has left of what it and each of its ancestors are guaranteed. Nothing is
    /// guaranteed to the root, which is nobody's child.
    pub(super) fn guarantee_left(&self, index: usize) -> u64 {
        if !self.guarantees || self.node(index).parent.is_none() {
            return 0;
        }
        let left = self.path(index).filter(|at| self.node(*at).parent.is_some()).map(|at| {
            let node = self.node(at);
            node.allowance.guaranteed.get().saturating_sub(node.charge)
        });
        left.min().unwrap_or(0)
    }
}

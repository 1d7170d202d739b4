//! Those who wait: by priority, then by who came first.
//!
//! A waiter that does not fit closes the node that it has run into: whoever comes later and needs
//! something there waits as well, so that a large request can't starve behind small ones. Who does
//! not need that node is not blocked. Where the node's own share was the matter, it closes its
//! child alone: the others are entitled to theirs.
//!
//! A waiter that has been passed by so many of a higher priority is passed by none any more.

use std::collections::VecDeque;
use std::sync::Arc;

use plimsoll_core_types::Priority;
use tokio::sync::oneshot;

use super::error::Cause;
use super::reservation::Reservation;
use super::room::Room;
use super::state::State;
use super::tree::Owner;

/// A waiter's number, never used twice in one tree.
pub(super) type TicketNumber = u64;

/// What was freed for a waiter, by node.
#[derive(Debug, Default)]
pub(super) struct Earmarks(Vec<(usize, u64)>);

impl Earmarks {
    pub(super) fn at(&self, node: usize) -> u64 {
        self.0.iter().find(|(at, _)| *at == node).map_or(0, |(_, bytes)| *bytes)
    }

    fn add(&mut self, node: usize, bytes: u64) {
        match self.0.iter_mut().find(|(at, _)| *at == node) {
            Some((_, held)) => *held += bytes,
            None => self.0.push((node, bytes)),
        }
    }
}

/// One who waits.
#[derive(Debug)]
pub(super) struct Waiter {
    pub(super) ticket: TicketNumber,
    pub(super) node: usize,
    pub(super) bytes: u64,
    pub(super) priority: Priority,
    pub(super) earmarks: Earmarks,
    passed: u32,
    owner: Arc<Owner>,
    answer: oneshot::Sender<Reservation>,
}

/// A grant to be handed over outside of the lock.
#[derive(Debug)]
pub(super) struct Delivery {
    owner: Arc<Owner>,
    bytes: u64,
    answer: oneshot::Sender<Reservation>,
}

impl Delivery {
    /// Hands it over; where nobody takes it any more, it goes back.
    pub(super) fn deliver(self) {
        // What can't be sent comes back as the error, and is dropped here.
        drop(self.answer.send(Reservation::charged(self.owner, self.bytes)));
    }
}

/// Everybody who waits in one tree.
#[derive(Debug)]
pub(super) struct Line {
    waiters: VecDeque<Waiter>,
    /// Nodes where the first in line does not fit.
    closed: Vec<usize>,
    most: usize,
    bypass: u32,
    next: TicketNumber,
}

impl Line {
    pub(super) const fn new(most: usize, bypass: u32) -> Self {
        Self { waiters: VecDeque::new(), closed: Vec::new(), most, bypass, next: 0 }
    }

    pub(super) fn len(&self) -> usize {
        self.waiters.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiters.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.waiters.len() >= self.most
    }

    pub(super) fn is_closed(&self, node: usize) -> bool {
        self.closed.contains(&node)
    }

    /// Where each waiter waits.
    pub(super) fn nodes(&self) -> impl Iterator<Item = usize> + '_ {
        self.waiters.iter().map(|waiter| waiter.node)
    }

    pub(super) fn get(&self, ticket: TicketNumber) -> Option<&Waiter> {
        self.waiters.iter().find(|waiter| waiter.ticket == ticket)
    }

    /// How many are before the waiter.
    pub(super) fn position(&self, ticket: TicketNumber) -> Option<usize> {
        self.waiters.iter().position(|waiter| waiter.ticket == ticket)
    }

    /// Puts somebody in line, behind everybody of the same or a higher priority, and behind those
    /// who have been passed often enough.
    fn enter(
        &mut self,
        owner: Arc<Owner>,
        bytes: u64,
        priority: Priority,
        answer: oneshot::Sender<Reservation>,
    ) -> TicketNumber {
        let ticket = self.next;
        self.next += 1;
        let mut place = self.waiters.len();
        while let Some(before) = place.checked_sub(1) {
            let other = &mut self.waiters[before];
            if other.priority >= priority || other.passed >= self.bypass {
                break;
            }
            other.passed += 1;
            place = before;
        }
        let (node, earmarks) = (owner.index(), Earmarks::default());
        let waiter = Waiter { ticket, node, bytes, priority, earmarks, passed: 0, owner, answer };
        self.waiters.insert(place, waiter);
        ticket
    }
}

impl State {
    /// Puts somebody in line, and serves it at once where it fits.
    pub(super) fn enter(
        &mut self,
        owner: Arc<Owner>,
        bytes: u64,
        priority: Priority,
        answer: oneshot::Sender<Reservation>,
    ) -> TicketNumber {
        let ticket = self.line.enter(owner, bytes, priority, answer);
        self.serve();
        ticket
    }

    /// Takes somebody out of the line, with what was earmarked for it. The owner that it kept is
    /// to be dropped outside of the lock.
    pub(super) fn leave(&mut self, ticket: TicketNumber) -> Option<Waiter> {
        let waiter = self.remove_waiter(self.line.position(ticket)?);
        self.serve();
        Some(waiter)
    }

    /// Grants what fits, in order, and closes the nodes where somebody does not fit.
    pub(super) fn serve(&mut self) {
        self.line.closed.clear();
        if self.guarantees {
            self.serve_guaranteed();
        }
        let mut place = 0;
        while place < self.line.len() && !self.line.is_closed(ROOT) {
            let node = self.line.waiters[place].node;
            if self.path(node).any(|at| self.line.is_closed(at)) {
                place += 1;
                continue;
            }
            match self.blocked(place) {
                None => self.grant(place),
                Some(room) => {
                    self.close(node, room);
                    place += 1;
                }
            }
        }
    }

    /// Grants what lies within guarantees, whoever else waits.
    fn serve_guaranteed(&mut self) {
        let mut place = 0;
        while place < self.line.len() {
            let waiter = &self.line.waiters[place];
            let entitled = waiter.bytes <= self.guarantee_left(waiter.node);
            if entitled && self.blocked(place).is_none() {
                self.grant(place);
            } else {
                place += 1;
            }
        }
    }

    /// What the waiter at `place` has run into, once credit there has been swept; none where it
    /// fits.
    fn blocked(&mut self, place: usize) -> Option<Room> {
        loop {
            let waiter = &self.line.waiters[place];
            let room = self.room_of(waiter);
            if room.bytes >= waiter.bytes {
                return None;
            }
            if self.node(room.limiter).bottleneck {
                return Some(room);
            }
            self.press(room.limiter);
        }
    }

    fn close(&mut self, node: usize, room: Room) {
        let below = |at: &usize| self.node(*at).parent == Some(room.limiter);
        let at = match room.cause {
            Cause::Share => self.path(node).find(below).unwrap_or(room.limiter),
            Cause::Limit | Cause::Line => room.limiter,
        };
        self.line.closed.push(at);
    }

    fn grant(&mut self, place: usize) {
        let Waiter { node, bytes, owner, answer, .. } = self.remove_waiter(place);
        self.charge(node, bytes);
        self.outbox.push(Delivery { owner, bytes, answer });
    }

    fn remove_waiter(&mut self, place: usize) -> Waiter {
        let waiter = self.line.waiters.remove(place).expect("the place was just looked at");
        for (at, bytes) in &waiter.earmarks.0 {
            let node = self.node_mut(*at);
            node.earmarked = node.earmarked.saturating_sub(*bytes);
        }
        waiter
    }

    /// Sees to it that what was freed at `index` goes to whom it was freed for: at the ancestors
    /// that both have, nobody else may take it.
    pub(super) fn note_freed(&mut self, index: usize, bytes: u64) {
        for at in 0..self.reclaims.len() {
            let reclaim = &self.reclaims[at];
            if !self.is_below(index, reclaim.node) {
                continue;
            }
            let (ticket, part) = (reclaim.ticket, bytes.min(reclaim.wanted));
            self.reclaims[at].freed += bytes;
            self.reclaims[at].wanted -= part;
            if let Some(place) = ticket.and_then(|ticket| self.line.position(ticket)) {
                self.earmark(place, index, part);
            }
            // What is freed is freed for one.
            return;
        }
    }

    fn earmark(&mut self, place: usize, freed_at: usize, bytes: u64) {
        let theirs: Vec<usize> = self.path(freed_at).collect();
        let common: Vec<usize> =
            self.path(self.line.waiters[place].node).filter(|at| theirs.contains(at)).collect();
        for at in common {
            self.node_mut(at).earmarked += bytes;
            self.line.waiters[place].earmarks.add(at, bytes);
        }
    }
}

/// The root's place in the state.
pub(super) const ROOT: usize = 0;

//! The places of a half-open breaker's probes.
//!
//! Each place holds when its probe is overdue, so that a probe that never comes back holds its
//! place for a known time and no longer: what half-open breakers elsewhere get stuck on
//! (resilience4j issues 903, 935 and 1568). A place that is taken stays so across turns of the
//! breaker, so that the number in flight is bounded at every moment and not by turn only.

use std::time::Duration;

use super::word::LATEST;
use crate::sync::{AtomicU64, Ordering};

/// What the holder of a place wrote there: the place's number among the rest, so that it is all
/// that a probe has to carry. Its highest bits are never those of a closed breaker's word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ticket(pub(super) u64);

/// What came of asking for a place.
pub(super) enum Claim {
    Taken(Ticket),
    /// A probe of this turn has not come back in time.
    Overdue,
    /// Every place is taken, or has served its turn.
    Full,
}

/// An entry is empty (zero), or says that a probe is out or has gone well, in which turn, and when
/// it is overdue.
pub(super) struct Probes {
    places: Box<[AtomicU64]>,
    timeout_ms: u64,
}

const EMPTY: u64 = 0;
const OUT: u64 = 1 << 62;
const WELL: u64 = 2 << 62;
const INDEX: u32 = 38;
const TURN: u32 = 43;

const fn turn_of(entry: u64) -> u32 {
    ((entry >> TURN) & 0xffff) as u32
}

impl Ticket {
    /// In which turn its probe was let out.
    pub(super) const fn turn(self) -> u32 {
        turn_of(self.0)
    }

    const fn index(self) -> usize {
        (self.0 >> INDEX & 31) as usize
    }
}

const fn is_out(entry: u64) -> bool {
    entry >> 62 == OUT >> 62
}

const fn is_overdue(entry: u64, now_ms: u64) -> bool {
    entry & LATEST <= now_ms
}

impl Probes {
    pub(super) fn new(count: u8, timeout: Duration) -> Self {
        let places = (0..count).map(|_| AtomicU64::new(EMPTY)).collect();
        Self { places, timeout_ms: timeout.as_millis() as u64 }
    }

    /// Takes a place for a probe of `turn`, if there is one.
    pub(super) fn claim(&self, turn: u32, now_ms: u64) -> Claim {
        let overdue = self.places.iter().map(|place| place.load(Ordering::Acquire));
        if overdue.into_iter().any(|e| is_out(e) && turn_of(e) == turn && is_overdue(e, now_ms)) {
            return Claim::Overdue;
        }
        let until = now_ms.saturating_add(self.timeout_ms).min(LATEST);
        let entry = OUT | u64::from(turn) << TURN | until;
        for (place, index) in self.places.iter().zip(0_u64..) {
            let entry = entry | index << INDEX;
            let found = place.load(Ordering::Acquire);
            let free = if is_out(found) {
                is_overdue(found, now_ms)
            } else {
                found == EMPTY || turn_of(found) != turn
            };
            let order = (Ordering::AcqRel, Ordering::Relaxed);
            if free && place.compare_exchange(found, entry, order.0, order.1).is_ok() {
                return Claim::Taken(Ticket(entry));
            }
        }
        Claim::Full
    }

    /// The probe went well: its place is not given out again in this turn. False where it had lost
    /// its place.
    pub(super) fn done(&self, ticket: Ticket) -> bool {
        self.replace(ticket, ticket.0 ^ OUT | WELL)
    }

    /// Gives the place back, unless it was lost.
    pub(super) fn free(&self, ticket: Ticket) {
        self.replace(ticket, EMPTY);
    }

    fn replace(&self, ticket: Ticket, by: u64) -> bool {
        let place = &self.places[ticket.index()];
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        place.compare_exchange(ticket.0, by, order.0, order.1).is_ok()
    }
}

//! Compartments: what one kind of work may take, so that no other drowns with it.
//!
//! Source: M. Nygard, *Release It!* (2007), chapter *Bulkheads*. A compartment has seats of its own
//! and may borrow from a common stock, so that seats that are set aside are few and none lies idle
//! while another kind of work needs it. It refuses at once and has no line: waiting belongs to the
//! pool and to the load manager.

use std::sync::Arc;

use plimsoll_core_types::Reason;

use crate::sync::{AtomicU64, Ordering};

/// A number of seats that may be taken at the same time.
#[derive(Debug)]
pub struct Seats {
    taken: AtomicU64,
    limit: AtomicU64,
}

impl Seats {
    /// So many seats, all free.
    pub fn new(limit: usize) -> Self {
        Self { taken: AtomicU64::new(0), limit: AtomicU64::new(limit as u64) }
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire) as usize
    }

    /// How many there are.
    pub fn limit(&self) -> usize {
        self.limit.load(Ordering::Acquire) as usize
    }

    /// Changes how many there are. Seats that are taken stay so; where more are taken than there
    /// are now, none is given out until enough have come back.
    pub fn set_limit(&self, limit: usize) {
        self.limit.store(limit as u64, Ordering::Release);
    }

    fn take(&self) -> bool {
        let limit = self.limit.load(Ordering::Acquire);
        let step = |taken| (taken < limit).then_some(taken + 1);
        self.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, step).is_ok()
    }

    fn give_back(&self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A compartment.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_integration::resilience::{Bulkhead, Seats};
///
/// let common = Arc::new(Seats::new(1));
/// let chat = Bulkhead::new(2).borrowing_from(Arc::clone(&common));
/// let batch = Bulkhead::new(0).borrowing_from(common);
///
/// let borrowed = batch.enter().unwrap();
/// let own = [chat.enter().unwrap(), chat.enter().unwrap()];
/// assert_eq!(chat.enter().unwrap_err().to_string(), "all 3 seats are taken, 2 of them its own");
/// drop(borrowed);
/// assert!(chat.enter().is_ok());
/// # drop(own);
/// ```
#[derive(Debug)]
pub struct Bulkhead {
    own: Seats,
    common: Option<Arc<Seats>>,
}

/// A compartment is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all {limit} seats are taken, {own} of them its own")]
pub struct Full {
    /// How many seats it could have at most.
    pub limit: usize,
    /// How many of them are its own.
    pub own: usize,
    /// How many it has taken.
    pub taken: usize,
}

impl Full {
    /// The same as a reason.
    pub const fn reason(&self) -> Reason {
        Reason::Overload { in_system: self.taken, limit: self.limit }
    }
}

impl Bulkhead {
    /// A compartment with `own` seats that nobody else can take.
    pub fn new(own: usize) -> Self {
        Self { own: Seats::new(own), common: None }
    }

    /// The same compartment, which borrows from `common` when its own seats are taken.
    #[must_use]
    pub fn borrowing_from(mut self, common: Arc<Seats>) -> Self {
        self.common = Some(common);
        self
    }

    /// Takes a seat, until the answer is dropped.
    ///
    /// # Errors
    ///
    /// When neither a seat of its own nor a common one is free.
    pub fn enter(&self) -> Result<Seat<'_>, Full> {
        if self.own.take() {
            return Ok(Seat { of: &self.own, borrowed: false });
        }
        if let Some(common) = &self.common
            && common.take()
        {
            return Ok(Seat { of: common, borrowed: true });
        }
        let common = self.common.as_ref().map_or(0, |seats| seats.limit());
        let (own, taken) = (self.own.limit(), self.own.taken());
        Err(Full { limit: own + common, own, taken })
    }

    /// Its own seats.
    pub const fn own(&self) -> &Seats {
        &self.own
    }
}

/// A seat that is taken; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropped at once, it holds nothing"]
pub struct Seat<'a> {
    of: &'a Seats,
    borrowed: bool,
}

impl Seat<'_> {
    /// True where it is a common one.
    pub const fn is_borrowed(&self) -> bool {
        self.borrowed
    }
}

impl Drop for Seat<'_> {
    fn drop(&mut self) {
        self.of.give_back();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Whoever comes and goes: own seats are never lent, the common ones never lent twice, and
        /// all come back.
        #[test]
        fn seats_add_up(
            own in prop::collection::vec(0_usize..4, 1..4),
            common in 0_usize..4,
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 0..200),
        ) {
            let stock = Arc::new(Seats::new(common));
            let compartments: Vec<_> =
                own.iter().map(|o| Bulkhead::new(*o).borrowing_from(Arc::clone(&stock))).collect();
            let mut seats: Vec<(usize, Seat<'_>)> = Vec::new();
            for (enters, which) in steps {
                let index = which.index(compartments.len());
                let held = seats.iter().filter(|(at, seat)| *at == index && !seat.is_borrowed());
                let held = held.count();
                let borrowed = seats.iter().filter(|(_, seat)| seat.is_borrowed()).count();
                if enters {
                    let entered = compartments[index].enter();
                    prop_assert_eq!(entered.is_ok(), held < own[index] || borrowed < common);
                    seats.extend(entered.ok().map(|seat| (index, seat)));
                } else if !seats.is_empty() {
                    drop(seats.swap_remove(which.index(seats.len())));
                }
                let taken: usize = compartments.iter().map(|c| c.own().taken()).sum();
                prop_assert_eq!(taken + stock.taken(), seats.len());
            }
            seats.clear();
            prop_assert!(stock.taken() == 0 && compartments.iter().all(|c| c.own().taken() == 0));
        }
    }

    #[test]
    fn a_smaller_limit_waits_for_seats_to_come_back() {
        let bulkhead = Bulkhead::new(2);
        let (first, second) = (bulkhead.enter().unwrap(), bulkhead.enter().unwrap());
        bulkhead.own().set_limit(1);
        drop(first);
        assert_eq!(bulkhead.enter().unwrap_err(), Full { limit: 1, own: 1, taken: 1 });
        drop(second);
        assert!(bulkhead.enter().is_ok());
    }
}

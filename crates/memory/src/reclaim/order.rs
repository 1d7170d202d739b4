//! Who is asked first, and how far each is trusted.
//!
//! By priority, the lowest first; within one by what is freed for what it costs
//! ([`GiveUp`]): bytes ÷ (cost + probability of need × cost of return). The bytes that are offered
//! count by what the same reclaimer's word was worth before.

use std::cmp::Ordering;

use plimsoll_core_types::{Bytes, GiveUp, Priority, Ratio};
use serde::{Deserialize, Serialize};

use super::{Outcome, ReclaimReport};

/// How much of a reclaimer's earlier worth is kept at each turn.
const KEEP: f64 = 0.7;
/// At most so many turns are sat out at once.
const LONGEST_OUT: u32 = 64;

/// How far a reclaimer is trusted.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Trust {
    /// What was measured of what it said, of late: one where its word is good.
    pub worth: Ratio,
    /// How often in a row it hung, panicked or overstated.
    pub strikes: u32,
    /// For how many more turns it is not asked.
    pub sits_out: u32,
}

impl Default for Trust {
    fn default() -> Self {
        Self { worth: Ratio::ONE, strikes: 0, sits_out: 0 }
    }
}

impl Trust {
    /// True where this turn is sat out; each call is a turn.
    pub(super) fn sits_out(&mut self) -> bool {
        let out = self.sits_out > 0;
        self.sits_out = self.sits_out.saturating_sub(1);
        out
    }

    /// Learns from a turn.
    pub(super) fn learn(&mut self, report: &ReclaimReport) {
        let worth = match report.outcome {
            Outcome::Freed => 1.0,
            Outcome::Overstated => report.measured.share_of(report.claimed).get().min(1.0),
            Outcome::TimedOut | Outcome::Panicked => 0.0,
            // Who says that it has nothing says nothing false.
            Outcome::Nothing => return,
        };
        self.worth = Ratio::saturating(KEEP * self.worth.get() + (1.0 - KEEP) * worth);
        if report.outcome == Outcome::Freed {
            self.strikes = 0;
        } else {
            self.strikes = self.strikes.saturating_add(1);
            self.sits_out = 1_u32.checked_shl(self.strikes).unwrap_or(LONGEST_OUT).min(LONGEST_OUT);
        }
    }
}

/// An offer, discounted by what its maker's word is worth.
#[derive(Clone, Copy, Debug)]
pub(super) struct Offered {
    priority: Priority,
    offer: GiveUp,
}

impl Offered {
    /// None where nothing is offered.
    pub(super) fn new(priority: Priority, offer: GiveUp, trust: Trust) -> Option<Self> {
        let worth = Ratio::saturating(trust.worth.get().max(0.01));
        let offer = GiveUp { bytes: offer.bytes.scaled(worth), ..offer };
        (!offer.bytes.is_zero()).then_some(Self { priority, offer })
    }

    /// What it can be expected to free.
    pub(super) const fn bytes(&self) -> Bytes {
        self.offer.bytes
    }

    /// Sorts the first to be asked first.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority).then_with(|| self.offer.compare(&other.offer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    use plimsoll_core_types::ConsumerId;

    fn report(claimed: u64, measured: u64, outcome: Outcome) -> ReclaimReport {
        let consumer = ConsumerId::new("a").unwrap();
        ReclaimReport {
            beneficiary: consumer.clone(),
            consumer,
            asked: Bytes::new(claimed),
            claimed: Bytes::new(claimed),
            measured: Bytes::new(measured),
            took: Duration::ZERO,
            outcome,
        }
    }

    fn offer(mib: u64, cost_ms: u64, need: f64) -> GiveUp {
        GiveUp {
            bytes: Bytes::from_mib(mib),
            cost: Duration::from_millis(cost_ms),
            need: Ratio::saturating(need),
            return_cost: Duration::from_secs(1),
        }
    }

    #[test]
    fn priority_goes_before_value_and_value_counts_what_it_costs() {
        let make = |priority, offer| Offered::new(priority, offer, Trust::default()).unwrap();
        let mut order = [
            make(Priority::Normal, offer(900, 1, 0.0)),
            make(Priority::Low, offer(1, 1000, 1.0)),
            make(Priority::Normal, offer(900, 1, 0.9)),
            make(Priority::Normal, offer(100, 1, 0.0)),
        ];
        order.sort_by(Offered::compare);
        let mib: Vec<_> =
            order.iter().map(|o| (o.offer.bytes.get() >> 20, o.offer.need.get())).collect();
        assert_eq!(mib, [(1, 1.0), (900, 0.0), (100, 0.0), (900, 0.9)]);
        assert!(Offered::new(Priority::Low, offer(0, 1, 0.0), Trust::default()).is_none());
    }

    #[test]
    fn a_liar_is_asked_less_and_less() {
        let mut trust = Trust::default();
        let mut asked = 0;
        for _ in 0..200 {
            if !trust.sits_out() {
                asked += 1;
                trust.learn(&report(100, 1, Outcome::Overstated));
            }
        }
        assert!(asked < 10, "{asked}");
        assert!(trust.worth.get() < 0.2);
    }

    #[test]
    fn a_word_that_is_kept_is_worth_something_again() {
        let mut trust = Trust::default();
        trust.learn(&report(100, 0, Outcome::TimedOut));
        assert_eq!((trust.strikes, trust.sits_out), (1, 2));
        for _ in 0..20 {
            trust.learn(&report(100, 100, Outcome::Freed));
        }
        assert_eq!(trust.strikes, 0);
        assert!(trust.worth.get() > 0.99);
        let before = trust;
        trust.learn(&report(0, 0, Outcome::Nothing));
        assert_eq!(trust, before);
    }
}

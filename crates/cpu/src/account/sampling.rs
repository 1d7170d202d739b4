//! Which polls are measured, and what a measured one stands for.
//!
//! Reading a thread's CPU clock costs as much as many a whole poll. So each poll is measured with a
//! probability `p` that was fixed before it began, and what was measured counts `1/p` times
//! (Horvitz and Thompson, *A Generalization of Sampling Without Replacement*, 1952). The sum is
//! unbiased whatever the polls are like, and stays so while `p` adapts, because `p` depends on
//! earlier polls alone. Instead of throwing dice at each poll, the distance to the next one is
//! drawn, which is geometric: a poll that is not measured costs one decrement.
//!
//! `p` grows with the root mean square of the polls (Neyman's optimal allocation): where a few long
//! ones make up most of the time, more are looked at; and it is held below a limit of overhead.

use std::time::Duration;

use plimsoll_core_types::{Ratio, SplitMix64};

/// Measured polls after which older ones have faded to a third. Long, because what rare long polls
/// ask for has to be remembered between them.
const MEMORY: f64 = 4096.0;

/// Steers the probability of one class.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Moments {
    count: f64,
    mean: f64,
    square: f64,
}

/// What sampling may cost.
#[derive(Clone, Copy, Debug)]
pub(super) struct Budget {
    /// CPU time of two readings, in nanoseconds.
    pub(super) cost: f64,
    /// Aimed at, as a part of the CPU time that is measured.
    pub(super) overhead: Ratio,
    /// Never passed, while intervals can be made long enough.
    pub(super) most_overhead: Ratio,
    /// The longest mean distance between two measured polls.
    pub(super) most_interval: u32,
}

impl Moments {
    /// Learns from a measured poll. The sample is an unbiased one, so plain means will do.
    pub(super) fn add(&mut self, poll: Duration) {
        let nanos = poll.as_nanos() as f64;
        self.count = (self.count + 1.0).min(MEMORY);
        self.mean += (nanos - self.mean) / self.count;
        self.square += (nanos * nanos - self.square) / self.count;
    }

    /// The mean distance between measured polls from now on.
    pub(super) fn interval(&self, budget: &Budget) -> u32 {
        if self.count < 8.0 {
            return 1;
        }
        let aimed = budget.cost / (budget.overhead.get() * self.square.sqrt()).max(1e-9);
        let least = budget.cost / (budget.most_overhead.get() * self.mean).max(1e-9);
        let interval = aimed.max(least).clamp(1.0, f64::from(budget.most_interval.max(1)));
        interval.round() as u32
    }
}

/// How many polls to leave out before the next measured one, where each is measured with
/// probability `1/interval`.
pub(super) fn skip(random: &mut SplitMix64, interval: u32) -> u32 {
    if interval <= 1 {
        return 0;
    }
    let miss = 1.0 - 1.0 / f64::from(interval);
    let skip = random.share_above_zero().ln() / miss.ln();
    // Bounded by what a u32 holds: beyond it lies a probability of e^-4000000 at least.
    skip.min(f64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_testkit::seed;

    fn budget(cost: f64) -> Budget {
        Budget {
            cost,
            overhead: Ratio::saturating(0.01),
            most_overhead: Ratio::saturating(0.05),
            most_interval: 1024,
        }
    }

    #[test]
    fn distances_have_the_mean_that_they_should() {
        let mut random = SplitMix64::new(seed("distances", 3));
        for interval in [1, 2, 10, 300] {
            let rounds = 100_000;
            let sum: f64 = (0..rounds).map(|_| f64::from(skip(&mut random, interval) + 1)).sum();
            let mean = sum / f64::from(rounds);
            let error = (mean / f64::from(interval) - 1.0).abs();
            assert!(error < 0.015, "{interval}: {mean}");
        }
    }

    #[test]
    fn the_interval_follows_what_a_poll_costs() {
        let interval = |polls: &[u64]| {
            let mut moments = Moments::default();
            polls.iter().cycle().take(640).for_each(|nanos| {
                moments.add(Duration::from_nanos(*nanos));
            });
            moments.interval(&budget(1000.0))
        };
        // A millisecond: each is measured, for a thousandth of its time.
        assert_eq!(interval(&[1_000_000]), 1);
        // As short as a reading: one in a hundred costs a hundredth.
        assert_eq!(interval(&[1000]), 100);
        assert_eq!(interval(&[10]), 1024);
        // One in eight is a hundred times longer: looked at more often, at most for a twentieth.
        let uneven = interval(&[1000, 1000, 1000, 1000, 1000, 1000, 1000, 100_000]);
        assert_eq!(uneven, 3);
        assert_eq!(Moments::default().interval(&budget(1000.0)), 1);
    }

    #[test]
    fn estimates_are_unbiased_for_polls_of_any_kind() {
        let mut random = SplitMix64::new(seed("estimates_are_unbiased", 11));
        let kinds: [fn(u64) -> u64; 4] = [
            |_| 700,
            // Rare and long.
            |draw| if draw.is_multiple_of(500) { 2_000_000 } else { 900 },
            // Heavy-tailed.
            |draw| 500 * (1 << (draw.trailing_zeros() / 2).min(12)),
            // In step with itself: every hundredth, which a fixed distance would always miss or hit.
            |_| 0,
        ];
        for (kind, cost) in kinds.into_iter().enumerate() {
            let (mut truth, mut estimate, mut variance) = (0.0, 0.0, 0.0);
            let (mut left, mut weight, mut measured) = (0, 1_u32, 0);
            let mut moments = Moments::default();
            for poll in 0..2_000_000_u64 {
                let nanos = match kind {
                    3 if poll % 100 == 0 => 50_000,
                    3 => 1000,
                    _ => cost(random.next_u64()),
                };
                truth += nanos as f64;
                variance += (nanos as f64).powi(2) * f64::from(weight - 1);
                if left > 0 {
                    left -= 1;
                    continue;
                }
                measured += 1;
                estimate += nanos as f64 * f64::from(weight);
                moments.add(Duration::from_nanos(nanos));
                weight = moments.interval(&budget(1000.0));
                left = skip(&mut random, weight);
            }
            // Off by chance alone, and by little of that.
            let (error, chance) = ((estimate - truth).abs(), variance.sqrt());
            assert!(error < 4.0 * chance, "kind {kind}: {estimate} for {truth}, {chance}");
            assert!(chance < 0.1 * truth, "kind {kind}: {chance} of {truth}");
            let overhead = f64::from(measured) * 1000.0 / truth;
            assert!(overhead < 0.08, "kind {kind}: {overhead}");
        }
    }
}

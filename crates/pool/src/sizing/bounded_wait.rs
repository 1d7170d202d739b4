//! How much a pool must do per second so that nobody waits longer than a bound.
//!
//! A wait that is allowed is a buffer: what comes in a burst of length `w` may be worked off over
//! `w + wait`. So a window of length `w` in which `A` came needs a speed of `A / (w + wait)`, and
//! the need is the most over all windows. This is the effective bandwidth of deterministic network
//! calculus (Cruz, *A calculus for network delay*, 1991; Le Boudec & Thiran, *Network Calculus*,
//! 2001, §1.4), taken over windows that end now. The longest window gets no credit: what is asked for
//! that long is no burst.
//!
//! It is a series like any other, which can be forecast; a pool that is always as large as its
//! quantile at the lead time keeps the bound that often, for any distribution of arrivals.

use std::collections::VecDeque;
use std::time::Duration;

/// The need of a pool whose requests may wait, step by step.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_pool::sizing::BoundedWait;
///
/// let second = Duration::from_secs(1);
/// let mut none = BoundedWait::new(second, Duration::ZERO, 4);
/// let mut ten = BoundedWait::new(second, Duration::from_secs(10), 4);
/// for work in [0.0, 0.0, 0.0, 22.0] {
///     none.observe(work);
///     ten.observe(work);
/// }
/// assert_eq!(none.need(), 22.0);
/// assert_eq!(ten.need(), 5.5); // over four seconds; the burst alone would need two
/// ```
#[derive(Clone, Debug)]
pub struct BoundedWait {
    step: f64,
    wait: f64,
    /// The work of the latest steps, the newest last.
    steps: VecDeque<f64>,
    longest: usize,
}

impl BoundedWait {
    /// A need over steps of `step` (at least a nanosecond), where requests may wait for `wait`;
    /// windows are of one to `longest` steps (at least one, at most a million).
    pub fn new(step: Duration, wait: Duration, longest: usize) -> Self {
        let step = step.max(Duration::from_nanos(1)).as_secs_f64();
        let longest = longest.clamp(1, 1_000_000);
        Self { step, wait: wait.as_secs_f64(), steps: VecDeque::new(), longest }
    }

    /// Learns how much work came in the step that has ended. What is negative or no number counts
    /// as none.
    pub fn observe(&mut self, work: f64) {
        if self.steps.len() == self.longest {
            self.steps.pop_front();
        }
        let good = work.is_finite() && work > 0.0;
        self.steps.push_back(if good { work } else { 0.0 });
    }

    /// The work per second that would have kept the bound for what came of late; zero before the
    /// first step.
    pub fn need(&self) -> f64 {
        let (mut need, mut sum) = (0.0_f64, 0.0);
        for (count, work) in (1..=self.steps.len()).zip(self.steps.iter().rev()) {
            sum += work;
            let credit = if count == self.longest { 0.0 } else { self.wait };
            need = need.max(sum / (count as f64 * self.step + credit));
        }
        need
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn need(wait: u64, longest: usize, work: &[f64]) -> f64 {
        let seconds = Duration::from_secs;
        let mut need = BoundedWait::new(seconds(10), seconds(wait), longest);
        for work in work {
            need.observe(*work);
        }
        need.need()
    }

    #[test]
    fn a_steady_stream_needs_its_own_rate_once_it_has_lasted() {
        assert_eq!(need(10, 8, &[30.0; 20]), 3.0);
        assert_eq!(need(0, 8, &[30.0; 3]), 3.0);
        assert!(need(10, 8, &[30.0; 3]) < 3.0, "for so long it may yet be a burst");
    }

    #[test]
    fn a_burst_needs_what_works_it_off_in_time() {
        assert_eq!(need(10, 64, &[0.0, 0.0, 100.0]), 5.0);
        assert_eq!(need(30, 64, &[0.0, 0.0, 100.0]), 2.5);
        assert_eq!(need(10, 64, &[]), 0.0);
        assert_eq!(need(10, 64, &[f64::NAN, -5.0]), 0.0);
    }

    /// A server of constant speed that meets the need of every moment lets nobody wait longer.
    #[test]
    fn a_pool_that_meets_every_need_keeps_the_bound() {
        let work = |step: u64| ((step * 7919) % 97) as f64 * if step % 13 < 3 { 4.0 } else { 1.0 };
        let mut need = BoundedWait::new(Duration::from_secs(1), Duration::from_secs(10), 64);
        let mut after = |step| {
            need.observe(work(step));
            need.need()
        };
        let most = (0..5000).map(&mut after);
        let speed = most.fold(0.0, f64::max);
        let (mut backlog, mut longest) = (0.0_f64, 0.0_f64);
        for step in 0..5000 {
            backlog += work(step);
            backlog = (backlog - speed).max(0.0);
            longest = longest.max(backlog / speed);
        }
        assert!(longest <= 10.0, "{longest}");
    }
}

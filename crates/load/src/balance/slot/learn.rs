//! What answers, and measurements from outside, teach of a backend.

use plimsoll_core_types::Timestamp;

use super::{FASTEST, Slot, since};

/// Share of what is known of a backend's pace that one more answer leaves standing: about the
/// last 16 answers count.
const PACE_KEEPS: f64 = 15.0 / 16.0;
/// Share of the error rate that one more answer leaves standing.
const ERRORS_KEEP: f64 = 0.9;
/// An error rate below this is none.
const FORGOTTEN: f64 = 1e-9;
/// An error rate above this is taken as this, or a backend's score could not be written.
const MOST_ERRORS: f64 = 0.99;
/// A speed that was measured from outside is believed for this long.
const MEASURED_FOR: f64 = 10e9;
/// What is known of an idle backend is half forgotten after this time, so that one that was slow
/// or failing is tried again.
const IDLE_HALF_LIFE: f64 = 10e9;

impl Slot {
    /// Learns that what was expected to take `expected` nanoseconds at pace 1 took `taken`.
    /// While it is measured from outside, that is believed instead.
    #[inline]
    pub(in super::super) fn learn_pace(&mut self, expected: f64, taken: f64, now: Timestamp) {
        if since(now, self.measured_at) < MEASURED_FOR && self.measured_at > Timestamp::ZERO {
            return;
        }
        self.taken = self.taken * PACE_KEEPS + taken;
        self.expected = self.expected * PACE_KEEPS + expected;
        // Neither may dwindle to numbers so small that a processor works on them by microcode.
        self.expected = self.expected.max(1.0);
        self.taken = self.taken.max(self.expected * FASTEST);
        self.pace = (self.taken / self.expected).min(1.0 / FASTEST);
    }

    /// Learns that something took `taken` without an end: it is at least that slow.
    pub(in super::super) fn learn_at_least(&mut self, expected: f64, taken: f64, now: Timestamp) {
        if taken > expected * self.pace {
            self.learn_pace(expected, taken, now);
        }
    }

    /// Takes a measured pace: at once where it is another one, else as one more opinion, or the
    /// error of each measurement would decide between equal backends.
    pub(in super::super) fn measured(&mut self, pace: f64, now: Timestamp) {
        /// Measurements within this factor are of the same pace.
        const SAME: f64 = 1.25;
        const FOLLOWS: f64 = 1.0 / 8.0;
        self.measured_at = now;
        let pace = pace.clamp(FASTEST, 1.0 / FASTEST);
        let same = pace < self.pace * SAME && self.pace < pace * SAME;
        self.set_pace(if same { self.pace + (pace - self.pace) * FOLLOWS } else { pace });
    }

    fn set_pace(&mut self, pace: f64) {
        self.pace = pace;
        self.taken = self.expected * pace;
    }

    #[inline]
    pub(in super::super) fn learn_success(&mut self, now: Timestamp) {
        self.heard = now;
        self.failures_in_row = 0;
        if self.failing > 0.0 {
            let failing = self.failing * ERRORS_KEEP;
            self.failing = if failing < FORGOTTEN { 0.0 } else { failing };
            self.doubt = 0.0;
            self.expect_errors();
        }
    }

    /// Failures that are independent cost as many attempts as the odds say; those in a row are
    /// not, and say that the next fails too.
    fn expect_errors(&mut self) {
        let odds = self.failing / (1.0 - self.failing);
        self.errors = odds.max(self.doubt - 1.0);
    }

    pub(in super::super) fn learn_failure(&mut self) {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.failing = (1.0 - (1.0 - self.failing) * ERRORS_KEEP).min(MOST_ERRORS);
        self.doubt = (2.0 * self.doubt + 1.0).min(1.0 / (1.0 - MOST_ERRORS));
        self.expect_errors();
    }

    /// What failed before says nothing any more.
    pub(in super::super) fn forgive(&mut self) {
        self.failures_in_row = 0;
        (self.failing, self.doubt, self.errors) = (0.0, 0.0, 0.0);
    }

    /// Forgets of an idle backend what is old, so that it is tried again.
    pub(in super::super) fn forget(&mut self, now: Timestamp) {
        let idle = since(now, self.touched);
        if self.in_flight > 0 || idle <= 0.0 {
            return;
        }
        self.touched = now;
        let keeps = (-idle / IDLE_HALF_LIFE).exp2();
        self.failing *= keeps;
        self.doubt *= keeps;
        self.expect_errors();
        let (slow, believed) = (self.pace, self.believed_pace);
        if slow > believed {
            self.set_pace(believed + (slow - believed) * keeps);
        }
    }
}

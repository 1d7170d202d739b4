//! When to stop a process and when to let it go on, so that it uses its quota and no more.
//!
//! A token bucket again, looked at from outside: CPU time used is read now and then, and between
//! two looks the process may use more than it has by at most what fits between them. What it used
//! too much it pays by standing still.

use std::time::Duration;

use plimsoll_core_types::{Millicores, Timestamp};

/// How long the process runs or stands still between two looks, at the least and at the most. Short
/// enough that nobody who waits for it notices; long enough that a look costs little.
const LEAST_SLICE: Duration = Duration::from_millis(2);
const MOST_SLICE: Duration = Duration::from_millis(50);

/// What to do until the next look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slice {
    pub(super) may_run: bool,
    /// When to look again.
    pub(super) until: Timestamp,
}

/// Decides for one process.
#[derive(Debug)]
pub(super) struct Duty {
    /// CPU time per time.
    quota: f64,
    /// What may be saved up, in seconds of CPU time.
    depth: f64,
    /// What there is; negative is debt.
    balance: f64,
    /// How many cores it keeps busy while it may run.
    speed: f64,
    last: Option<(Timestamp, Duration)>,
    may_run: bool,
}

impl Duty {
    pub(super) fn new(quota: Millicores) -> Self {
        let quota = quota.as_cores().max(1e-3);
        let depth = quota * MOST_SLICE.as_secs_f64();
        Self { quota, depth, balance: depth, speed: 1.0, last: None, may_run: true }
    }

    pub(super) fn set_quota(&mut self, quota: Millicores) {
        self.quota = quota.as_cores().max(1e-3);
        self.depth = self.quota * MOST_SLICE.as_secs_f64();
    }

    /// Takes a look: `cpu` is what the process has used since it began.
    pub(super) fn look(&mut self, now: Timestamp, cpu: Duration) -> Slice {
        if let Some((then, before)) = self.last {
            let elapsed = now.saturating_since(then).as_secs_f64();
            let used = cpu.saturating_sub(before).as_secs_f64();
            self.balance = (self.balance + elapsed * self.quota - used).min(self.depth);
            if self.may_run && elapsed > 0.0 {
                // Rises at once and falls slowly: too short a slice does less harm than too long.
                self.speed = (used / elapsed).max(0.8 * self.speed).max(0.1);
            }
        }
        self.last = Some((now, cpu));
        self.may_run = self.balance > 0.0;
        let seconds = if self.may_run {
            // Until the balance is used up at this speed, net of what comes in.
            let net = self.speed - self.quota;
            if net > 0.0 { self.balance / net } else { f64::INFINITY }
        } else {
            // Until half the bucket is full: one pair of signals for several milliseconds of work.
            (0.5 * self.depth - self.balance) / self.quota
        };
        let (least, most) = (LEAST_SLICE.as_secs_f64(), MOST_SLICE.as_secs_f64());
        let slice = Duration::from_secs_f64(seconds.clamp(least, most));
        Slice { may_run: self.may_run, until: now + slice }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Runs a process that keeps `speed` cores busy whenever it may, for ten seconds.
    fn used(duty: &mut Duty, speed: impl Fn(f64) -> f64) -> f64 {
        let (mut now, mut cpu, mut looks) = (Timestamp::ZERO, Duration::ZERO, 0);
        while now < Timestamp::from_secs_f64(10.0) {
            let slice = duty.look(now, cpu);
            let span = slice.until.saturating_since(now);
            if slice.may_run {
                cpu += span.mul_f64(speed(now.as_secs_f64()));
            }
            now = slice.until;
            looks += 1;
        }
        assert!(looks <= 5001, "{looks}");
        cpu.as_secs_f64()
    }

    #[test]
    fn a_greedy_process_gets_its_quota() {
        let check = |quota: u64, speed: f64, least: f64, most: f64| {
            let used = used(&mut Duty::new(Millicores::new(quota)), |_| speed);
            assert!((least..=most).contains(&used), "{quota} {speed}: {used}");
        };
        check(500, 1.0, 4.75, 5.25);
        check(500, 4.0, 4.75, 5.25);
        check(1500, 2.0, 14.2, 15.8);
        check(100, 1.0, 0.95, 1.05);
        // Less than it may have: it is never stopped.
        check(2000, 1.0, 10.0, 10.06);
    }

    #[test]
    fn a_new_quota_holds_from_the_next_look() {
        let mut duty = Duty::new(Millicores::new(100));
        used(&mut duty, |_| 1.0);
        duty.set_quota(Millicores::new(900));
        duty.last = None;
        let used = used(&mut duty, |_| 1.0);
        assert!((8.5..9.5).contains(&used), "{used}");
    }

    proptest! {
        #[test]
        fn never_much_above_its_quota(quota in 20_u64..3000, speeds in prop::collection::vec(0.0..6.0_f64, 10)) {
            let used = used(&mut Duty::new(Millicores::new(quota)), |second| speeds[(second as usize).min(9)]);
            let most = quota as f64 / 1000.0 * 10.0;
            // Beyond it by what fits into one slice at a speed that was not to be foreseen.
            prop_assert!(used <= most * 1.05 + 6.0 * 0.05, "{used} of {most}");
        }
    }
}

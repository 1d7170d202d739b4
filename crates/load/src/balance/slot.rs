//! One backend as its balancer sees it: what is in progress there, how fast it has been, how it
//! fails; and from that, when it would be done with one more request.

use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::argmin::Score;
use super::config::{BackendConfig, EjectionConfig};

/// Share of what is known of a backend's pace that one more answer leaves standing: about the
/// last 16 answers count.
const PACE_KEEPS: f64 = 15.0 / 16.0;
/// What the believed speed counts for beside answers: as much as this many.
const PRIOR_ANSWERS: f64 = 4.0;
/// Share of the error rate that one more answer leaves standing.
const ERRORS_KEEP: f64 = 0.9;
/// An error rate above this is taken as this, or a backend's score could not be written.
const MOST_ERRORS: f64 = 0.99;
/// What is known of an idle backend is half forgotten after this time, so that one that was slow
/// or failing is tried again.
const IDLE_HALF_LIFE: f64 = 10e9;
/// How slow a backend is taken to be at the beginning of its slow start.
const SLOW_START: f64 = 10.0;

/// Whether a backend may be sent requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum State {
    /// Nobody is here.
    Vacant,
    /// Like any other.
    Open,
    /// Ends what it has begun.
    Draining,
    /// Removed, with requests still in progress.
    Leaving,
    /// Out of rotation until then.
    Ejected { until: Timestamp },
    /// Out of rotation, but probed: this many dispatches may still go there, this many answers
    /// are still wanted.
    Probing { to_send: u32, to_hear: u32 },
}

/// What other balancers have sent, by the backend's last report.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Foreign {
    pub(super) in_flight: f64,
    pub(super) backlog: f64,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) id: ReplicaId,
    pub(super) state: State,
    pub(super) slots: f64,
    pub(super) in_flight: u32,
    /// Nanoseconds of work in progress, at pace 1.
    pub(super) backlog: f64,
    pub(super) foreign: Foreign,
    /// Nanoseconds taken for a nanosecond of work.
    pub(super) pace: f64,
    taken: f64,
    expected: f64,
    /// Probability that a request fails.
    pub(super) failing: f64,
    pub(super) failures_in_row: u32,
    pub(super) ejections: u32,
    pub(super) returned: Timestamp,
    /// When something was last heard of it, or begun while it was idle.
    pub(super) heard: Timestamp,
    touched: Timestamp,
    /// Nanoseconds that a request takes longer for being in another zone.
    pub(super) distance: f64,
    believed_pace: f64,
}

/// What has to be known of all backends to score one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fleet {
    /// Nanoseconds of work in a request of which nothing is known.
    pub(super) typical: f64,
    pub(super) slow_start: f64,
    pub(super) late: bool,
}

pub(super) fn nanos(duration: Duration) -> f64 {
    duration.as_nanos() as f64
}

fn since(now: Timestamp, earlier: Timestamp) -> f64 {
    now.as_nanos().saturating_sub(earlier.as_nanos()) as f64
}

impl Slot {
    pub(super) fn new(
        id: ReplicaId,
        config: &BackendConfig,
        distance: f64,
        typical: f64,
        now: Timestamp,
    ) -> Self {
        let believed_pace = 1.0 / config.speed.get().max(1e-6);
        Self {
            id,
            state: State::Open,
            slots: config.slots.clamp(1, 1 << 20) as f64,
            in_flight: 0,
            backlog: 0.0,
            foreign: Foreign::default(),
            pace: believed_pace,
            taken: PRIOR_ANSWERS * typical * believed_pace,
            expected: PRIOR_ANSWERS * typical,
            failing: 0.0,
            failures_in_row: 0,
            ejections: 0,
            returned: now,
            heard: now,
            touched: now,
            distance,
            believed_pace,
        }
    }

    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, State::Ejected { .. } | State::Probing { .. })
    }

    /// Nanoseconds of work before one more request would begin, at pace 1.
    ///
    /// With `n` in progress on `c` slots, one more begins after `n - c + 1` of them have ended;
    /// together they are the backlog, and `c` are worked on at once.
    pub(super) fn ahead(&self) -> f64 {
        let in_flight = f64::from(self.in_flight) + self.foreign.in_flight;
        let before = in_flight - self.slots + 1.0;
        if before <= 0.0 {
            return 0.0;
        }
        (self.backlog + self.foreign.backlog) * before / (in_flight * self.slots)
    }

    /// Nanoseconds of work in progress for each slot that stays free, at pace 1; it tells nearly
    /// equal backends apart before any is full.
    fn spread(&self) -> f64 {
        (self.backlog + self.foreign.backlog) / self.slots
    }

    /// Nanoseconds until one more request of `work` would be done, or [`Score::NEVER`].
    pub(super) fn score(&self, work: f64, fleet: &Fleet, now: Timestamp) -> Score {
        /// How much a backend that has free slots is worse for those that are taken. Small: it
        /// only orders backends that are equal otherwise.
        const SPREAD: f64 = 1.0 / 64.0;
        if self.state != State::Open || (fleet.late && self.is_full()) {
            return Score::NEVER;
        }
        let ahead = self.ahead() + SPREAD * self.spread();
        let errors = self.failing / (1.0 - self.failing) * fleet.typical;
        Score::new(
            (ahead + work) * self.pace * self.warming(fleet, now)
                + errors
                + self.distance
                + self.overdue(now),
        )
    }

    pub(super) fn is_full(&self) -> bool {
        f64::from(self.in_flight) + self.foreign.in_flight >= self.slots
    }

    fn warming(&self, fleet: &Fleet, now: Timestamp) -> f64 {
        let age = since(now, self.returned);
        if age >= fleet.slow_start {
            return 1.0;
        }
        1.0 / (age / fleet.slow_start).max(1.0 / SLOW_START)
    }

    /// Nanoseconds by which the next answer is late: it may take as long again.
    fn overdue(&self, now: Timestamp) -> f64 {
        if self.in_flight == 0 {
            return 0.0;
        }
        let each = self.backlog / f64::from(self.in_flight) * self.pace;
        (since(now, self.heard) - each).max(0.0)
    }

    pub(super) fn begin(&mut self, work: f64, now: Timestamp) {
        if self.in_flight == 0 {
            self.heard = now;
        }
        self.touched = now;
        self.in_flight += 1;
        self.backlog += work;
    }

    /// Takes what [`begin`](Self::begin) added.
    pub(super) fn end(&mut self, work: f64, now: Timestamp) {
        self.touched = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        // What rounding leaves must not outlive the requests.
        self.backlog = if self.in_flight == 0 { 0.0 } else { (self.backlog - work).max(0.0) };
    }

    /// Learns that what was expected to take `expected` nanoseconds at pace 1 took `taken`.
    pub(super) fn learn_pace(&mut self, expected: f64, taken: f64) {
        self.taken = self.taken * PACE_KEEPS + taken;
        self.expected = self.expected * PACE_KEEPS + expected;
        if self.expected > 0.0 {
            self.pace = (self.taken / self.expected).clamp(1e-6, 1e6);
        }
    }

    /// Learns that something took `taken` without an end: it is at least that slow.
    pub(super) fn learn_at_least(&mut self, expected: f64, taken: f64) {
        if taken > expected * self.pace {
            self.learn_pace(expected, taken);
        }
    }

    /// Takes a measured speed in place of what was learned.
    pub(super) fn set_pace(&mut self, pace: f64) {
        self.pace = pace.clamp(1e-6, 1e6);
        self.taken = self.expected * self.pace;
    }

    pub(super) fn learn_success(&mut self, now: Timestamp) {
        self.heard = now;
        self.failures_in_row = 0;
        self.failing *= ERRORS_KEEP;
    }

    pub(super) fn learn_failure(&mut self) {
        self.failures_in_row = self.failures_in_row.saturating_add(1);
        self.failing = (1.0 - (1.0 - self.failing) * ERRORS_KEEP).min(MOST_ERRORS);
    }

    /// Forgets of an idle backend what is old, so that it is tried again.
    pub(super) fn forget(&mut self, now: Timestamp) {
        let idle = since(now, self.touched);
        if self.in_flight > 0 || idle <= 0.0 {
            return;
        }
        self.touched = now;
        let keeps = (-idle / IDLE_HALF_LIFE).exp2();
        self.failing *= keeps;
        let (slow, believed) = (self.pace, self.believed_pace);
        if slow > believed {
            self.set_pace(believed + (slow - believed) * keeps);
        }
    }

    /// How long the next ejection lasts.
    pub(super) fn ejected_for(&self, config: &EjectionConfig) -> Duration {
        let doubled = config.first.saturating_mul(1 << self.ejections.min(20));
        doubled.min(config.longest).max(Duration::from_nanos(1))
    }
}

//! One backend as its balancer sees it: what is in progress there, how fast it has been, how it
//! fails; and from that, when it would be done with one more request.

use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

use super::config::{BackendConfig, EjectionConfig};
use super::scores::Side;

mod learn;

/// What the believed speed counts for beside answers: as much as this many.
const PRIOR_ANSWERS: f64 = 4.0;
/// Nanoseconds that a nanosecond of work takes at least; at most, as many times as many.
const FASTEST: f64 = 1e-6;
/// Work in progress is taken to be at most this many times what was expected of it.
const SURELY: f64 = 4.0;
/// Requests that others are taken to have sent to a backend since it was heard of.
const UNHEARD: f64 = 0.5;
/// How slow a backend is taken to be at the beginning of its slow start.
const SLOW_START: f64 = 10.0;

/// Lanes in which a backend's line is followed; more slots share them.
const LANES: usize = 8;

/// What a request has taken of a lane.
#[derive(Clone, Copy, Debug)]
pub(super) struct Taken {
    pub(super) lane: u8,
    /// Nanoseconds until it should begin.
    pub(super) waits: f64,
    /// When it should end, less what answers had moved its lane by.
    pub(super) ends: f64,
}

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

/// Nanoseconds from now until a request would be done: `base`, and `pace` for each of its own.
#[derive(Clone, Copy, Debug)]
pub(super) struct Completion {
    pub(super) base: f64,
    pub(super) pace: f64,
}

impl Completion {
    pub(super) fn of(self, work: f64) -> f64 {
        self.base + work * self.pace
    }
}

/// What other balancers have sent, by the backend's last report.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Foreign {
    pub(super) in_flight: f64,
    /// Whether the backend ever reported.
    pub(super) known: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Slot {
    pub(super) id: ReplicaId,
    pub(super) state: State,
    pub(super) slots: u32,
    pub(super) in_flight: u32,
    /// The count of dispatches when it was last chosen.
    pub(super) age: u16,
    pub(super) side: Side,
    /// Nanoseconds of work in progress, at pace 1.
    pub(super) backlog: f64,
    pub(super) foreign: Foreign,
    /// When each lane should have done what was given to it.
    free_at: [f64; LANES],
    /// By how much answers have moved what was predicted of each lane.
    moved: [f64; LANES],
    lanes: usize,
    /// One slot's share of its lane.
    narrow: f64,
    /// One slot's share of all of them.
    share: f64,
    /// Nanoseconds taken for a nanosecond of work.
    pub(super) pace: f64,
    taken: f64,
    expected: f64,
    /// Probability that a request fails.
    pub(super) failing: f64,
    /// How much likelier each failure in a row has made it that nothing works here: doubles with
    /// each, and is gone with the first success.
    doubt: f64,
    /// Typical requests that failures are expected to cost.
    errors: f64,
    pub(super) failures_in_row: u32,
    pub(super) ejections: u32,
    pub(super) returned: Timestamp,
    /// When something was last heard of it, or begun while it was idle.
    pub(super) heard: Timestamp,
    touched: Timestamp,
    /// When its speed was last measured from outside; zero is never.
    measured_at: Timestamp,
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

#[inline]
pub(super) fn nanos(duration: Duration) -> f64 {
    duration.as_secs() as f64 * 1e9 + f64::from(duration.subsec_nanos())
}

/// Nanoseconds of a clock, which signed numbers hold for 292 years: these turn into floats in one
/// instruction.
#[inline]
pub(super) fn moment(at: Timestamp) -> f64 {
    at.as_nanos().cast_signed() as f64
}

#[inline]
pub(super) fn since(now: Timestamp, earlier: Timestamp) -> f64 {
    now.as_nanos().saturating_sub(earlier.as_nanos()).cast_signed() as f64
}

impl Slot {
    pub(super) fn new(
        id: ReplicaId,
        config: &BackendConfig,
        distance: f64,
        typical: f64,
        now: Timestamp,
    ) -> Self {
        let believed_pace = 1.0 / config.speed.get().max(FASTEST);
        Self {
            id,
            state: State::Open,
            slots: config.slots.clamp(1, 1 << 20) as u32,
            in_flight: 0,
            age: 0,
            side: Side::Neither,
            backlog: 0.0,
            foreign: Foreign::default(),
            free_at: [0.0; LANES],
            moved: [0.0; LANES],
            lanes: config.slots.clamp(1, LANES),
            narrow: config.slots.clamp(1, LANES) as f64 / config.slots.max(1) as f64,
            share: 1.0 / config.slots.clamp(1, 1 << 20) as f64,
            pace: believed_pace,
            taken: PRIOR_ANSWERS * typical * believed_pace,
            expected: PRIOR_ANSWERS * typical,
            failing: 0.0,
            doubt: 0.0,
            errors: 0.0,
            failures_in_row: 0,
            ejections: 0,
            returned: now,
            heard: now,
            touched: now,
            measured_at: Timestamp::ZERO,
            distance,
            believed_pace,
        }
    }

    /// Takes the slots and the place of `other`, and keeps what was learned.
    pub(super) fn resize(&mut self, other: &Self) {
        (self.slots, self.distance) = (other.slots, other.distance);
        (self.lanes, self.narrow, self.share) = (other.lanes, other.narrow, other.share);
    }

    pub(super) fn is_out(&self) -> bool {
        matches!(self.state, State::Ejected { .. } | State::Probing { .. })
    }

    /// The lane that is free first, and when.
    #[inline]
    fn first_free(&self) -> (usize, f64) {
        if self.in_flight == 0 {
            return (0, self.free_at[0]);
        }
        let mut first = (0, f64::INFINITY);
        for (lane, free) in self.free_at[..self.lanes].iter().enumerate() {
            if *free < first.1 {
                first = (lane, *free);
            }
        }
        first
    }

    /// Nanoseconds until one more request would begin.
    #[inline]
    fn waits(&self, typical: f64, now: Timestamp) -> f64 {
        if !self.foreign.known && self.in_flight < self.slots {
            return 0.0;
        }
        let now = moment(now);
        (self.begins(typical, now) - now).max(0.0)
    }

    /// When one more request would begin, where others are before it or may be.
    fn begins(&self, typical: f64, now: f64) -> f64 {
        let in_flight = f64::from(self.in_flight) + self.foreign.in_flight;
        let before = in_flight - f64::from(self.slots) + 1.0;
        // The mean time between two of its answers while all slots are taken.
        let between = typical * self.pace * self.share;
        if self.foreign.known {
            // Others may have taken a slot that was free when it was counted: a hinge with a round
            // edge makes the last free slots worth less than the first.
            let before = before + UNHEARD;
            return now + f64::midpoint(before, (before * before + 1.0).sqrt()) * between;
        }
        // All slots are taken, so whatever was predicted, none is free now: those before this one
        // end one by one, each in the time of typical work, or less where all are known to be far
        // smaller.
        let known = SURELY * self.backlog / f64::from(self.in_flight.max(1));
        let each = known.min(typical) * self.pace * self.share;
        self.first_free().1.max(now + before * each)
    }

    /// When one more request would be done, as a line over its size; none where none may be sent.
    #[inline]
    pub(super) fn line(&self, fleet: &Fleet, now: Timestamp) -> Option<Completion> {
        if !matches!(self.state, State::Open) || (fleet.late && self.is_full()) {
            return None;
        }
        let waits = self.waits(fleet.typical, now);
        let base = waits + self.errors * fleet.typical + self.distance + self.overdue(now);
        Some(Completion { base, pace: self.pace * self.warming(fleet, now) })
    }

    /// Nanoseconds from `now` until one more request of `work` would be done; none where none may
    /// be sent.
    pub(super) fn completion(&self, work: f64, fleet: &Fleet, now: Timestamp) -> Option<f64> {
        self.line(fleet, now).map(|line| line.of(work))
    }

    /// Whether what is predicted is a moment, which time comes nearer to, rather than a time from
    /// whenever a request is sent.
    pub(super) fn is_queueing(&self) -> bool {
        !self.foreign.known && self.is_full()
    }

    #[inline]
    pub(super) fn is_full(&self) -> bool {
        if self.foreign.known {
            return f64::from(self.in_flight) + self.foreign.in_flight >= f64::from(self.slots);
        }
        self.in_flight >= self.slots
    }

    #[inline]
    fn warming(&self, fleet: &Fleet, now: Timestamp) -> f64 {
        if fleet.slow_start == 0.0 {
            return 1.0;
        }
        self.warming_for(fleet, now)
    }

    #[inline(never)]
    fn warming_for(&self, fleet: &Fleet, now: Timestamp) -> f64 {
        let age = since(now, self.returned);
        if age >= fleet.slow_start {
            return 1.0;
        }
        1.0 / (age / fleet.slow_start).max(1.0 / SLOW_START)
    }

    /// Nanoseconds by which the next answer is late: it may take as long again.
    #[inline]
    fn overdue(&self, now: Timestamp) -> f64 {
        if self.in_flight == 0 {
            return 0.0;
        }
        // Times the number in flight, to spare the division in most cases.
        let late = since(now, self.heard) * f64::from(self.in_flight) - self.backlog * self.pace;
        if late > 0.0 { late / f64::from(self.in_flight) } else { 0.0 }
    }

    #[inline]
    pub(super) fn begin(&mut self, work: f64, fleet: &Fleet, now: Timestamp) -> Taken {
        if self.in_flight == 0 {
            self.heard = now;
        }
        let waits = self.waits(fleet.typical, now);
        let begins = moment(now) + waits;
        let (lane, free) = self.first_free();
        let takes = work * self.pace;
        self.free_at[lane] = free.max(begins) + takes * self.narrow;
        self.touched = now;
        self.in_flight += 1;
        self.backlog += work;
        Taken { lane: lane as u8, waits, ends: begins + takes - self.moved[lane] }
    }

    /// Takes what [`begin`](Self::begin) added.
    #[inline]
    pub(super) fn end(&mut self, work: f64, taken: &Taken, now: Timestamp) {
        self.touched = now;
        self.in_flight = self.in_flight.saturating_sub(1);
        let lane = usize::from(taken.lane).min(LANES - 1);
        // What was predicted of it, by what has been learned since.
        let late = moment(now) - (taken.ends + self.moved[lane]);
        self.moved[lane] += late;
        self.free_at[lane] += late * self.narrow;
        // What rounding leaves must not outlive the requests.
        self.backlog = if self.in_flight == 0 { 0.0 } else { (self.backlog - work).max(0.0) };
        if self.in_flight == 0 {
            self.free_at = [0.0; LANES];
        }
    }

    #[cfg(test)]
    pub(super) const fn estimates(&self) -> [f64; 6] {
        [self.pace, self.taken, self.expected, self.failing, self.doubt, self.errors]
    }

    /// How long the next ejection lasts.
    pub(super) fn ejected_for(&self, config: &EjectionConfig) -> Duration {
        let doubled = config.first.saturating_mul(1 << self.ejections.min(20));
        doubled.min(config.longest).max(Duration::from_nanos(1))
    }
}

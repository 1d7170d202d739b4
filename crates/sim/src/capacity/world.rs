//! The pool in virtual time.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::{Demand, Parcel, Point, PoolOutcome, PoolSpec, PoolView, Sizer};

/// Work that waits, of one parcel.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    parcel: Parcel,
    left: f64,
    begun: bool,
}

pub(super) struct World<'a> {
    spec: &'a PoolSpec,
    demand: &'a Demand,
    queue: VecDeque<Waiting>,
    backlog: f64,
    ready: usize,
    /// When the replicas that start will be ready, the first one first.
    starting: VecDeque<Timestamp>,
    now: Timestamp,
    /// Since the last decision.
    came: f64,
    late: f64,
    worked: f64,
    /// Forecasts that are not due yet.
    forecasts: VecDeque<(Timestamp, f64)>,
    outcome: PoolOutcome,
}

impl<'a> World<'a> {
    pub(super) fn new(spec: &'a PoolSpec, demand: &'a Demand) -> Self {
        Self {
            spec,
            demand,
            queue: VecDeque::new(),
            backlog: 0.0,
            ready: spec.start.min(spec.most),
            starting: VecDeque::new(),
            now: Timestamp::ZERO,
            came: 0.0,
            late: 0.0,
            worked: 0.0,
            forecasts: VecDeque::new(),
            outcome: PoolOutcome { bytes: spec.bytes, ..PoolOutcome::default() },
        }
    }

    pub(super) fn run(mut self, sizer: &mut dyn Sizer) -> PoolOutcome {
        let end = Timestamp::ZERO + self.demand.span;
        let mut next = 0;
        let mut control = Timestamp::ZERO + self.spec.control;
        loop {
            let parcel = self.demand.parcels.get(next).filter(|parcel| parcel.at <= control);
            if let Some(parcel) = parcel {
                self.advance(parcel.at);
                self.arrive(*parcel);
                next += 1;
            } else if control <= end {
                self.advance(control);
                self.decide(sizer);
                control += self.spec.control;
            } else {
                break;
            }
        }
        // What waits at the end is served by what there is then, and counts, its time does not.
        self.drain();
        self.outcome.notes = sizer.notes();
        self.outcome.finish();
        self.outcome
    }

    fn counts(&self, at: Timestamp) -> bool {
        at.saturating_since(Timestamp::ZERO) >= self.spec.warm_up
    }

    fn arrive(&mut self, parcel: Parcel) {
        self.came += parcel.work;
        self.backlog += parcel.work;
        self.queue.push_back(Waiting { parcel, left: parcel.work, begun: false });
        if self.counts(parcel.at) {
            self.outcome.requests += parcel.requests;
        }
    }

    /// Serves up to `to`, replicas becoming ready on the way.
    fn advance(&mut self, to: Timestamp) {
        while let Some(ready) = self.starting.front().copied().filter(|ready| *ready <= to) {
            self.serve(ready);
            self.starting.pop_front();
            self.ready += 1;
        }
        self.serve(to);
    }

    /// Serves up to `to` at a constant speed.
    fn serve(&mut self, to: Timestamp) {
        let elapsed = to.saturating_since(self.now).as_secs_f64();
        let speed = self.ready as f64 * self.spec.unit;
        let can = elapsed * speed;
        let mut done = 0.0;
        while done < can {
            let Some(mut first) = self.queue.pop_front() else { break };
            let begins = self.now + Duration::from_secs_f64(done / speed);
            if !first.begun && !self.begin(&mut first, begins) {
                continue;
            }
            let part = first.left.min(can - done);
            done += part;
            first.left -= part;
            if first.left > 1e-9 * first.parcel.work {
                self.queue.push_front(first);
            }
        }
        self.backlog = if self.queue.is_empty() { 0.0 } else { (self.backlog - done).max(0.0) };
        self.worked += done;
        if self.counts(self.now) {
            let held = self.ready + self.starting.len();
            self.outcome.promised += held as f64 * elapsed;
            self.outcome.used += done / self.spec.unit;
        }
        self.now = to;
    }

    /// Notes how long a parcel waited. False where it would not wait any longer.
    fn begin(&mut self, waiting: &mut Waiting, at: Timestamp) -> bool {
        waiting.begun = true;
        let parcel = waiting.parcel;
        let waited = at.saturating_since(parcel.at);
        let failed = waited > self.spec.give_up;
        let late = waited > self.spec.wait;
        if late {
            self.late += parcel.work;
        }
        if failed {
            self.backlog -= parcel.work;
        }
        if self.counts(parcel.at) {
            self.outcome.late += if late { parcel.requests } else { 0.0 };
            self.outcome.failed += if failed { parcel.requests } else { 0.0 };
            self.outcome.waited(waited.min(self.spec.give_up), parcel.requests);
        }
        !failed
    }

    fn decide(&mut self, sizer: &mut dyn Sizer) {
        let view = PoolView {
            spec: self.spec,
            now: self.now,
            ready: self.ready,
            starting: self.starting.len(),
            came: self.came,
            backlog: self.backlog,
            late: self.late,
        };
        let wanted = sizer.size(&view).clamp(1, self.spec.most);
        self.note(sizer.forecast());
        let held = self.ready + self.starting.len();
        if wanted != held && self.counts(self.now) {
            self.outcome.decisions += 1;
        }
        for _ in held..wanted {
            self.starting.push_back(self.now + self.spec.lead);
            self.outcome.loads += usize::from(self.counts(self.now));
        }
        for _ in wanted..held {
            // The youngest goes first: it has the longest way to go.
            if self.starting.pop_back().is_none() {
                self.ready -= 1;
            }
        }
        self.outcome.peak = self.outcome.peak.max(self.ready + self.starting.len());
        (self.came, self.late, self.worked) = (0.0, 0.0, 0.0);
    }

    fn note(&mut self, forecast: Option<f64>) {
        if let Some(forecast) = forecast {
            self.forecasts.push_back((self.now + self.spec.lead, forecast / self.spec.unit));
        }
        let mut due = None;
        while let Some((_, forecast)) = self.forecasts.front().filter(|(at, _)| *at <= self.now) {
            due = Some(*forecast);
            self.forecasts.pop_front();
        }
        self.outcome.points.push(Point {
            at: self.now,
            capacity: self.ready as f64,
            promised: (self.ready + self.starting.len()) as f64,
            used: self.worked / self.spec.unit / self.spec.control.as_secs_f64(),
            forecast: due,
        });
    }

    fn drain(&mut self) {
        let speed = (self.ready.max(1) as f64) * self.spec.unit;
        let mut at = self.now;
        while let Some(mut first) = self.queue.pop_front() {
            let served = first.begun || self.begin(&mut first, at);
            if served {
                at += Duration::from_secs_f64(first.left / speed);
            }
        }
    }
}

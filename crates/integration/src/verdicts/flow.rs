//! How long requests take, seen from outside.
//!
//! Source: J. Little, *A Proof for the Queuing Formula L = λW* (Operations Research 1961): requests
//! in the system over time, divided by how many were completed, is how long each was in it. So it
//! takes nothing but counts that every engine has.

use std::time::Duration;

use plimsoll_core_types::{EngineSnapshot, ModelId, SystemSnapshot, Timestamp};

use crate::fade::Fade;
use crate::per_model::PerModel;

/// How fast the recent past is forgotten: it halves every so often.
const HALF_LIFE: Duration = Duration::from_secs(5);
/// Fewer completed requests than this say nothing.
pub(super) const ENOUGH: f64 = 20.0;

/// Request-seconds, and completed requests.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Flow {
    pub(super) area: f64,
    pub(super) completed: f64,
}

impl Flow {
    /// Seconds in the system per request; none where too few were completed to say.
    pub(super) fn response(self) -> Option<f64> {
        (self.completed >= ENOUGH).then(|| self.area / self.completed)
    }

    pub(super) fn since(self, earlier: Self) -> Self {
        let (area, completed) = (self.area - earlier.area, self.completed - earlier.completed);
        Self { area, completed }
    }

    fn add(&mut self, other: Self) {
        self.area += other.area;
        self.completed += other.completed;
    }
}

#[derive(Debug)]
struct Seen {
    at: Timestamp,
    arrivals: u64,
    in_system: usize,
    /// Since it was first seen.
    total: Flow,
    /// Of late.
    recent: Flow,
}

/// The flow through each model. Holds one entry for each model of the last snapshot.
#[derive(Debug, Default)]
pub(super) struct Flows {
    seen: PerModel<Seen>,
    /// Through all of them: so far, and of late.
    all: (Flow, Flow),
}

impl Flows {
    pub(super) fn observe(&mut self, snapshot: &SystemSnapshot) {
        let fresh = |engine: &EngineSnapshot| Seen {
            at: snapshot.at,
            arrivals: engine.arrivals,
            in_system: engine.in_progress + engine.waiting,
            total: Flow::default(),
            recent: Flow::default(),
        };
        let mut fade = Fade::new(HALF_LIFE);
        self.all = (Flow::default(), Flow::default());
        let seen = self.seen.follow(&snapshot.engines, fresh);
        for (seen, engine) in seen.zip(&snapshot.engines) {
            seen.observe(engine, snapshot.at, &mut fade);
            self.all.0.add(seen.total);
            self.all.1.add(seen.recent);
        }
    }

    /// Everything that went through `model` so far.
    pub(super) fn total(&self, model: &ModelId) -> Flow {
        self.seen.get(model).map_or(Flow::default(), |seen| seen.total)
    }

    /// What went through `model` of late.
    pub(super) fn recent(&self, model: &ModelId) -> Flow {
        self.seen.get(model).map_or(Flow::default(), |seen| seen.recent)
    }

    /// What went through all models but `model`: so far, and of late.
    pub(super) fn others(&self, model: &ModelId) -> (Flow, Flow) {
        let (total, recent) = self.all;
        (total.since(self.total(model)), recent.since(self.recent(model)))
    }
}

impl Seen {
    fn observe(&mut self, engine: &EngineSnapshot, now: Timestamp, fade: &mut Fade) {
        let elapsed = now.saturating_since(self.at).as_secs_f64();
        if elapsed <= 0.0 {
            return;
        }
        let in_system = engine.in_progress + engine.waiting;
        // A count between two looks is taken as the mean of both.
        let area = elapsed * (self.in_system + in_system) as f64 / 2.0;
        let came = engine.arrivals.saturating_sub(self.arrivals) as f64;
        let completed = (came + self.in_system as f64 - in_system as f64).max(0.0);
        let step = Flow { area, completed };
        let keep = fade.left_after(elapsed);
        self.recent.area *= keep;
        self.recent.completed *= keep;
        self.recent.add(step);
        self.total.add(step);
        (self.at, self.arrivals, self.in_system) = (now, engine.arrivals, in_system);
    }
}

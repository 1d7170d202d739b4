//! What actions turned out to be worth.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{
    EngineSnapshot, EngineState, ModelId, Ratio, ResourceVector, SystemSnapshot, Timestamp,
};

/// How long a shrunken lease must suffice before it counts as kept.
const TRIAL: Duration = Duration::from_secs(5);
/// More failures in a row than this change nothing any more.
const MOST_FAILURES: u32 = 6;

/// Judges actions against what would have happened without them.
///
/// A prewarm is kept when its model is asked for in time, and was for nothing otherwise; each one
/// that was for nothing halves the distance of that model's threshold to certainty, until one is
/// kept. A shrunken lease is kept when the engine stays within it for five seconds, and taken back
/// when the engine outgrows it.
#[derive(Debug, Default)]
pub struct Verdicts {
    trials: Vec<Trial>,
    failures: BTreeMap<ModelId, u32>,
    kept: u64,
    rolled_back: u64,
}

#[derive(Debug)]
struct Trial {
    model: ModelId,
    until: Timestamp,
    claim: Claim,
}

/// What must come true for an action to have been worth it.
#[derive(Debug)]
enum Claim {
    /// More than this many requests have come for the model.
    Asked { before: u64 },
    /// The engine uses no more than this.
    Within { amount: ResourceVector },
}

#[derive(PartialEq, Eq)]
enum Verdict {
    Open,
    Kept,
    RolledBack,
}

impl Verdicts {
    /// How many actions have been judged.
    pub const fn judged(&self) -> u64 {
        self.kept + self.rolled_back
    }

    /// How many of them were worth it.
    pub const fn kept(&self) -> u64 {
        self.kept
    }

    /// How many of them were not, and were taken back.
    pub const fn rolled_back(&self) -> u64 {
        self.rolled_back
    }

    pub(crate) fn prewarmed(&mut self, engine: &EngineSnapshot, now: Timestamp, within: Duration) {
        let claim = Claim::Asked { before: engine.arrivals };
        self.begin(engine, now + within, claim);
    }

    pub(crate) fn shrunk(&mut self, engine: &EngineSnapshot, to: &ResourceVector, now: Timestamp) {
        self.begin(engine, now + TRIAL, Claim::Within { amount: *to });
    }

    /// One trial of a kind and model at a time, which bounds the list.
    fn begin(&mut self, engine: &EngineSnapshot, until: Timestamp, claim: Claim) {
        let kind = std::mem::discriminant(&claim);
        self.trials.retain(|t| t.model != engine.model || std::mem::discriminant(&t.claim) != kind);
        self.trials.push(Trial { model: engine.model.clone(), until, claim });
    }

    pub(crate) fn observe(&mut self, snapshot: &SystemSnapshot) {
        let trials = std::mem::take(&mut self.trials);
        for trial in trials {
            // A model that is gone leaves nothing to judge.
            let Some(engine) = snapshot.engines.iter().find(|e| e.model == trial.model) else {
                continue;
            };
            match trial.judge(engine, snapshot.at) {
                Verdict::Open => self.trials.push(trial),
                verdict => self.record(&trial, &verdict),
            }
        }
    }

    fn record(&mut self, trial: &Trial, verdict: &Verdict) {
        let worth_it = *verdict == Verdict::Kept;
        *(if worth_it { &mut self.kept } else { &mut self.rolled_back }) += 1;
        if matches!(trial.claim, Claim::Asked { .. }) {
            if worth_it {
                self.failures.remove(&trial.model);
            } else {
                let failures = self.failures.entry(trial.model.clone()).or_default();
                *failures = (*failures + 1).min(MOST_FAILURES);
            }
        }
    }

    /// The probability from which `model` may be prewarmed, where `base` is the one for a model
    /// whose prewarms were worth it.
    pub(crate) fn threshold(&self, model: &ModelId, base: Ratio) -> Ratio {
        let failures = self.failures.get(model).copied().unwrap_or(0);
        let distance = base.complement().get() * 0.5_f64.powf(f64::from(failures));
        Ratio::saturating(1.0 - distance)
    }
}

impl Trial {
    fn judge(&self, engine: &EngineSnapshot, now: Timestamp) -> Verdict {
        let over = now >= self.until;
        match &self.claim {
            Claim::Asked { before } if engine.arrivals > *before => Verdict::Kept,
            Claim::Asked { .. } if over => Verdict::RolledBack,
            Claim::Within { .. } if engine.state != EngineState::Ready && over => Verdict::Kept,
            Claim::Within { amount } if engine.used.memory() > amount.memory() => {
                Verdict::RolledBack
            }
            Claim::Within { .. } if over => Verdict::Kept,
            _ => Verdict::Open,
        }
    }
}

//! What actions turned out to be worth.

mod claim;
mod flow;
mod judge;

use std::collections::{BTreeMap, HashMap};

use plimsoll_core_types::{
    Action, CacheId, CacheMetrics, Effect, ModelId, PlannedAction, Ratio, Reason, Seen, Timestamp,
};

use crate::config::PlanConfig;
use crate::sight::Sight;
use claim::{Claim, Tally};
use flow::Flows;
use judge::{Evidence, Verdict};

/// More failures in a row than this change nothing any more.
const MOST_FAILURES: u32 = 6;
/// More trials than this are not begun at a time.
const MOST_TRIALS: usize = 4096;

/// Judges actions against what would have happened without them.
///
/// | action | is kept when |
/// |---|---|
/// | prewarm | its model is asked for in time |
/// | evict | whoever it gave way to gains more seconds than its own users lose |
/// | resize (smaller) | the engine stays within its lease for five seconds |
/// | replace | the engine serves again within four times its load time |
/// | threads | requests take at most 1.2 times what they would have: what they took before, changed as much as those of all other models changed meanwhile |
/// | retune | the cache hits no less than its own simulation says that it would have |
/// | scale, degrade | no more requests wait than did |
/// | shed | no more requests wait than did, or not too many |
/// | shift | whoever it was for waits no longer |
/// | limit | the pool has it |
///
/// What was not kept is taken back where that is possible, and in any case not tried again for
/// twice as long as before, up to 64 times the cool-down; a prewarm halves the distance of its
/// model's threshold to certainty each time. One that is kept ends that.
#[derive(Debug, Default)]
pub struct Verdicts {
    trials: Vec<Trial>,
    failures: BTreeMap<&'static str, HashMap<String, u32>>,
    flows: Flows,
    tallies: BTreeMap<CacheId, Tally>,
    undo: Vec<PlannedAction>,
    news: Vec<Judged>,
    kept: u64,
    rolled_back: u64,
}

/// An action under way, or one that has been judged.
#[derive(Debug)]
struct Trial {
    at: Timestamp,
    until: Timestamp,
    kind: &'static str,
    subject: String,
    claim: Claim,
}

/// An action whose effect is known now.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// When it was planned.
    pub at: Timestamp,
    /// Its [`kind`](Action::kind).
    pub kind: &'static str,
    /// Its [`subject`](Action::subject).
    pub subject: String,
    /// What it was worth.
    pub seen: Seen,
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

    /// How many have not been judged yet.
    pub const fn open(&self) -> usize {
        self.trials.len()
    }

    /// Begins to watch `planned`, and says what is expected of it; none where that can't be told.
    pub(crate) fn begin(
        &mut self,
        planned: &PlannedAction,
        sight: &Sight<'_>,
        config: &PlanConfig,
    ) -> Option<Effect> {
        let snapshot = sight.snapshot;
        let (kind, subject) = (planned.action.kind(), planned.action.subject());
        let tally = self.tally(subject);
        self.give_up(&planned.action, snapshot.at);
        // One trial of a kind and subject at a time: the later action overrides the earlier.
        self.trials.retain(|trial| trial.kind != kind || trial.subject != subject);
        // What takes a change back is not itself on trial.
        if matches!(planned.reason, Reason::Worse { .. }) || self.trials.len() >= MOST_TRIALS {
            return None;
        }
        let (claim, effect, length) = claim::claim(planned, sight, config, &self.flows, tally)?;
        let (at, subject) = (snapshot.at, subject.to_owned());
        self.trials.push(Trial { at, until: at + length, kind, subject, claim });
        Some(effect)
    }

    /// An engine that is replaced once more was not helped by the last time.
    fn give_up(&mut self, action: &Action, now: Timestamp) {
        let Action::Replace { model } = action else { return };
        let same = |t: &Trial| t.kind == action.kind() && t.subject == model.as_str();
        if let Some(index) = self.trials.iter().position(same) {
            let trial = self.trials.swap_remove(index);
            let outage = now.saturating_since(trial.at).as_secs_f64();
            let seen = Seen { at: now, with: outage, without: outage, kept: false };
            self.settle(trial, seen, None);
        }
    }

    /// `action` was not done after all: there is nothing to judge.
    pub(crate) fn withdraw(&mut self, action: &Action) {
        let (kind, subject) = (action.kind(), action.subject());
        self.trials.retain(|trial| trial.kind != kind || trial.subject != subject);
    }

    /// Learns what a cache has done so far.
    pub(crate) fn observe_cache(&mut self, metrics: &CacheMetrics) {
        let tally = Tally {
            hits: metrics.hits,
            lookups: metrics.hits.saturating_add(metrics.misses),
            capacity: metrics.capacity,
            policy: metrics.policy,
        };
        self.tallies.insert(metrics.cache.clone(), tally);
    }

    fn tally(&self, subject: &str) -> Option<Tally> {
        self.tallies.get(subject).copied()
    }

    pub(crate) fn observe(&mut self, sight: &Sight<'_>) {
        let snapshot = sight.snapshot;
        self.flows.observe(snapshot);
        let trials = std::mem::take(&mut self.trials);
        for mut trial in trials {
            let evidence = Evidence {
                sight,
                flows: &self.flows,
                tally: self.tally(&trial.subject),
                elapsed: snapshot.at.saturating_since(trial.at),
                over: snapshot.at >= trial.until,
            };
            match trial.claim.judge(&trial.subject, &evidence) {
                Verdict::Open => self.trials.push(trial),
                Verdict::Void => {}
                Verdict::Settled { with, without, kept, undo } => {
                    let seen = Seen { at: snapshot.at, with, without, kept };
                    self.settle(trial, seen, undo.map(|action| *action));
                }
            }
        }
    }

    fn settle(&mut self, trial: Trial, seen: Seen, undo: Option<Action>) {
        *(if seen.kept { &mut self.kept } else { &mut self.rolled_back }) += 1;
        let failures = self.failures.entry(trial.kind).or_default();
        if seen.kept {
            failures.remove(&trial.subject);
        } else {
            let failures = failures.entry(trial.subject.clone()).or_default();
            *failures = (*failures + 1).min(MOST_FAILURES);
        }
        if let Some(action) = undo {
            let what = format!("{} of {}", trial.kind, trial.subject);
            let reason = Reason::Worse { what, without: seen.without, with: seen.with };
            self.undo.push(PlannedAction { action, reason });
        }
        let Trial { at, kind, subject, .. } = trial;
        if self.news.len() < MOST_TRIALS {
            self.news.push(Judged { at, kind, subject, seen });
        }
    }

    /// What takes back changes that did harm.
    pub(crate) fn take_undo(&mut self) -> Vec<PlannedAction> {
        std::mem::take(&mut self.undo)
    }

    /// What has been judged since this was last asked.
    pub(crate) fn take_news(&mut self) -> Vec<Judged> {
        std::mem::take(&mut self.news)
    }

    /// How many times in a row `kind` was not worth it for `subject`.
    pub(crate) fn failures(&self, kind: &'static str, subject: &str) -> u32 {
        let failures = self.failures.get(kind).and_then(|subjects| subjects.get(subject));
        failures.copied().unwrap_or(0)
    }

    /// Seconds that a request for `model` took of late, on average; none where too few came.
    pub(crate) fn response(&self, model: &ModelId) -> Option<f64> {
        self.flows.recent(model).response()
    }

    /// Forgets models and caches that are gone.
    pub(crate) fn forget(&mut self, exists: impl Fn(&str) -> bool) {
        for subjects in self.failures.values_mut() {
            subjects.retain(|subject, _| exists(subject));
        }
    }

    /// The probability from which `model` may be prewarmed, where `base` is the one for a model
    /// whose prewarms were worth it.
    pub(crate) fn threshold(&self, model: &ModelId, base: Ratio) -> Ratio {
        let failures = self.failures("prewarm", model.as_str());
        let distance = base.complement().get() * 0.5_f64.powf(f64::from(failures));
        Ratio::saturating(1.0 - distance)
    }
}

//! Plans: a snapshot in, actions with their reasons out.

mod draft;
mod evict;
mod footprint;
mod limit;
mod prewarm;
mod replace;
mod retune;
mod service;
mod shed;
#[cfg(test)]
pub(crate) mod tests;
mod undo;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use plimsoll_cache::residency::Groups;
use plimsoll_core_types::{
    Action, CacheMetrics, Effect, ModelId, PlannedAction, SystemSnapshot, Timestamp,
};

use crate::config::{ConfigError, PlanConfig};
use crate::cooldown::CoolDowns;
use crate::needs::Needs;
use crate::sight::Sight;
use crate::verdicts::{Judged, Verdicts};
use draft::Draft;
use service::Services;

/// Makes plans. Pure: the same snapshots in the same order give the same plans.
///
/// What it remembers from one snapshot to the next is how fast models are asked for, what it did
/// of late (so that it does not do it over and over), and what that was worth.
///
/// ```
/// use plimsoll_core_types::{Bytes, ResourceVector};
/// use plimsoll_integration::{PlanConfig, Planner};
///
/// let budget = ResourceVector::new().with_memory(Bytes::from_gib(8));
/// let planner = Planner::new(PlanConfig::new(budget))?;
/// assert_eq!(planner.verdicts().judged(), 0);
/// # Ok::<(), plimsoll_integration::ConfigError>(())
/// ```
#[derive(Debug)]
pub struct Planner {
    config: PlanConfig,
    needs: Needs,
    cool: CoolDowns,
    verdicts: Verdicts,
    services: Services,
    expected: Vec<Option<Effect>>,
    /// Since when those have waited that must wait for another one of their group to go.
    kept_out: BTreeMap<ModelId, Timestamp>,
    /// Kinds of action that nobody here can do.
    unsupported: BTreeSet<&'static str>,
}

impl Planner {
    /// A planner that has seen nothing yet.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: PlanConfig) -> Result<Self, ConfigError> {
        config.check()?;
        Ok(Self {
            config,
            needs: Needs::default(),
            cool: CoolDowns::default(),
            verdicts: Verdicts::default(),
            services: Services::default(),
            expected: Vec::new(),
            kept_out: BTreeMap::new(),
            unsupported: BTreeSet::new(),
        })
    }

    /// What to do now, in the order in which to do it.
    pub fn plan(&mut self, snapshot: &SystemSnapshot) -> Vec<PlannedAction> {
        self.needs.observe(snapshot);
        let sight = Sight::new(snapshot);
        self.verdicts.observe(&sight);
        self.verdicts.forget(|subject| exists(subject, &sight));
        let mut draft = Draft::new(&sight);
        self.plan_undo(&mut draft);
        // What protects comes before what makes room, and that before what merely helps.
        self.plan_limit(&mut draft);
        self.plan_replacements(&mut draft);
        self.plan_footprints(&mut draft);
        self.plan_evictions(&mut draft);
        self.plan_exclusions(&mut draft);
        self.plan_prewarm(&mut draft);
        self.plan_retunes(&mut draft);
        self.plan_services(&mut draft);
        self.plan_shedding(&mut draft);
        let mut actions = draft.into_actions();
        actions.retain(|planned| !self.unsupported.contains(planned.action.kind()));
        let Self { verdicts, config, expected, .. } = self;
        expected.clear();
        expected.extend(actions.iter().map(|planned| verdicts.begin(planned, &sight, config)));
        actions
    }

    /// What is expected of each action of the last plan, in its order; none where that can't be
    /// told.
    pub fn expected(&self) -> &[Option<Effect>] {
        &self.expected
    }

    /// An action of the last plan was not done, so that there is nothing to judge. Where nobody
    /// here can do its like (`unsupported`), it is not planned again.
    pub fn not_done(&mut self, action: &Action, unsupported: bool) {
        self.verdicts.withdraw(action);
        self.services.not_done(action);
        if unsupported {
            self.unsupported.insert(action.kind());
        }
    }

    /// Learns what a cache has done so far, by which its retunes are judged.
    pub fn observe_cache(&mut self, metrics: &CacheMetrics) {
        self.verdicts.observe_cache(metrics);
        self.services.observe_cache(metrics);
    }

    /// The actions whose effect has become clear since this was last asked.
    pub fn take_judged(&mut self) -> Vec<Judged> {
        self.verdicts.take_news()
    }

    /// Models belong to `groups` from now on.
    pub fn set_groups(&mut self, groups: Groups) {
        self.config.groups = groups;
    }

    /// Every model is served in full and nobody is refused now, whatever was decided before.
    pub fn reset_services(&mut self) {
        self.services = Services::default();
    }

    /// True when `kind` may be done to `subject`, which then cools down: for twice as long with
    /// each time in a row that it was not worth it.
    fn may(&mut self, kind: &'static str, subject: &str, now: Timestamp) -> bool {
        let pause = self.pause(kind, subject);
        self.cool.allow(kind, subject, now, pause)
    }

    fn pause(&self, kind: &'static str, subject: &str) -> Duration {
        self.config.cool_down.saturating_mul(1 << self.verdicts.failures(kind, subject))
    }

    /// What earlier actions turned out to be worth.
    pub const fn verdicts(&self) -> &Verdicts {
        &self.verdicts
    }

    /// How plans are made.
    pub const fn config(&self) -> &PlanConfig {
        &self.config
    }
}

/// True for a subject that a later plan may be about.
fn exists(subject: &str, sight: &Sight<'_>) -> bool {
    // Caches show in a snapshot only where they should be retuned: those are few, and kept.
    let cache = || sight.snapshot.strategies.iter().any(|s| s.cache.as_str() == subject);
    matches!(subject, "pool" | "requests")
        || sight.engine(subject).is_some()
        || sight.holds_lease(subject)
        || sight.waits_since(subject).is_some()
        || cache()
}

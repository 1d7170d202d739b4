//! Plans: a snapshot in, actions with their reasons out.

mod draft;
mod evict;
mod footprint;
mod limit;
mod prewarm;
mod replace;
mod retune;
#[cfg(test)]
mod tests;

use plimsoll_core_types::{PlannedAction, SystemSnapshot};

use crate::config::{ConfigError, PlanConfig};
use crate::cooldown::CoolDowns;
use crate::needs::Needs;
use crate::verdicts::Verdicts;
use draft::Draft;

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
        })
    }

    /// What to do now, in the order in which to do it.
    pub fn plan(&mut self, snapshot: &SystemSnapshot) -> Vec<PlannedAction> {
        self.needs.observe(snapshot);
        self.verdicts.observe(snapshot);
        let mut draft = Draft::new(snapshot);
        // What protects comes before what makes room, and that before what merely helps.
        self.plan_limit(&mut draft);
        self.plan_replacements(&mut draft);
        self.plan_footprints(&mut draft);
        self.plan_evictions(&mut draft);
        self.plan_prewarm(&mut draft);
        self.plan_retunes(&mut draft);
        draft.into_actions()
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

//! What to give up first when not everything can be had, and when to take it back.
//!
//! Sources: *Handling Overload* in Beyer et al., *Site Reliability Engineering* (2016), for
//! degrading before refusing and refusing by criticality; the Schmitt trigger (1938) for thresholds
//! that differ by direction. A step back that has to be undone soon makes the next one wait twice as
//! long, so that a load that just fits on one rung does not make the ladder swing.

use std::time::Duration;

use plimsoll_core_types::{Priority, Reason, ServiceLevel, Timestamp};

use crate::config::ConfigError;

/// One level and the strain at which it is taken and left.
///
/// Strain says how hard things are: 0 is idle, 1 is as much as there may be, and what is above can't
/// be served in full.
#[derive(Clone, Debug, PartialEq)]
pub struct Rung {
    /// The level.
    pub level: ServiceLevel,
    /// It is taken when strain has been at least this.
    pub enter_at: f64,
    /// It is left for the rung above when strain has been below this, which is less.
    pub leave_at: f64,
}

/// The rungs and their pace.
#[derive(Clone, Debug, PartialEq)]
pub struct LadderConfig {
    /// From the one that gives up least to the one that gives up most. Full service is not among
    /// them.
    pub rungs: Vec<Rung>,
    /// How long strain must last before more is given up. Default 1 s.
    pub enter_after: Duration,
    /// How long strain must be gone before a rung is left. At least `enter_after`; default 10 s.
    pub leave_after: Duration,
}

impl LadderConfig {
    /// Every level: a smaller context or replica, then `alias` where there is a smaller model to
    /// stand in, then the cache alone, then refusals by priority, the lowest first. Critical
    /// requests are never refused by it.
    pub fn with_alias(alias: Option<plimsoll_core_types::ModelId>) -> Self {
        let shed = |below| ServiceLevel::Shed { below };
        let mut levels = vec![ServiceLevel::Reduced];
        levels.extend(alias.map(|model| ServiceLevel::Alias { model }));
        levels.push(ServiceLevel::CacheOnly);
        levels.extend([Priority::Normal, Priority::High, Priority::Critical].map(shed));
        let rungs = levels.into_iter().zip(0..).map(|(level, index)| {
            let enter_at = 1.0 + 0.25 * f64::from(index);
            Rung { level, enter_at, leave_at: enter_at - 0.3 }
        });
        Self { rungs: rungs.collect(), ..Self::empty() }
    }

    const fn empty() -> Self {
        Self {
            rungs: Vec::new(),
            enter_after: Duration::from_secs(1),
            leave_after: Duration::from_secs(10),
        }
    }

    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.leave_after < self.enter_after {
            let given = format!("{} s", self.leave_after.as_secs_f64());
            return Err(ConfigError::new("leave_after", given, "at least `enter_after`"));
        }
        if self.rungs.len() > 16 {
            return Err(ConfigError::new("rungs", self.rungs.len(), "at most 16"));
        }
        for rung in &self.rungs {
            if rung.level == ServiceLevel::Full {
                return Err(ConfigError::new("rungs", "full service", "levels that give up more"));
            }
            // A comparison with NaN is false, which refuses it.
            let apart = rung.leave_at > 0.0 && rung.leave_at < rung.enter_at;
            if !(apart && rung.enter_at.is_finite()) {
                let given = format!("{} for {}", rung.leave_at, rung.enter_at);
                return Err(ConfigError::new("leave_at", given, "above 0 and below `enter_at`"));
            }
        }
        for pair in self.rungs.windows(2) {
            if pair[0].level >= pair[1].level {
                let allowed = "ordered by what they give up, each once";
                return Err(ConfigError::new("rungs", &pair[1].level, allowed));
            }
            if pair[0].enter_at > pair[1].enter_at {
                let allowed = "at least that of the rung above";
                return Err(ConfigError::new("enter_at", pair[1].enter_at, allowed));
            }
        }
        Ok(())
    }
}

/// One service's place on its ladder.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{ServiceLevel, Timestamp};
/// use plimsoll_integration::resilience::{Ladder, LadderConfig};
///
/// let mut ladder = Ladder::new(LadderConfig::with_alias(None))?;
/// let at = Timestamp::from_secs_f64;
/// assert_eq!(ladder.observe(Some(1.1), at(0.0)), None, "it may pass");
/// let step = ladder.observe(Some(1.1), at(1.0)).unwrap();
/// assert_eq!(step.to, ServiceLevel::Reduced);
/// assert_eq!(ladder.observe(Some(0.9), at(60.0)), None, "not yet low enough to go back");
/// ladder.observe(Some(0.5), at(61.0));
/// let step = ladder.observe(Some(0.5), at(71.0)).unwrap();
/// assert_eq!(step.to, ServiceLevel::Full);
/// # Ok::<(), plimsoll_integration::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Ladder {
    config: LadderConfig,
    /// How many rungs down; zero is full service.
    depth: usize,
    /// The same before the last step.
    before: usize,
    /// For each rung, since when strain has been enough for it without a break.
    strained: Vec<Option<Timestamp>>,
    /// Since when strain has been low enough to go a rung up.
    calm: Option<Timestamp>,
    went_up: Option<Timestamp>,
    /// How many steps back in a row had to be undone soon.
    flaps: u32,
}

/// A change of level.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// What it was.
    pub from: ServiceLevel,
    /// What it is now.
    pub to: ServiceLevel,
    /// Why.
    pub reason: Reason,
}

/// More steps back in a row that had to be undone change nothing any more.
const MOST_FLAPS: u32 = 5;

impl Ladder {
    /// A ladder at full service.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: LadderConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let strained = vec![None; config.rungs.len()];
        Ok(Self { config, depth: 0, before: 0, strained, calm: None, went_up: None, flaps: 0 })
    }

    /// Takes note of the strain at `now`, and says where that leads. None where strain is not
    /// known: the ladder then stays where it is.
    ///
    /// It goes down at once to the deepest rung that strain has been enough for, and up one rung at
    /// a time.
    pub fn observe(&mut self, strain: Option<f64>, now: Timestamp) -> Option<Step> {
        let Some(strain) = strain.filter(|strain| !strain.is_nan()) else {
            // What was not seen did not last.
            self.strained.fill(None);
            self.calm = None;
            return None;
        };
        for (since, rung) in self.strained.iter_mut().zip(&self.config.rungs) {
            *since = (strain >= rung.enter_at).then(|| since.unwrap_or(now));
        }
        let lasting = |since: &Option<Timestamp>| {
            since.is_some_and(|since| now.saturating_since(since) >= self.config.enter_after)
        };
        let deepest = self.strained.iter().rposition(lasting).map_or(0, |index| index + 1);
        if deepest > self.depth {
            return Some(self.down(deepest, strain, now));
        }
        self.rise(strain, now)
    }

    fn down(&mut self, to: usize, strain: f64, now: Timestamp) -> Step {
        let soon = self.pause().saturating_mul(3);
        self.flaps = match self.went_up.take() {
            Some(up) if now.saturating_since(up) < soon => (self.flaps + 1).min(MOST_FLAPS),
            Some(_) => 0,
            None => self.flaps,
        };
        self.calm = None;
        // In percent, since a reason's numbers are whole.
        let in_system = (strain * 100.0) as usize;
        self.step(to, Reason::Overload { in_system, limit: 100 })
    }

    fn rise(&mut self, strain: f64, now: Timestamp) -> Option<Step> {
        let rung = self.config.rungs.get(self.depth.checked_sub(1)?)?;
        if strain >= rung.leave_at {
            self.calm = None;
            return None;
        }
        let since = *self.calm.get_or_insert(now);
        let lasting = now.saturating_since(since);
        if lasting < self.pause() {
            return None;
        }
        // The next rung must prove itself for as long.
        self.calm = None;
        self.went_up = Some(now);
        Some(self.step(self.depth - 1, Reason::Calm { lasting }))
    }

    /// How long it must be calm before a rung is left.
    fn pause(&self) -> Duration {
        self.config.leave_after.saturating_mul(1 << self.flaps)
    }

    fn step(&mut self, to: usize, reason: Reason) -> Step {
        let from = self.level();
        self.before = std::mem::replace(&mut self.depth, to);
        Step { from, to: self.level(), reason }
    }

    /// The last step could not be taken after all: things are as they were before it, and strain or
    /// calm has to last anew before it is tried again.
    pub fn not_taken(&mut self) {
        self.depth = self.before;
        self.strained.fill(None);
        self.calm = None;
    }

    /// The level that is in force.
    pub fn level(&self) -> ServiceLevel {
        let rung = self.depth.checked_sub(1).and_then(|index| self.config.rungs.get(index));
        rung.map_or(ServiceLevel::Full, |rung| rung.level.clone())
    }

    /// Whether a request of `priority` is let in at all, at whatever level.
    pub fn admits(&self, priority: Priority) -> bool {
        match self.level() {
            ServiceLevel::Shed { below } => priority >= below,
            _ => true,
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use plimsoll_core_types::ModelId;
    use proptest::prelude::*;

    fn ladder() -> Ladder {
        let small = ModelId::new("small").unwrap();
        Ladder::new(LadderConfig::with_alias(Some(small))).unwrap()
    }

    fn at(seconds: f64) -> Timestamp {
        Timestamp::from_secs_f64(seconds)
    }

    #[test]
    fn the_rungs_are_in_order_and_critical_requests_get_through_longest() {
        let config = LadderConfig::with_alias(Some(ModelId::new("small").unwrap()));
        let levels: Vec<_> = config.rungs.iter().map(|rung| rung.level.to_string()).collect();
        assert_eq!(
            levels,
            [
                "reduced",
                "by small",
                "from the cache only",
                "from priority normal up only",
                "from priority high up only",
                "from priority critical up only"
            ]
        );
    }

    #[test]
    fn a_lasting_strain_goes_straight_to_where_it_belongs_and_back_step_by_step() {
        let mut ladder = ladder();
        assert_eq!(ladder.observe(Some(1.6), at(0.0)), None);
        let down = ladder.observe(Some(1.6), at(1.0)).unwrap();
        assert_eq!((down.from, down.to), (ServiceLevel::Full, ServiceLevel::CacheOnly));
        assert_eq!(down.reason.to_string(), "overload: 160 in the system, the limit is 100");
        let mut levels = Vec::new();
        for tick in 10..600 {
            let step = ladder.observe(Some(0.2), at(f64::from(tick) / 10.0));
            levels.extend(step.map(|step| (tick, step.to.to_string())));
        }
        let expected = [(110, "by small"), (211, "reduced"), (312, "in full")];
        assert_eq!(levels, expected.map(|(tick, level)| (tick, level.to_owned())));
    }

    #[test]
    fn a_step_that_could_not_be_taken_is_tried_again_later() {
        let mut ladder = ladder();
        for second in 0..6 {
            let step = ladder.observe(Some(1.1), at(f64::from(second)));
            assert_eq!(step.is_some(), second % 2 == 1, "{second}");
            if step.is_some() {
                assert_eq!(ladder.level(), ServiceLevel::Reduced);
                ladder.not_taken();
            }
            assert_eq!(ladder.level(), ServiceLevel::Full);
        }
    }

    #[test]
    fn a_dip_or_a_gap_in_what_is_known_begins_anew() {
        for interruption in [Some(0.5), None, Some(f64::NAN)] {
            let mut ladder = ladder();
            ladder.observe(Some(1.1), at(0.0));
            ladder.observe(interruption, at(0.5));
            assert_eq!(ladder.observe(Some(1.1), at(1.0)), None);
            assert!(ladder.observe(Some(1.1), at(2.0)).is_some());
        }
    }

    #[test]
    fn steps_back_that_are_undone_soon_come_ever_later() {
        // At full service the load is too much, one rung down it is none: the worst case.
        let mut ladder = ladder();
        let (mut steps, mut last) = (Vec::new(), 0.0);
        for tick in 0..30_000 {
            let now = f64::from(tick) / 10.0;
            let strain = if ladder.level() == ServiceLevel::Full { 1.1 } else { 0.1 };
            if ladder.observe(Some(strain), at(now)).is_some() {
                steps.push((now - last).round());
                last = now;
            }
        }
        let down: Vec<_> = steps.iter().skip(1).step_by(2).take(7).copied().collect();
        assert_eq!(down, [10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 320.0], "{steps:?}");
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let check = |change: fn(&mut LadderConfig), expected: &str| {
            let mut config = LadderConfig::with_alias(None);
            change(&mut config);
            assert_eq!(Ladder::new(config).unwrap_err().to_string(), expected);
        };
        check(
            |config| config.rungs.swap(0, 1),
            "rungs is reduced; it must be ordered by what they give up, each once",
        );
        check(
            |config| config.rungs[0].leave_at = 2.0,
            "leave_at is 2 for 1; it must be above 0 and below `enter_at`",
        );
        check(
            |config| config.leave_after = Duration::ZERO,
            "leave_after is 0 s; it must be at least `enter_after`",
        );
    }

    proptest! {
        /// Whatever the strain: a level that was left is not entered again, nor one that was
        /// entered left, within the times that the config names.
        #[test]
        fn it_never_swings(strains in prop::collection::vec(0.0_f64..3.0, 1..400)) {
            let mut ladder = ladder();
            let mut last: Option<(f64, bool)> = None;
            for (tick, strain) in strains.iter().enumerate() {
                let now = tick as f64 * 0.7;
                let Some(step) = ladder.observe(Some(*strain), at(now)) else { continue };
                let down = step.to > step.from;
                if let Some((before, went_down)) = last {
                    let pause = if down == went_down { 0.0 } else if down { 1.0 } else { 10.0 };
                    prop_assert!(now - before >= pause - 1e-6, "{step:?} {} s later", now - before);
                }
                last = Some((now, down));
            }
        }
    }
}

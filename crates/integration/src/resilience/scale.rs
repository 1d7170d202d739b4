//! How many replicas a model should have.
//!
//! Sources: the ratio rule with a window for going down is the Kubernetes *Horizontal Pod
//! Autoscaler*'s; concurrency as the signal, and believing a sudden doubling at once, is Knative's
//! *KPA*. What both leave to the user is built in: replicas that are still starting count, so that
//! a slow start does not order a second herd (aibrix issue 2670), and a forecast may only raise the
//! floor, so that a wrong one costs replicas and never requests (aibrix issue 593).

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{Dimension, Ratio, Reason, Timestamp};

use crate::config::ConfigError;

/// How replicas are counted out.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleConfig {
    /// Which share of its slots a replica should have busy. Above 0%, at most 100%; default 70%.
    /// Higher wastes less, and leaves less for the next burst.
    pub busy: Ratio,
    /// Fewest replicas. Default 0.
    pub least: u32,
    /// Most replicas. At least `least` and 1; default 8.
    pub most: u32,
    /// How many may be added at a time, as a multiple of those that there are; at least one may
    /// always be. Above 0; default 1: it can double.
    pub growth: f64,
    /// One is taken away only where all of this time would have done without it. Above zero;
    /// default 60 s.
    pub down_after: Duration,
    /// Between two that are taken away. Default 10 s.
    pub down_pause: Duration,
    /// How fast demand is averaged: the average has gone half of the way to a new value after this
    /// time. Above zero; default 5 s.
    pub half_life: Duration,
}

impl Default for ScaleConfig {
    fn default() -> Self {
        Self {
            busy: Ratio::saturating(0.7),
            least: 0,
            most: 8,
            growth: 1.0,
            down_after: Duration::from_mins(1),
            down_pause: Duration::from_secs(10),
            half_life: Duration::from_secs(5),
        }
    }
}

impl ScaleConfig {
    /// Says whether every value is within its bounds.
    ///
    /// # Errors
    ///
    /// Names the first field that is not, its value, and what is allowed.
    pub fn check(&self) -> Result<(), ConfigError> {
        if self.busy == Ratio::ZERO || self.busy > Ratio::ONE {
            return Err(ConfigError::new("busy", self.busy, "above 0% and at most 100%"));
        }
        if self.most < self.least.max(1) {
            return Err(ConfigError::new("most", self.most, "at least `least` and 1"));
        }
        if !(self.growth > 0.0 && self.growth.is_finite()) {
            return Err(ConfigError::new("growth", self.growth, "above 0"));
        }
        if self.down_after.is_zero() {
            return Err(ConfigError::new("down_after", "0 s", "above 0 s"));
        }
        if self.half_life.is_zero() {
            return Err(ConfigError::new("half_life", "0 s", "above 0 s"));
        }
        Ok(())
    }
}

/// What is known of a model at one moment.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ScaleInput {
    /// When.
    pub at: Timestamp,
    /// Replicas that serve.
    pub ready: u32,
    /// Replicas that are ordered or starting.
    pub pending: u32,
    /// Requests that one replica works on at once; none counts as one.
    pub slots: usize,
    /// Requests in progress and waiting.
    pub in_system: usize,
    /// How many there will probably be by the time that a replica ordered now is ready: an upper
    /// quantile, of a forecast with skill. None where there is no such forecast.
    pub forecast: Option<f64>,
}

/// Counts replicas out for one model.
///
/// ```
/// use plimsoll_core_types::Timestamp;
/// use plimsoll_integration::resilience::{ScaleConfig, ScaleInput, Scaler};
///
/// let mut scaler = Scaler::new(ScaleConfig::default())?;
/// let at = Timestamp::ZERO;
/// let input =
///     ScaleInput { at, ready: 1, pending: 0, slots: 4, in_system: 10, forecast: None };
/// let order = scaler.observe(&input).unwrap();
/// assert_eq!(order.replicas, 2, "it can double; four would be enough");
/// assert_eq!(scaler.observe(&ScaleInput { pending: 3, ..input }), None, "they are on their way");
/// # Ok::<(), plimsoll_integration::ConfigError>(())
/// ```
#[derive(Clone, Debug)]
pub struct Scaler {
    config: ScaleConfig,
    average: Option<(f64, Timestamp)>,
    /// What was wanted of late, the largest first: each entry is later and smaller than the one
    /// before, so that the first is the largest of the window. Holds at most `most` entries.
    wanted: VecDeque<(Timestamp, u32)>,
    /// Since when there is enough to look back on.
    began: Option<Timestamp>,
    took_away: Option<Timestamp>,
}

/// How many replicas there should be, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaleOrder {
    /// So many, those that are still to start included.
    pub replicas: u32,
    /// Why.
    pub reason: Reason,
}

impl Scaler {
    /// A scaler that has seen nothing.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: ScaleConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let wanted = VecDeque::new();
        Ok(Self { config, average: None, wanted, began: None, took_away: None })
    }

    /// Takes note of `input`, and says how many replicas there should be where that is not as many
    /// as there are and are coming.
    pub fn observe(&mut self, input: &ScaleInput) -> Option<ScaleOrder> {
        let present = input.ready.saturating_add(input.pending);
        let per_replica = input.slots.max(1) as f64 * self.config.busy.get();
        let demand = self.demand(input, f64::from(input.ready) * input.slots.max(1) as f64);
        // The forecast is one more demand beside the measured one: it can't make it less.
        let ahead = input.forecast.filter(|ahead| ahead.is_finite()).unwrap_or(0.0);
        let larger = demand.max(ahead);
        let wanted = self.clamp((larger / per_replica).ceil());
        self.remember(input.at, wanted);
        if wanted > present {
            return Some(Self::order(self.up(present, wanted), larger));
        }
        // Those that are still to come are not taken away: whoever ordered them changed its mind
        // a moment ago, and is asked again once they are there.
        if input.pending > 0 {
            return None;
        }
        self.down(input.at, present, larger)
    }

    /// Requests in the system: on average, or now where that is twice as many as there is room for.
    fn demand(&mut self, input: &ScaleInput, room: f64) -> f64 {
        let now = input.in_system as f64;
        let average = match self.average {
            None => now,
            Some((average, at)) => {
                let elapsed = input.at.saturating_since(at).as_secs_f64();
                let keep = 0.5_f64.powf(elapsed / self.config.half_life.as_secs_f64());
                keep * average + (1.0 - keep) * now
            }
        };
        self.average = Some((average, input.at));
        // What is left of a demand that has gone is no request any more.
        let average = if average < 0.05 { 0.0 } else { average };
        if now > 2.0 * room { average.max(now) } else { average }
    }

    fn clamp(&self, replicas: f64) -> u32 {
        (replicas as u32).clamp(self.config.least, self.config.most)
    }

    fn remember(&mut self, at: Timestamp, wanted: u32) {
        self.began.get_or_insert(at);
        while self.wanted.back().is_some_and(|(_, earlier)| *earlier <= wanted) {
            self.wanted.pop_back();
        }
        self.wanted.push_back((at, wanted));
        let horizon = at.saturating_sub(self.config.down_after);
        while self.wanted.front().is_some_and(|(then, _)| *then < horizon) {
            self.wanted.pop_front();
        }
    }

    fn up(&self, present: u32, wanted: u32) -> u32 {
        let step = (f64::from(present) * self.config.growth) as u32;
        wanted.min(present.saturating_add(step.max(1)))
    }

    fn down(&mut self, at: Timestamp, present: u32, demand: f64) -> Option<ScaleOrder> {
        let most = self.wanted.front().map_or(present, |(_, wanted)| *wanted);
        let seen_enough =
            self.began.is_some_and(|began| at.saturating_since(began) >= self.config.down_after);
        let paused =
            self.took_away.is_some_and(|then| at.saturating_since(then) < self.config.down_pause);
        if most >= present || !seen_enough || paused {
            return None;
        }
        self.took_away = Some(at);
        Some(Self::order(present - 1, demand))
    }

    fn order(replicas: u32, demand: f64) -> ScaleOrder {
        let reason = Reason::Demand { wanted: demand.ceil() as u64, dimension: Dimension::Slots };
        ScaleOrder { replicas, reason }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn input(seconds: f64, ready: u32, in_system: usize) -> ScaleInput {
        let at = Timestamp::from_secs_f64(seconds);
        ScaleInput { at, ready, pending: 0, slots: 4, in_system, forecast: None }
    }

    fn scaler() -> Scaler {
        Scaler::new(ScaleConfig::default()).unwrap()
    }

    fn replicas(order: Option<ScaleOrder>) -> Option<u32> {
        order.map(|order| order.replicas)
    }

    #[test]
    fn replicas_on_their_way_are_not_ordered_twice() {
        let mut scaler = scaler();
        let burst = input(0.0, 2, 40);
        assert_eq!(replicas(scaler.observe(&burst)), Some(4));
        let starting = |seconds, pending| ScaleInput { pending, ..input(seconds, 2, 40) };
        assert_eq!(replicas(scaler.observe(&starting(0.1, 2))), Some(8), "four do not suffice");
        for tick in 2..50 {
            let later = starting(f64::from(tick) / 10.0, 6);
            assert_eq!(scaler.observe(&later), None, "all that there may be are coming");
        }
    }

    #[test]
    fn a_forecast_raises_the_floor_and_never_lowers_it() {
        let mut scaler = scaler();
        let ahead = |forecast| ScaleInput { forecast, ..input(0.0, 2, 5) };
        assert_eq!(replicas(scaler.observe(&ahead(Some(11.0)))), Some(4));
        assert_eq!(scaler.observe(&ahead(Some(0.0))), None);
        assert_eq!(scaler.observe(&ahead(Some(f64::NAN))), None);
        let mut busy = self::scaler();
        let order = busy.observe(&ScaleInput { forecast: Some(0.0), ..input(0.0, 1, 5) });
        assert_eq!(replicas(order), Some(2));
    }

    #[test]
    fn it_goes_down_slowly_one_at_a_time_and_to_none() {
        let mut scaler = scaler();
        scaler.observe(&input(0.0, 4, 11));
        let (mut ready, mut changes) = (4, Vec::new());
        for tick in 1..200_u32 {
            let now = f64::from(tick);
            let in_system = if now < 100.0 { 5 } else { 0 };
            if let Some(order) = scaler.observe(&input(now, ready, in_system)) {
                changes.push((tick, order.replicas));
                ready = order.replicas;
            }
        }
        // The average wants four replicas until 5 s, three until 17 s, and two until soon after 100 s.
        assert_eq!(changes.len(), 4, "{changes:?}");
        assert!((60..70).contains(&changes[0].0), "{changes:?}");
        assert!(changes[1].0 - changes[0].0 >= 10, "{changes:?}");
        assert!(changes[2].0 > 160 && changes[3].1 == 0, "{changes:?}");
    }

    #[test]
    fn a_model_at_rest_is_woken_by_its_first_request() {
        let mut scaler = scaler();
        for tick in 0..100 {
            assert_eq!(scaler.observe(&input(f64::from(tick), 0, 0)), None);
        }
        assert_eq!(replicas(scaler.observe(&input(100.0, 0, 1))), Some(1));
    }

    proptest! {
        /// Whatever the demand: within the bounds, never more than it may grow by at a time, and
        /// what was added is not taken away again within the window.
        #[test]
        fn it_stays_within_bounds_and_never_swings(
            demands in prop::collection::vec(0_usize..60, 1..300),
        ) {
            let config = ScaleConfig { least: 1, most: 6, ..ScaleConfig::default() };
            let mut scaler = Scaler::new(config).unwrap();
            let (mut ready, mut added) = (1, None);
            for (second, demand) in demands.iter().enumerate() {
                let now = second as f64;
                let Some(order) = scaler.observe(&input(now, ready, *demand)) else { continue };
                prop_assert!((1..=6).contains(&order.replicas) && order.replicas != ready);
                prop_assert!(order.replicas <= ready * 2);
                if order.replicas > ready {
                    added = Some(now);
                } else {
                    prop_assert_eq!(order.replicas, ready - 1);
                    prop_assert!(added.is_none_or(|then: f64| now - then >= 60.0));
                }
                ready = order.replicas;
            }
        }
    }
}

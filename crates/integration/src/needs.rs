//! How probably each model is needed soon.

use std::time::Duration;

use plimsoll_core_types::{
    EngineSnapshot, ModelId, Quantiles, Ratio, ResourceForecast, SystemSnapshot, Timestamp,
};
use plimsoll_predict::demand;

use crate::fade::Fade;
use crate::per_model::PerModel;
use crate::sight::Sight;

/// How fast an observed rate is forgotten: it halves every so often.
const HALF_LIFE: Duration = Duration::from_secs(4);

/// The probability of need of each model: from its forecast where that has skill, else from the
/// rate at which it was asked for of late, which is the rule that stays when forecasts are lost.
#[derive(Debug, Default)]
pub(crate) struct Needs {
    rates: PerModel<Rate>,
}

#[derive(Debug)]
struct Rate {
    at: Timestamp,
    arrivals: u64,
    per_second: f64,
}

impl Needs {
    /// Learns the arrivals since the last snapshot, and forgets models that are gone.
    pub(crate) fn observe(&mut self, snapshot: &SystemSnapshot) {
        let at = snapshot.at;
        let fresh = |e: &EngineSnapshot| Rate { at, arrivals: e.arrivals, per_second: 0.0 };
        let rates = self.rates.follow(&snapshot.engines, fresh);
        let mut fade = Fade::new(HALF_LIFE);
        for (rate, engine) in rates.zip(&snapshot.engines) {
            rate.observe(engine.arrivals, at, &mut fade);
        }
    }

    /// The probability that `engine`'s model is asked for within `within` from now.
    pub(crate) fn within(
        &self,
        engine: &EngineSnapshot,
        sight: &Sight<'_>,
        within: Duration,
    ) -> Ratio {
        if engine.waiting > 0 || engine.in_progress > 0 {
            return Ratio::ONE;
        }
        let recent = self.recent(&engine.model, within);
        match sight.skilled(&engine.model) {
            // A forecast knows of what recurs, the rate of what has just begun: either is a need.
            Some(forecast) => Ratio::saturating(expected(forecast, within).get().max(recent.get())),
            None => recent,
        }
    }

    /// The waiting, in seconds summed over requests, that `engine`'s absence costs once somebody
    /// asks for it: the first request waits for the whole load, and those that come at rate λ
    /// during a load of L seconds wait for the rest of it, λL²/2 in all.
    ///
    /// With the load time alone, a small model that is asked for all the time would give way to a
    /// large one that is hardly ever asked for.
    pub(crate) fn return_cost(&self, engine: &EngineSnapshot, sight: &Sight<'_>) -> Duration {
        let load = engine.load_time.as_secs_f64();
        let foreseen = sight
            .skilled(&engine.model)
            .and_then(|forecast| forecast.ahead(engine.load_time))
            .map_or(0.0, Quantiles::median);
        let rate = self.rate(&engine.model).max(foreseen);
        Duration::try_from_secs_f64(load + rate * load * load / 2.0).unwrap_or(Duration::MAX)
    }

    fn recent(&self, model: &ModelId, within: Duration) -> Ratio {
        Ratio::saturating(-(-self.rate(model) * within.as_secs_f64()).exp_m1())
    }

    /// Requests per second of late.
    fn rate(&self, model: &ModelId) -> f64 {
        self.rates.get(model).map_or(0.0, |rate| rate.per_second)
    }
}

/// The probability of an arrival between now and `within`, over all tracked horizons up to there.
pub(crate) fn expected(forecast: &ResourceForecast, within: Duration) -> Ratio {
    let mut none = 1.0;
    let mut from = Duration::ZERO;
    for horizon in &forecast.horizons {
        let to = horizon.horizon.min(within);
        if to <= from {
            break;
        }
        let some = demand::arrival_probability(&horizon.quantiles, to.saturating_sub(from));
        none *= 1.0 - some.min_one().get();
        from = to;
    }
    Ratio::saturating(1.0 - none)
}

impl Rate {
    fn observe(&mut self, arrivals: u64, now: Timestamp, fade: &mut Fade) {
        let elapsed = now.saturating_since(self.at).as_secs_f64();
        if elapsed <= 0.0 {
            return;
        }
        let seen = arrivals.saturating_sub(self.arrivals) as f64 / elapsed;
        let keep = fade.left_after(elapsed);
        self.per_second = keep * self.per_second + (1.0 - keep) * seen;
        self.at = now;
        self.arrivals = arrivals;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_arrivals_and_fades() {
        let mut rate = Rate { at: Timestamp::ZERO, arrivals: 0, per_second: 0.0 };
        for tick in 1..=400_u64 {
            rate.observe(
                tick,
                Timestamp::from_secs_f64(tick as f64 / 10.0),
                &mut Fade::new(HALF_LIFE),
            );
        }
        assert!((rate.per_second - 10.0).abs() < 0.1, "{}", rate.per_second);
        rate.observe(400, Timestamp::from_secs_f64(44.0), &mut Fade::new(HALF_LIFE));
        assert!((rate.per_second - 5.0).abs() < 0.1, "{}", rate.per_second);
        rate.observe(400, Timestamp::from_secs_f64(44.0), &mut Fade::new(HALF_LIFE));
        assert!((rate.per_second - 5.0).abs() < 0.1, "the same moment again changes nothing");
    }
}

//! The policy of production: the pool's bounded-wait need, forecast by the predictor.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{
    ConsumerId, ForecastHealth, Metric, NameError, Quantiles, ResourcePredictor, Sample, SeriesKey,
    Timestamp, UsageHistory,
};
use plimsoll_pool::sizing::BoundedWait;

use crate::capacity::{PoolSpec, PoolView, Sizer};

/// How a [`Forecasting`] pool is sized.
///
/// The defaults were chosen by their figures on public traces (Mooncake, Azure code, three of
/// `ServeGen`), whole and in halves, so that figures on those are in-sample. A doubling time of at
/// most 620 s with a margin of at least 0.75 keeps all of them to one late in a thousand; a shorter
/// time and a wider margin cost use.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ForecastingConfig {
    /// The quantile that is provided for with a margin of one; from 0.5 to 0.99. Default 0.95:
    /// within the first hundreds of forecasts nobody can tell a higher one.
    pub level: f64,
    /// How far beyond the median is provided for, in distances from there to that quantile. Default
    /// 0.8.
    pub margin: f64,
    /// Work may double so fast without anything to announce it: what is needed now is provided for
    /// as often over as it doubles until what is started now is ready. Default 615 s, which is little
    /// for replicas that start in two minutes, and twice what is needed now for those that take ten.
    /// [`Duration::MAX`] leaves it to the forecasts alone.
    pub doubling: Duration,
    /// The share of work that may be late. Default 0.0003, where one in a thousand is too much, so
    /// that there is room to err. What is provided beyond need is halved each `1 / late` lead times
    /// without lateness: with less to go by, so rare a thing can't be known to be absent.
    pub late: f64,
    /// By what share an interval whose work is late altogether raises what is provided beyond need,
    /// relative to need. Default 0.03.
    pub gain: f64,
    /// A forecast says nothing where its quantile is so many times its median. Default 1.7.
    pub wide: f64,
}

impl Default for ForecastingConfig {
    fn default() -> Self {
        let doubling = Duration::from_secs(615);
        Self { level: 0.95, margin: 0.8, doubling, late: 0.0003, gain: 0.03, wide: 1.7 }
    }
}

/// Provides what the [`BoundedWait`] need will not exceed at the end of the lead time, as far as
/// the predictor can tell, and enough to follow what nobody could tell.
///
/// - A forecast only ever adds to what is needed now.
/// - What is given up takes the lead time to come back: what counts is the most that will be needed
///   until then, by the newest forecast for each moment. Growing is at once, shrinking when all
///   forecasts of a quarter of the lead time agree.
/// - Where one in a thousand may be late, what counts are surprises that come once in hundreds of
///   lead times, of which no quantile of a forecast knows: on public traces work trebles within ten
///   minutes once in two weeks. What is needed now is therefore multiplied by how fast work may grow
///   within the lead time, which is the further the longer that is. Lateness raises it at once, and
///   it fades as time goes by without any: a one-sided integral controller on what counts, the share
///   of work that is late (after Gibbs & Candès, *Adaptive conformal inference under distribution
///   shift*, 2021, on lateness instead of coverage), which begins on the safe side.
/// - Until forecasts at the lead time have been seen to say something, and where they are so wide
///   that they say nothing, there is nothing to be gained by them: the pool stays as large as it
///   began, or as the most that was ever needed, and the run's notes say so. A predictor that learns
///   anew later, as when it has found a season, is taken to mean what it said last.
#[derive(Debug)]
pub struct Forecasting {
    config: ForecastingConfig,
    predictor: Box<dyn ResourcePredictor>,
    history: UsageHistory,
    need: BoundedWait,
    /// What is provided at least, as a multiple of what is needed now.
    growth: f64,
    /// How many times what is needed now the last forecast had provided for.
    beyond: f64,
    needed: VecDeque<(Timestamp, f64)>,
    wanted: VecDeque<(Timestamp, f64)>,
    most: f64,
    seen: f64,
    ahead: Option<f64>,
    /// Intervals with a forecast, and those of them in which it said nothing.
    judged: (u64, u64),
    width: f64,
}

/// What one forecast wanted is held for this part of the lead time: what is given up for a single
/// low one takes all of that to come back.
const HELD: u32 = 4;
/// What was needed within so many lead times may be needed again at once: a pause, or an outage that is
/// recorded as one, is no decline.
const RETURNS: u32 = 3;
/// The margin is never below this, nor above that.
const MARGINS: (f64, f64) = (0.0, 12.0);
/// No more than so many times what is needed now is provided for surprises.
const MOST_GROWTH: f64 = 3.0;
/// How fast the width is forgotten, once it has been seen a while.
const WIDTH_RATE: f64 = 0.02;
/// Forecasts are seen to say something after so many.
const PROVEN: u64 = 12;
/// The longest window that counts as a burst, in waits.
const LONGEST: u32 = 32;
const HISTORY: usize = 1024;

impl Forecasting {
    /// The policy for `spec`.
    ///
    /// # Errors
    ///
    /// Never in practice: the name that its series gets is a good one.
    pub fn new<P: ResourcePredictor + 'static>(
        spec: &PoolSpec,
        predictor: P,
    ) -> Result<Self, NameError> {
        Self::with_config(spec, predictor, ForecastingConfig::default())
    }

    /// The policy for `spec`, sized by `config`; what is out of bounds there is taken as the
    /// nearest bound.
    ///
    /// # Errors
    ///
    /// As for [`Self::new`].
    pub fn with_config<P: ResourcePredictor + 'static>(
        spec: &PoolSpec,
        predictor: P,
        config: ForecastingConfig,
    ) -> Result<Self, NameError> {
        let key = SeriesKey { subject: ConsumerId::new("pool")?, metric: Metric::RequestRate };
        let longest = spec.wait.max(spec.control).saturating_mul(LONGEST);
        let steps = longest.as_nanos() / spec.control.as_nanos().max(1);
        Ok(Self {
            config: ForecastingConfig {
                margin: config.margin.clamp(MARGINS.0, MARGINS.1),
                ..config
            },
            predictor: Box::new(predictor),
            history: UsageHistory::new(key, spec.control, HISTORY),
            need: BoundedWait::new(spec.control, spec.wait, steps.clamp(1, 4096) as usize),
            growth: growth(ahead(spec), config.doubling),
            beyond: 1.0,
            needed: VecDeque::new(),
            wanted: VecDeque::new(),
            most: spec.start as f64 * spec.unit,
            seen: 0.0,
            ahead: None,
            judged: (0, 0),
            width: 0.0,
        })
    }

    /// How many times its median the upper quantile of the forecast at the lead time was, of late.
    pub const fn width(&self) -> f64 {
        self.width
    }

    /// True where forecasts at the lead time say nothing, of late.
    pub fn is_blind(&self) -> bool {
        self.judged.0 < PROVEN || self.width > self.config.wide
    }

    /// The most that will be needed at any moment until `lead` has passed, as far as can be told.
    fn forecast_need(&mut self, lead: Duration) -> Option<f64> {
        self.ahead = None;
        let forecast = self.predictor.forecast(&self.history);
        if matches!(forecast.health, ForecastHealth::Learning { .. }) {
            return None;
        }
        let last = forecast.ahead(lead)?;
        let (upper, median) = (last.at(self.config.level), last.median());
        let width = if median > 0.0 { (upper / median).min(10.0) } else { 10.0 };
        self.judged.0 += 1;
        self.width += WIDTH_RATE.max(1.0 / self.judged.0 as f64) * (width - self.width);
        self.judged.1 += u64::from(self.is_blind());
        let until = forecast.horizons.iter().filter(|h| h.horizon < lead).map(|h| &h.quantiles);
        let need = |quantiles: &Quantiles| {
            let median = quantiles.median();
            median + self.config.margin * (quantiles.at(self.config.level) - median)
        };
        let at_last = need(last);
        let most = until.map(need).fold(at_last, f64::max);
        self.ahead = Some(at_last);
        Some(most)
    }

    /// The most that was needed within the last lead times.
    fn needed_of_late(&mut self, pool: &PoolView<'_>, need: f64) -> f64 {
        self.needed.push_back((pool.now, need));
        let span = ahead(pool.spec) * RETURNS;
        let old = |at: Timestamp| pool.now.saturating_since(at) > span;
        while self.needed.front().is_some_and(|(at, _)| old(*at)) {
            self.needed.pop_front();
        }
        self.needed.iter().map(|(_, need)| *need).fold(0.0, f64::max)
    }

    /// Lateness raises what is provided for surprises, and time without it lets it fade.
    fn adjust_growth(&mut self, pool: &PoolView<'_>) {
        let late = if pool.came > 0.0 { (pool.late / pool.came).min(1.0) } else { 0.0 };
        let raised = self.growth * (1.0 + self.config.gain * late);
        let leads = pool.spec.control.as_secs_f64() / ahead(pool.spec).as_secs_f64();
        let kept = 0.5_f64.powf(leads * self.config.late);
        self.growth = 1.0 + (raised.min(MOST_GROWTH) - 1.0) * kept;
    }
}

/// One control interval passes until the next decision, which then takes the lead time.
fn ahead(spec: &PoolSpec) -> Duration {
    spec.lead + spec.control
}

/// How many times over work is after `ahead` where it doubles each `doubling`.
fn growth(ahead: Duration, doubling: Duration) -> f64 {
    let times = ahead.as_secs_f64() / doubling.as_secs_f64().max(f64::MIN_POSITIVE);
    times.exp2().min(MOST_GROWTH)
}

impl Sizer for Forecasting {
    fn size(&mut self, pool: &PoolView<'_>) -> usize {
        let spec = pool.spec;
        self.need.observe(pool.came);
        let need = self.need.need();
        self.most = self.most.max(need);
        self.seen = self.seen.max(need);
        self.history.push(Sample { at: pool.now, value: Some(need) });
        self.adjust_growth(pool);
        let ahead = self.forecast_need(ahead(spec));
        let blind = self.is_blind();
        let of_late = self.needed_of_late(pool, need);
        let expected = match ahead {
            // A forecast of more than twice what ever was has never been worth providing for.
            Some(ahead) if !blind => {
                ahead.min(2.0 * self.seen).max(need * self.growth).max(of_late)
            }
            None if !blind => (need * self.beyond.max(self.growth)).max(of_late),
            _ => self.most,
        };
        if ahead.is_some() && !blind && need > 0.0 {
            self.beyond = (expected / need).min(MOST_GROWTH);
        }
        // What waits already has to be worked off beside what comes.
        let extra = (pool.backlog - expected * spec.wait.as_secs_f64()).max(0.0);
        let wanted = expected + extra / spec.lead.as_secs_f64().max(1.0);
        self.wanted.push_back((pool.now, wanted));
        let old = |at: Timestamp| pool.now.saturating_since(at) > spec.lead / HELD;
        while self.wanted.front().is_some_and(|(at, _)| old(*at)) {
            self.wanted.pop_front();
        }
        let most = self.wanted.iter().map(|(_, wanted)| *wanted).fold(0.0, f64::max);
        (most / spec.unit).ceil() as usize
    }

    fn forecast(&self) -> Option<f64> {
        self.ahead
    }

    fn notes(&self) -> Vec<String> {
        let (judged, blind) = self.judged;
        if judged == 0 {
            return vec!["too short to be forecast: the pool stayed as it began".to_owned()];
        }
        if blind.saturating_sub(PROVEN) * 4 < judged {
            return Vec::new();
        }
        vec![format!(
            "not forecastable: at the lead time the upper quantile was {:.1} times the median of \
             late, and said nothing in {:.0}% of intervals; the pool then stayed as large as it \
             began",
            self.width,
            blind as f64 / judged as f64 * 100.0,
        )]
    }
}

//! Requests at a rate with a trend, a day, slow noise, pauses and bursts.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use crate::random::Random;
use crate::trace::{Content, Format, Gaps, RateWindow, Trace, TraceRequest};

/// Lengths of a text in tokens: log-normal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tokens {
    /// The median.
    pub median: f64,
    /// The standard deviation of the logarithm.
    pub sigma: f64,
    /// The most that there is room for.
    pub most: u32,
}

/// Stretches of work between pauses, both of exponential length.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Burst {
    /// How long a stretch of work lasts in the mean.
    pub busy: Duration,
    /// How long a pause lasts in the mean.
    pub pause: Duration,
}

/// How a trace is made up.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_sim::generate::{Character, Recipe};
///
/// let trace = Recipe::conversation().requests(Duration::from_hours(1), 7);
/// let character = Character::of(trace.requests().unwrap()).unwrap();
/// assert!((character.rate - 3.4).abs() < 0.4);
/// assert_eq!(trace, Recipe::conversation().requests(Duration::from_hours(1), 7));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recipe {
    /// Mean requests per second at the beginning, before growth.
    pub rate: f64,
    /// Rates grow by this share of the first rate in each hour.
    pub growth_per_hour: f64,
    /// How much the day swings: 0 not at all, 1 down to nothing at night.
    pub day: f64,
    /// Standard deviation of the slow noise of the rate's logarithm.
    pub noise: f64,
    /// How long the slow noise remembers.
    pub memory: Duration,
    /// Pauses and stretches of work, where there are any; the mean rate stays the same.
    pub burst: Option<Burst>,
    /// The distribution of gaps.
    pub gaps: Gaps,
    /// Requests come together each so often, as from a gateway that hands them on in batches, or from
    /// a clock that ticks so slowly; zero for each at its own time.
    pub batch: Duration,
    /// Tokens read.
    pub input: Tokens,
    /// Tokens written.
    pub output: Tokens,
}

/// How often the rate changes.
const STEP: Duration = Duration::from_secs(5);
const DAY: f64 = 86_400.0;

impl Recipe {
    /// Conversations: requests almost at random at a rate that grows slowly. Calibrated on the
    /// Mooncake conversation trace, whose times are in steps of three seconds: what varies there
    /// within ten seconds is mostly the steps, and minutes are as even as chance lets them be.
    pub const fn conversation() -> Self {
        Self {
            rate: 3.02,
            growth_per_hour: 0.25,
            day: 0.0,
            noise: 0.02,
            memory: Duration::from_secs(40),
            burst: None,
            gaps: Gaps::Gamma { shape: 0.8 },
            batch: Duration::from_secs(3),
            input: Tokens { median: 6909.0, sigma: 1.05, most: 131_072 },
            output: Tokens { median: 350.0, sigma: 0.75, most: 2000 },
        }
    }

    /// Conversations whose rate swings by a twelfth within a minute, which nothing announces: three
    /// times as uneven over minutes as the trace that [`Self::conversation`] is calibrated on.
    pub const fn restless_conversation() -> Self {
        let gaps = Gaps::Gamma { shape: 0.72 };
        Self { noise: 0.08, gaps, batch: Duration::ZERO, ..Self::conversation() }
    }

    /// Code completion by a few users: bursts after pauses, which nothing announces. Calibrated
    /// on the Azure LLM code trace of 2023.
    pub const fn code() -> Self {
        Self {
            rate: 2.57,
            growth_per_hour: 0.0,
            day: 0.0,
            noise: 0.9,
            memory: Duration::from_secs(30),
            burst: Some(Burst { busy: Duration::from_secs(40), pause: Duration::from_secs(50) }),
            gaps: Gaps::Gamma { shape: 0.35 },
            batch: Duration::ZERO,
            input: Tokens { median: 1469.0, sigma: 0.95, most: 7437 },
            output: Tokens { median: 13.0, sigma: 0.9, most: 1899 },
        }
    }

    /// A service that many people use, with days. Calibrated on `ServeGen`'s m-large, at a share of
    /// its rate.
    pub const fn service() -> Self {
        Self {
            rate: 5.0,
            growth_per_hour: 0.0,
            day: 0.45,
            noise: 0.18,
            memory: Duration::from_mins(40),
            burst: None,
            gaps: Gaps::Gamma { shape: 0.2 },
            batch: Duration::ZERO,
            input: Tokens { median: 900.0, sigma: 1.1, most: 32_768 },
            output: Tokens { median: 250.0, sigma: 0.9, most: 8192 },
        }
    }

    /// A function or small model that is asked for now and then. Calibrated on the sparse
    /// functions of the Azure Functions traces.
    pub const fn occasional() -> Self {
        Self {
            rate: 0.02,
            growth_per_hour: 0.0,
            day: 0.3,
            noise: 0.5,
            memory: Duration::from_mins(10),
            burst: Some(Burst { busy: Duration::from_mins(4), pause: Duration::from_mins(12) }),
            gaps: Gaps::Exponential,
            batch: Duration::ZERO,
            input: Tokens { median: 400.0, sigma: 1.0, most: 8192 },
            output: Tokens { median: 120.0, sigma: 0.8, most: 4096 },
        }
    }

    /// A trace of one client's requests over `span`.
    pub fn requests(&self, span: Duration, seed: u64) -> Trace {
        let mut requests = Vec::new();
        self.add(&mut requests, 0, span, &mut Random::new(seed));
        Trace::of_requests(Format::Generated, vec!["all".to_owned()], requests)
    }

    /// A trace of `recipes` as clients side by side.
    pub fn together(recipes: &[Self], span: Duration, seed: u64) -> Trace {
        let (mut requests, mut random) = (Vec::new(), Random::new(seed));
        for (client, recipe) in recipes.iter().enumerate() {
            let mut own = random.fork(client as u64);
            recipe.add(&mut requests, client as u32, span, &mut own);
        }
        let names = (0..recipes.len()).map(|client| format!("client-{client}")).collect();
        Trace::of_requests(Format::Generated, names, requests)
    }

    /// A trace of one client's rates over `span`, in windows of `window` (at least five seconds).
    pub fn rates(&self, span: Duration, window: Duration, seed: u64) -> Trace {
        let mut rate = Rate::new(*self, Random::new(seed));
        let steps = (window.as_secs() / STEP.as_secs()).max(1);
        let windows = (span.as_secs() / (steps * STEP.as_secs())) as usize;
        let row = (0..windows).map(|_| {
            let sum: f64 = (0..steps).map(|_| rate.next()).sum();
            RateWindow { rate: sum / steps as f64, gaps: self.gaps }
        });
        let content = Content::Rates { window: STEP * steps as u32, clients: vec![row.collect()] };
        Trace { format: Format::Generated, clients: vec!["all".to_owned()], content }
    }

    fn add(
        &self,
        requests: &mut Vec<TraceRequest>,
        client: u32,
        span: Duration,
        random: &mut Random,
    ) {
        let mut rate = Rate::new(*self, random.fork(1));
        let (mut lengths, mut gaps) = (random.fork(2), random.fork(3));
        // Time runs by the rate: a gap is over when the rate has added up to it.
        let mut left = self.gap(&mut gaps);
        for step in 0..(span.as_secs() / STEP.as_secs()) {
            let now = rate.next();
            let mut from = 0.0;
            let length = STEP.as_secs_f64();
            while now > 0.0 && (length - from) * now >= left {
                from += left / now;
                left = self.gap(&mut gaps);
                let at = self.recorded((step * STEP.as_secs()) as f64 + from);
                requests.push(TraceRequest {
                    at,
                    client,
                    input_tokens: self.input.draw(&mut lengths),
                    output_tokens: self.output.draw(&mut lengths),
                    duration: None,
                });
            }
            left -= (length - from) * now;
        }
    }

    /// When a request that came after `seconds` is told to have come.
    fn recorded(&self, seconds: f64) -> Timestamp {
        let batch = self.batch.as_secs_f64();
        let told = if batch > 0.0 { (seconds / batch).floor() * batch } else { seconds };
        Timestamp::from_secs_f64(told)
    }

    fn gap(&self, random: &mut Random) -> f64 {
        match self.gaps {
            Gaps::Exponential => random.exponential(),
            Gaps::Gamma { shape } => random.gamma(shape),
            Gaps::Weibull { shape } => random.weibull(shape),
        }
    }
}

impl Tokens {
    fn draw(&self, random: &mut Random) -> u32 {
        // At least one token, at most what there is room for.
        random.log_normal(self.median, self.sigma).clamp(1.0, f64::from(self.most)) as u32
    }
}

/// The rate, step by step.
struct Rate {
    recipe: Recipe,
    random: Random,
    step: u64,
    noise: f64,
    /// Whether work goes on, and for how many seconds more.
    phase: (bool, f64),
}

impl Rate {
    fn new(recipe: Recipe, mut random: Random) -> Self {
        let noise = recipe.noise * random.normal();
        Self { recipe, random, step: 0, noise, phase: (false, 0.0) }
    }

    fn next(&mut self) -> f64 {
        let recipe = self.recipe;
        let hours = self.step as f64 * STEP.as_secs_f64() / 3600.0;
        let trend = 1.0 + recipe.growth_per_hour * hours;
        let day = 1.0 - recipe.day * (std::f64::consts::TAU * hours * 3600.0 / DAY).cos();
        let keep = (-STEP.as_secs_f64() / recipe.memory.as_secs_f64().max(1.0)).exp();
        let fresh = recipe.noise * (1.0 - keep * keep).sqrt();
        self.noise = keep * self.noise + fresh * self.random.normal();
        // The mean of the exponential of the noise is taken out again.
        let slow = (self.noise - recipe.noise * recipe.noise / 2.0).exp();
        self.step += 1;
        recipe.rate * trend.max(0.0) * day * slow * self.burst()
    }

    /// What share of the step is at work, relative to the mean share.
    fn burst(&mut self) -> f64 {
        let Some(Burst { busy, pause }) = self.recipe.burst else { return 1.0 };
        let (busy, pause) = (busy.as_secs_f64().max(1.0), pause.as_secs_f64());
        let (mut left, mut at_work) = (STEP.as_secs_f64(), 0.0);
        while left > 0.0 {
            if self.phase.1 <= 0.0 {
                let works = !self.phase.0;
                let mean = if works { busy } else { pause };
                self.phase = (works, mean * self.random.exponential());
            }
            let part = left.min(self.phase.1);
            at_work += if self.phase.0 { part } else { 0.0 };
            self.phase.1 -= part;
            left -= part.max(1e-9);
        }
        at_work / STEP.as_secs_f64() * (busy + pause) / busy
    }
}

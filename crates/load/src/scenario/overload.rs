//! More requests than a server can serve, from a fifth more to ten times as many.
//!
//! A server of a few slots and a line without bound, behind something that lets requests in or
//! refuses them. Sizes are those of [`BalanceScenario`](super::BalanceScenario), with a mean of a
//! second. A request is served in good time when it began within its patience, counted from when it
//! first came; goodput is the work of those as a share of what the slots can do.

mod run;

use serde::{Deserialize, Serialize};

use super::gates::{Admitted, Gate, Limited};
use super::limiters::{Aimd, Fixed, Gradient2, Vegas};
use crate::admit::AdmissionConfig;

/// What is simulated. Times are in seconds, which is also the mean size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct OverloadScenario {
    /// First attempts as a multiple of what the server can serve.
    pub factor: f64,
    /// How many requests the server works on at once.
    pub slots: usize,
    /// How it slows down when it works on many at once. Default: not at all.
    pub slowdown: Slowdown,
    /// How long it lasts; the first tenth is not counted.
    pub seconds: f64,
    /// How long somebody is ready to wait.
    pub patience: f64,
    /// What a refusal takes of the server's time, in mean sizes.
    pub reject_cost: f64,
    /// Whether and how somebody who was refused comes back.
    pub retry: Retry,
    /// Of arrivals, sizes and choices.
    pub seed: u64,
}

impl Default for OverloadScenario {
    fn default() -> Self {
        Self {
            factor: 2.0,
            slots: 16,
            slowdown: Slowdown::default(),
            seconds: 1000.0,
            patience: 2.0,
            reject_cost: 0.0,
            retry: Retry::Never,
            seed: 1,
        }
    }
}

/// How a server slows down when it works on many requests at once: with `n`, each takes
/// `(n ÷ knee)^power` times as long where `n` is above the knee. With a power of 1 it serves no more
/// than at the knee, and above that less (memory-bound, or thrashing).
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Slowdown {
    /// So many it works on at full speed.
    pub knee: usize,
    /// How steeply it slows down beyond.
    pub power: f64,
}

impl Default for Slowdown {
    fn default() -> Self {
        Self { knee: usize::MAX, power: 0.0 }
    }
}

impl Slowdown {
    /// How many times as long a request takes that begins as one of `busy`.
    fn times(self, busy: usize) -> f64 {
        if busy <= self.knee { 1.0 } else { (busy as f64 / self.knee as f64).powf(self.power) }
    }
}

/// Whether and how somebody who was refused comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retry {
    /// It does not.
    Never,
    /// Up to three times while its patience lasts: after as long as it was told to wait, or half a
    /// second where it was told nothing.
    WithinPatience,
    /// Three times whatever happens, half a second after each refusal, with new patience.
    Always,
}

/// How often somebody comes back at most.
const RETRIES: u32 = 3;

/// Who lets requests in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limiter {
    /// [`Admission`](crate::Admission) with a permit for each slot and otherwise its defaults.
    Plimsoll,
    /// The same with a [gradient](AdmissionConfig::gradient), told sizes roughly (σ of the logarithm
    /// of estimated over true size: 0.5).
    PlimsollGradient,
    /// Netflix's second gradient, with its defaults.
    Gradient2,
    /// TCP Vegas, with Netflix's defaults.
    Vegas,
    /// Additive increase and multiplicative decrease, with Netflix's defaults.
    Aimd,
    /// A fixed limit, set by somebody who knows the slots, the sizes and the patience.
    HandTuned,
    /// Everybody goes in.
    None,
}

impl Limiter {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Plimsoll,
        Self::PlimsollGradient,
        Self::Gradient2,
        Self::Vegas,
        Self::Aimd,
        Self::HandTuned,
        Self::None,
    ];

    /// Its name in reports and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Plimsoll => "plimsoll",
            Self::PlimsollGradient => "plimsoll-gradient",
            Self::Gradient2 => "gradient2",
            Self::Vegas => "vegas",
            Self::Aimd => "aimd",
            Self::HandTuned => "hand-tuned",
            Self::None => "none",
        }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct OverloadOutcome {
    /// Work of requests that began in good time, as a share of what the slots can do.
    pub goodput: f64,
    /// Half of those served waited at most this, in mean sizes, from when they last came.
    pub wait_p50: f64,
    /// 99% of those served.
    pub wait_p99: f64,
    /// Refusals for each request that was served in good time.
    pub refusals: f64,
    /// The largest goodput that is possible when everybody who is not served is refused as often as
    /// this run's clients come back.
    pub bound: f64,
}

impl OverloadScenario {
    fn gate(&self, limiter: Limiter) -> Box<dyn Gate> {
        match limiter {
            Limiter::Plimsoll | Limiter::PlimsollGradient => {
                let gradient = limiter == Limiter::PlimsollGradient;
                let config =
                    AdmissionConfig { limit: self.slots, gradient, ..AdmissionConfig::default() };
                Box::new(Admitted::new(config))
            }
            Limiter::Gradient2 => Box::new(Limited::new(Gradient2::default())),
            Limiter::Vegas => Box::new(Limited::new(Vegas::new(self.seed))),
            Limiter::Aimd => Box::new(Limited::new(Aimd::default())),
            // A line in which half of the patience is waited.
            Limiter::HandTuned => {
                let line = self.able() as f64 * self.patience / 2.0;
                Box::new(Limited::new(Fixed(self.able() + line as usize)))
            }
            Limiter::None => Box::new(Limited::new(Fixed(usize::MAX))),
        }
    }

    /// Runs the scenario once.
    pub fn run(&self, limiter: Limiter) -> OverloadOutcome {
        run::run(self, self.gate(limiter))
    }

    /// How much the server can serve at once, when as many are in it as serve most.
    fn able(&self) -> usize {
        self.slots.min(self.slowdown.knee)
    }

    /// The largest goodput: of work, what refusing the others leaves.
    pub fn bound(&self) -> f64 {
        let attempts = if self.retry == Retry::Always { f64::from(1 + RETRIES) } else { 1.0 };
        let cost = self.reject_cost * attempts;
        // g + cost · (factor − g) = 1, where not everybody can be served.
        ((1.0 - cost * self.factor) / (1.0 - cost)).clamp(0.0, self.factor.min(1.0))
    }
}

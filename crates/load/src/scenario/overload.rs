//! More requests than a server can serve, from a fifth more to ten times as many.
//!
//! A server of a few slots and a line without bound, behind something that lets requests in or
//! refuses them. Sizes are those of [`BalanceScenario`](super::BalanceScenario), with a mean of a
//! second. A request is served in good time when it began within its patience, counted from when it
//! first came; goodput is the work of those as a share of what the slots can do.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use plimsoll_core_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::gates::{Admitted, Answer, Gate, Limited, Verdict};
use super::limiters::{Aimd, Fixed, Gradient2, Vegas};
use super::quantile;
use super::sizes::size;
use crate::admit::AdmissionConfig;
use crate::random::Random;

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

/// The share of a run that is not counted, at its beginning.
const UNCOUNTED: f64 = 0.1;
/// How often somebody comes back at most.
const RETRIES: u32 = 3;
/// σ of the logarithm of estimated over true size.
const SIZE_ERROR: f64 = 0.5;
/// How long somebody waits who was not told when to come back.
const UNTOLD: f64 = 0.5;

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

#[derive(Clone, Copy, Debug)]
struct Client {
    size: f64,
    /// The size that whoever lets it in believes.
    estimate: f64,
    began: f64,
    first: f64,
    came: f64,
    patience_ends: f64,
    retries: u32,
    in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Served(usize),
    Expires(usize),
    Comes(usize),
}

struct World<'a> {
    scenario: &'a OverloadScenario,
    gate: Box<dyn Gate>,
    clients: Vec<Client>,
    events: BinaryHeap<Reverse<(Timestamp, Event)>>,
    line: VecDeque<usize>,
    busy: usize,
    in_system: usize,
    /// Work of refusals that the server has yet to do.
    debt: f64,
    good: f64,
    good_count: usize,
    refusals: usize,
    waits: Vec<f64>,
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
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
        let mut world = World {
            scenario: self,
            gate: self.gate(limiter),
            clients: Vec::new(),
            events: BinaryHeap::new(),
            line: VecDeque::new(),
            busy: 0,
            in_system: 0,
            debt: 0.0,
            good: 0.0,
            good_count: 0,
            refusals: 0,
            waits: Vec::new(),
        };
        let mut random = Random::new(self.seed);
        let mut guesses = Random::new(self.seed ^ 0x6e55);
        let rate = self.able() as f64 * self.factor.max(1e-6);
        let mut now = 0.0;
        while now < self.seconds {
            now += random.exponential() / rate;
            world.until(at(now));
            let size = size(&mut random);
            let error = SIZE_ERROR * guesses.normal() - SIZE_ERROR * SIZE_ERROR / 2.0;
            world.clients.push(Client {
                size,
                estimate: size * error.exp(),
                began: now,
                first: now,
                came: now,
                patience_ends: now + self.patience,
                retries: 0,
                in_flight: 0,
            });
            world.comes(world.clients.len() - 1, now);
        }
        world.outcome()
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

impl World<'_> {
    fn counts(&self, now: f64) -> bool {
        now >= self.scenario.seconds * UNCOUNTED
    }

    fn until(&mut self, now: Timestamp) {
        while let Some(Reverse((at, event))) = self.events.peek().copied()
            && at <= now
        {
            self.events.pop();
            let seconds = at.as_secs_f64();
            match event {
                Event::Comes(who) => {
                    self.clients[who].came = seconds;
                    self.comes(who, seconds);
                }
                Event::Expires(who) => self.gate.expires(who, at),
                Event::Served(who) => self.served(who, seconds),
            }
            self.hear(seconds);
        }
    }

    fn hear(&mut self, now: f64) {
        loop {
            let news = self.gate.news();
            if news.is_empty() {
                return;
            }
            for (who, verdict) in news {
                self.heed(who, &verdict, now);
            }
        }
    }

    fn comes(&mut self, who: usize, now: f64) {
        let verdict = self.gate.comes(who, at(self.clients[who].patience_ends), at(now));
        self.heed(who, &verdict, now);
        self.hear(now);
    }

    fn heed(&mut self, who: usize, verdict: &Verdict, now: f64) {
        match *verdict {
            Verdict::In => {
                self.in_system += 1;
                self.clients[who].in_flight = self.in_system;
                self.line.push_back(who);
                self.begin(now);
            }
            Verdict::Waits(until) => self.events.push(Reverse((until, Event::Expires(who)))),
            Verdict::Refused(told) => self.refused(who, told, now),
        }
    }

    fn refused(&mut self, who: usize, told: Option<f64>, now: f64) {
        self.refusals += usize::from(self.counts(now));
        self.debt += self.scenario.reject_cost;
        let client = &mut self.clients[who];
        let again = match self.scenario.retry {
            Retry::Never => return,
            Retry::WithinPatience => now + told.unwrap_or(UNTOLD),
            Retry::Always => now + UNTOLD,
        };
        if client.retries == RETRIES {
            return;
        }
        if self.scenario.retry == Retry::Always {
            client.patience_ends = again + self.scenario.patience;
        } else if again >= client.patience_ends {
            return;
        }
        client.retries += 1;
        self.events.push(Reverse((at(again), Event::Comes(who))));
    }

    /// Free slots take from the line, whether or not whoever is next still waits for the answer.
    fn begin(&mut self, now: f64) {
        while self.busy < self.scenario.slots
            && let Some(who) = self.line.pop_front()
        {
            self.busy += 1;
            self.clients[who].began = now;
            let client = self.clients[who];
            self.count(&client, now);
            let takes = client.size * self.scenario.slowdown.times(self.busy)
                + std::mem::take(&mut self.debt);
            self.events.push(Reverse((at(now + takes), Event::Served(who))));
        }
    }

    /// `client` begins now.
    fn count(&mut self, client: &Client, now: f64) {
        let counted = self.counts(now);
        if counted {
            self.waits.push(now - client.came);
        }
        let always = self.scenario.retry == Retry::Always;
        let since = if always { client.came } else { client.first };
        if now - since <= self.scenario.patience {
            // The part of it that is within the time that is counted.
            let from = now.max(self.scenario.seconds * UNCOUNTED);
            let to = (now + client.size).min(self.scenario.seconds);
            self.good += (to - from).max(0.0);
            self.good_count += usize::from(counted);
        }
    }

    fn served(&mut self, who: usize, now: f64) {
        self.busy -= 1;
        self.in_system -= 1;
        let client = self.clients[who];
        self.gate.served(&Answer {
            latency: now - client.came,
            in_flight: client.in_flight,
            estimate: client.estimate,
            held: now - client.began,
            at: at(now),
        });
        self.begin(now);
    }

    fn outcome(mut self) -> OverloadOutcome {
        self.waits.sort_unstable_by(f64::total_cmp);
        let able = self.scenario.able() as f64 * self.scenario.seconds * (1.0 - UNCOUNTED);
        OverloadOutcome {
            goodput: self.good / able,
            wait_p50: quantile(&self.waits, 0.5),
            wait_p99: quantile(&self.waits, 0.99),
            refusals: self.refusals as f64 / self.good_count.max(1) as f64,
            bound: self.scenario.bound(),
        }
    }
}

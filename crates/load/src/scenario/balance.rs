//! Balancing requests of very different sizes over backends of different and changing speed.
//!
//! 16 backends of 4 slots: one is always three times slower, one for a fifth of the run. Sizes are
//! lognormal with σ 1, one in twenty eight times larger, with a mean of a second. A balancer knows
//! sizes only roughly, and speeds only from answers and from a measurement each second.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use plimsoll_core_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::directors::{Central, Clairvoyant, Director, Production, Said, balancers, timestamp};
use super::quantile;
use super::servers::Server;
use super::sizes::size;
use crate::balance::{Balancer, Dispatch};
use crate::random::Random;

/// What is simulated. Time is in seconds, which is also the mean size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BalanceScenario {
    /// How many backends; the first two are slow, always and for a fifth of the run.
    pub backends: usize,
    /// Slots of each.
    pub slots: usize,
    /// Arrivals as a share of what the backends can serve.
    pub load: f64,
    /// How many balancers share the requests, at random.
    pub balancers: usize,
    /// How many requests.
    pub requests: usize,
    /// Of arrivals, sizes and choices.
    pub seed: u64,
    /// σ of the logarithm of estimated over true size.
    pub size_error: f64,
    /// Half-width of the relative error of measured speeds.
    pub speed_error: f64,
    /// Speeds are measured each so many seconds; zero is never: they are learned from answers.
    pub speed_every: f64,
    /// Where there are several balancers, each hears each so many seconds what is in backends.
    pub stale: f64,
}

impl Default for BalanceScenario {
    fn default() -> Self {
        Self {
            backends: 16,
            slots: 4,
            load: 0.85,
            balancers: 1,
            requests: 300_000,
            seed: 1,
            size_error: 0.5,
            speed_error: 0.1,
            speed_every: 1.0,
            stale: 0.1,
        }
    }
}

/// Who balances.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Contender {
    /// What [`Balancer`] does by default.
    PredictedCompletion,
    /// The same with [`Binding::Late`](crate::Binding::Late): what exceeds the slots that are
    /// believed to be free waits at its balancer, until an answer or a report frees one.
    PredictedCompletionLate,
    /// [`RoundRobin`](crate::policy::RoundRobin).
    RoundRobin,
    /// [`RandomChoice`](crate::policy::RandomChoice).
    Random,
    /// [`LeastRequest`](crate::policy::LeastRequest).
    LeastRequest,
    /// [`PeakEwma`](crate::policy::PeakEwma).
    PeakEwma,
    /// [`Prequal`](crate::policy::Prequal), with three probes for each request.
    Prequal,
    /// [`ShortestQueue`](crate::policy::ShortestQueue).
    ShortestQueue,
    /// [`BoundedHash`](crate::policy::BoundedHash), with a thousand keys.
    BoundedHash,
    /// The reference: knows all sizes, speeds and ends, and chooses the earliest end.
    Clairvoyant,
    /// The reference without knowledge of sizes: one line for all backends.
    Central,
}

impl Contender {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::PredictedCompletion,
        Self::PredictedCompletionLate,
        Self::RoundRobin,
        Self::Random,
        Self::LeastRequest,
        Self::PeakEwma,
        Self::Prequal,
        Self::ShortestQueue,
        Self::BoundedHash,
        Self::Clairvoyant,
        Self::Central,
    ];

    /// Its name in reports and on command lines.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PredictedCompletion => "predicted-completion",
            Self::PredictedCompletionLate => "predicted-completion-late",
            Self::RoundRobin => "round-robin",
            Self::Random => "random",
            Self::LeastRequest => "p2c-least-request",
            Self::PeakEwma => "peak-ewma",
            Self::Prequal => "prequal",
            Self::ShortestQueue => "shortest-queue",
            Self::BoundedHash => "bounded-hash",
            Self::Clairvoyant => "clairvoyant",
            Self::Central => "central-fcfs",
        }
    }
}

/// What came of a run, in mean sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct BalanceOutcome {
    /// Half of the requests took at most this.
    pub latency_p50: f64,
    /// 99% of them.
    pub latency_p99: f64,
    /// 99.9% of them.
    pub latency_p999: f64,
    /// 99% waited at most this before they began.
    pub wait_p99: f64,
    /// 99% took at most this many times their size.
    pub slowdown_p99: f64,
    /// Whether the wait of the last tenth was more than three times that of the second tenth and
    /// more than ten: the load could not be carried, and figures grow with the run's length.
    pub unstable: bool,
}

/// One request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    pub(super) size: f64,
    pub(super) estimate: f64,
    pub(super) balancer: usize,
    pub(super) key: u64,
}

/// Seconds after the last arrival in which those that are held are still served.
const MOST_AFTER: usize = 10_000;
/// The share of a run that is not counted, at its beginning.
const WARM_UP: f64 = 0.05;
/// When the second backend is slow, as shares of the run.
const SLOW_BETWEEN: (f64, f64) = (0.4, 0.6);

impl BalanceScenario {
    fn servers(&self, length: f64) -> Vec<Server> {
        let slow = |index: usize| match index {
            0 => (0.0, f64::MAX),
            1 => (SLOW_BETWEEN.0 * length, SLOW_BETWEEN.1 * length),
            _ => (0.0, 0.0),
        };
        (0..self.backends).map(|index| Server::new(self.slots, slow(index))).collect()
    }

    /// What backends serve in a second, on average over the run.
    fn capacity(&self) -> f64 {
        let slowed = SLOW_BETWEEN.1 - SLOW_BETWEEN.0;
        let second = 1.0 - slowed + slowed / 3.0;
        let speeds = [1.0 / 3.0, second].into_iter().chain(std::iter::repeat(1.0));
        speeds.take(self.backends).sum::<f64>() * self.slots as f64
    }

    fn job(&self, random: &mut Random) -> Job {
        let size = size(random);
        // Unbiased: its mean over estimates is the size.
        let error = self.size_error * random.normal() - self.size_error.powi(2) / 2.0;
        let balancer = random.below(self.balancers.max(1));
        Job { size, estimate: size * error.exp(), balancer, key: random.below(1000) as u64 }
    }

    /// Runs the scenario once.
    pub fn run(&self, contender: Contender) -> BalanceOutcome {
        let scenario = Self { balancers: self.balancers.max(1), ..*self };
        let balancers = balancers(&scenario, contender);
        match contender {
            Contender::Clairvoyant => scenario.drive(&mut Clairvoyant),
            Contender::Central => scenario.drive(&mut Central),
            _ => scenario.drive(&mut Production::new(&scenario, contender, &balancers)),
        }
    }

    fn drive<'a>(&self, director: &mut impl Director<'a>) -> BalanceOutcome {
        let mut random = Random::new(self.seed);
        let rate = self.capacity() * self.load.max(1e-6);
        let length = self.requests as f64 / rate;
        let mut world = World {
            servers: self.servers(length),
            ending: BinaryHeap::new(),
            alive: Vec::new(),
            vacant: Vec::new(),
            held: vec![VecDeque::new(); self.balancers],
            served: Vec::with_capacity(self.requests),
        };
        let mut reports = Reports::new(self);
        let mut now = 0.0;
        for _ in 0..self.requests {
            now += random.exponential() / rate;
            let job = self.job(&mut random);
            world.pass(director, &mut reports, now);
            world.held[job.balancer].push_back(Held { job, came: now, index: world.served.len() });
            world.served.push(Served { size: job.size, wait: f64::MAX, latency: f64::MAX });
            world.release(director, job.balancer, now);
        }
        // Whoever is still held is served by and by.
        for _ in 0..MOST_AFTER {
            if world.held.iter().all(VecDeque::is_empty) {
                break;
            }
            now += 1.0;
            world.pass(director, &mut reports, now);
        }
        outcome(&world.served)
    }
}

/// When what is to be said next, and to which balancer.
struct Reports {
    queue: BinaryHeap<Reverse<(Timestamp, Said, usize)>>,
    stale: f64,
    speed_every: f64,
}

impl Reports {
    fn new(scenario: &BalanceScenario) -> Self {
        let mut queue = BinaryHeap::new();
        let mut begin = |every: f64, what| {
            for balancer in 0..scenario.balancers {
                // They are not told all at once.
                let at = every * (balancer + 1) as f64 / scenario.balancers as f64;
                queue.push(Reverse((timestamp(at), what, balancer)));
            }
        };
        if scenario.speed_every > 0.0 {
            begin(scenario.speed_every, Said::Speed);
        }
        if scenario.balancers > 1 && scenario.stale > 0.0 {
            begin(scenario.stale, Said::Load);
        }
        Self { queue, stale: scenario.stale, speed_every: scenario.speed_every }
    }

    fn next(&mut self, until: f64) -> Option<(f64, Said, usize)> {
        let Reverse((at, what, to)) = *self.queue.peek()?;
        if at > timestamp(until) {
            return None;
        }
        self.queue.pop();
        let every = if what == Said::Load { self.stale } else { self.speed_every };
        let again = timestamp(at.as_secs_f64() + every);
        self.queue.push(Reverse((again, what, to)));
        Some((at.as_secs_f64(), what, to))
    }
}

/// A request that is in a backend.
struct Alive<'a> {
    server: usize,
    balancer: usize,
    /// How many were there before it.
    met: usize,
    began: f64,
    dispatch: Option<Dispatch<&'a Balancer>>,
}

/// A request that waits at its balancer.
#[derive(Clone, Debug)]
struct Held {
    job: Job,
    came: f64,
    /// Its place among those served.
    index: usize,
}

struct World<'a> {
    servers: Vec<Server>,
    ending: BinaryHeap<Reverse<(Timestamp, usize)>>,
    alive: Vec<Option<Alive<'a>>>,
    vacant: Vec<usize>,
    /// Those that wait at each balancer.
    held: Vec<VecDeque<Held>>,
    served: Vec<Served>,
}

/// How a request fared.
struct Served {
    size: f64,
    wait: f64,
    latency: f64,
}

impl<'a> World<'a> {
    /// What happens until `now`, in order.
    fn pass(&mut self, director: &mut impl Director<'a>, reports: &mut Reports, now: f64) {
        while let Some((at, what, to)) = reports.next(now) {
            self.end_until(director, at);
            director.report(&self.servers, what, to, at);
            self.release(director, to, at);
        }
        self.end_until(director, now);
    }

    fn end_until(&mut self, director: &mut impl Director<'a>, now: f64) {
        let now = timestamp(now);
        while let Some(Reverse((at, index))) = self.ending.peek().copied()
            && at <= now
        {
            self.ending.pop();
            let Some(alive) = self.alive[index].take() else { continue };
            self.vacant.push(index);
            let latency = at.as_secs_f64() - alive.began;
            self.servers[alive.server].leave(alive.met, latency);
            if let Some(dispatch) = alive.dispatch {
                dispatch.succeed(at);
                self.release(director, alive.balancer, at.as_secs_f64());
            }
        }
    }

    /// Sends what is held at `balancer`, as long as it finds a backend.
    fn release(&mut self, director: &mut impl Director<'a>, balancer: usize, now: f64) {
        while let Some(held) = self.held[balancer].front().cloned()
            && let Some((begins, ends)) = self.send(director, &held.job, now)
        {
            self.held[balancer].pop_front();
            let served = &mut self.served[held.index];
            (served.wait, served.latency) = (begins - held.came, ends - held.came);
        }
    }

    /// When `job` begins and ends, where it goes to a backend now.
    fn send(
        &mut self,
        director: &mut impl Director<'a>,
        job: &Job,
        now: f64,
    ) -> Option<(f64, f64)> {
        let (server, dispatch) = director.choose(&self.servers, job, now)?;
        let met = self.servers[server].in_flight;
        let (begins, ends) = self.servers[server].join(job.size, now);
        let alive = Some(Alive { server, balancer: job.balancer, met, began: now, dispatch });
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.alive.push(None);
            self.alive.len() - 1
        });
        self.alive[index] = alive;
        self.ending.push(Reverse((timestamp(ends), index)));
        Some((begins, ends))
    }
}

fn outcome(served: &[Served]) -> BalanceOutcome {
    let counted = &served[(served.len() as f64 * WARM_UP) as usize..];
    let sorted = |figure: fn(&Served) -> f64| {
        let mut figures: Vec<f64> = counted.iter().map(figure).collect();
        figures.sort_unstable_by(f64::total_cmp);
        figures
    };
    let tenth = served.len() / 10;
    let mean_wait = |part: &[Served]| {
        part.iter().map(|served| served.wait).sum::<f64>() / part.len().max(1) as f64
    };
    let early = mean_wait(&served[tenth..2 * tenth]);
    let late = mean_wait(&served[served.len() - tenth..]);
    let latencies = sorted(|served| served.latency);
    BalanceOutcome {
        latency_p50: quantile(&latencies, 0.5),
        latency_p99: quantile(&latencies, 0.99),
        latency_p999: quantile(&latencies, 0.999),
        wait_p99: quantile(&sorted(|served| served.wait), 0.99),
        slowdown_p99: quantile(&sorted(|served| served.latency / served.size), 0.99),
        unstable: late > 10.0 && late > 3.0 * early,
    }
}

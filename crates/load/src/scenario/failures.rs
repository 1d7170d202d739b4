//! Backends that fail while requests come: nothing may be lost, and nobody who is out of rotation
//! may be sent more than its probes.
//!
//! Eight backends of four slots, sizes as in [`BalanceScenario`](super::BalanceScenario), and
//! callers who send an attempt that failed, or was not answered in time, to another one that the
//! balancer names. What a caller gives up is lost.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use plimsoll_core_types::{ReplicaId, Timestamp};
use serde::{Deserialize, Serialize};

use super::outages::{Outage, Restart};
use super::quantile;
use super::servers::Server;
use super::sizes::size;
use crate::balance::{
    BackendConfig, BackendStatus, Balancer, BalancerConfig, Dispatch, DispatchError, Standing, Work,
};
use crate::random::Random;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Failure {
    /// One backend answers each request with an error at once, for half of the run.
    FailsFast,
    /// One takes requests and never answers, for half of the run; what it had begun it never ends.
    Hangs,
    /// One fails for two seconds and works for three, all the time.
    Flaps,
    /// All but one fail at the same time, for a fifth of the run.
    AllButOneDead,
    /// One after the other is drained, removed, and added again.
    RollingRestart,
}

impl Failure {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::FailsFast, Self::Hangs, Self::Flaps, Self::AllButOneDead, Self::RollingRestart];

    /// Its name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::FailsFast => "fails-fast",
            Self::Hangs => "hangs",
            Self::Flaps => "flaps",
            Self::AllButOneDead => "all-but-one-dead",
            Self::RollingRestart => "rolling-restart",
        }
    }

    pub(super) fn outages(self, backend: usize, seconds: f64) -> Vec<Outage> {
        let failing = |from, to| Outage { from, to, hangs: false };
        match (self, backend) {
            (Self::FailsFast, 0) => vec![failing(0.25 * seconds, 0.75 * seconds)],
            (Self::Hangs, 0) => {
                vec![Outage { from: 0.25 * seconds, to: 0.75 * seconds, hangs: true }]
            }
            (Self::Flaps, 0) => {
                let times = (seconds / 5.0) as usize;
                (0..times)
                    .map(|time| 5.0 * time as f64 + 3.0)
                    .map(|at| failing(at, at + 2.0))
                    .collect()
            }
            (Self::AllButOneDead, 1..) => vec![failing(0.4 * seconds, 0.6 * seconds)],
            _ => Vec::new(),
        }
    }

    /// Arrivals, as a share of what the backends that never fail can serve, or a little more than
    /// what is there during a restart.
    const fn load(self) -> f64 {
        match self {
            Self::AllButOneDead => 0.6 / 8.0,
            _ => 0.7,
        }
    }
}

/// What is simulated. Times are in seconds, which is also the mean size.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct FailureScenario {
    /// How many backends.
    pub backends: usize,
    /// Slots of each.
    pub slots: usize,
    /// How long requests come.
    pub seconds: f64,
    /// How long a caller waits for an answer before it tries again.
    pub timeout: f64,
    /// How many attempts a caller makes before it gives up.
    pub attempts: u32,
    /// Of arrivals and sizes.
    pub seed: u64,
}

impl Default for FailureScenario {
    fn default() -> Self {
        Self { backends: 8, slots: 4, seconds: 300.0, timeout: 60.0, attempts: 10, seed: 1 }
    }
}

/// What came of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct FailureOutcome {
    /// Requests that came.
    pub requests: usize,
    /// Those whose callers gave up.
    pub lost: usize,
    /// Attempts that were sent to a backend out of rotation beyond its probes, or that drains.
    pub misdirected: usize,
    /// Attempts for each request.
    pub attempts: f64,
    /// Dispatches that the balancer still counts after the last request has ended.
    pub leaked: usize,
    /// 99% of requests took at most this, from the first attempt on.
    pub latency_p99: f64,
}

/// How long a backend that fails takes to do so.
const FAILS_IN: f64 = 0.001;

#[derive(Clone, Debug)]
struct Request {
    size: f64,
    came: f64,
    attempts: u32,
    /// Who has failed it.
    tried: Vec<ReplicaId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An attempt has ended, well or not.
    Ends(usize, bool),
    Tries(usize),
    Restarts,
}

struct Attempt<'a> {
    request: usize,
    backend: usize,
    dispatch: Dispatch<&'a Balancer>,
    probe: bool,
}

struct World<'a> {
    scenario: FailureScenario,
    balancer: &'a Balancer,
    /// Backends, and when they fail, the first outage last.
    servers: Vec<(Server, Vec<Outage>)>,
    restart: Option<Restart>,
    requests: Vec<Request>,
    attempts: Vec<Option<Attempt<'a>>>,
    vacant: Vec<usize>,
    /// Probes on their way to each backend.
    probing: Vec<usize>,
    events: BinaryHeap<Reverse<(Timestamp, Event)>>,
    outcome: FailureOutcome,
    latencies: Vec<f64>,
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

impl FailureScenario {
    /// Runs the scenario once.
    pub fn run(&self, failure: Failure) -> FailureOutcome {
        let typical = std::time::Duration::from_secs(1);
        let balancer = Balancer::new(BalancerConfig { typical, ..BalancerConfig::default() });
        let backend = BackendConfig { slots: self.slots, ..BackendConfig::default() };
        for number in 0..self.backends {
            balancer.add(ReplicaId::new(number as u64), backend);
        }
        let server = |index| {
            let mut outages = failure.outages(index, self.seconds);
            outages.reverse();
            (Server::new(self.slots, (0.0, 0.0)), outages)
        };
        let mut world = World {
            scenario: *self,
            balancer: &balancer,
            servers: (0..self.backends).map(server).collect(),
            restart: (failure == Failure::RollingRestart)
                .then(|| Restart::new(self.backends, backend)),
            requests: Vec::new(),
            attempts: Vec::new(),
            vacant: Vec::new(),
            probing: vec![0; self.backends],
            events: BinaryHeap::new(),
            outcome: FailureOutcome::default(),
            latencies: Vec::new(),
        };
        world.events.push(Reverse((at(self.seconds * 0.1), Event::Restarts)));
        let mut random = Random::new(self.seed);
        let rate = (self.backends * self.slots) as f64 * failure.load();
        let mut now = 0.0;
        while now < self.seconds {
            now += random.exponential() / rate;
            world.requests.push(Request {
                size: size(&mut random),
                came: now,
                attempts: 0,
                tried: Vec::new(),
            });
            world.events.push(Reverse((at(now), Event::Tries(world.requests.len() - 1))));
            world.until(at(now));
        }
        world.until(Timestamp::MAX);
        world.finish()
    }
}

impl<'a> World<'a> {
    fn until(&mut self, until: Timestamp) {
        while let Some(Reverse((now, event))) = self.events.peek().copied()
            && now <= until
        {
            self.events.pop();
            let seconds = now.as_secs_f64();
            match event {
                Event::Tries(request) => self.tries(request, seconds),
                Event::Ends(attempt, well) => self.ends(attempt, well, seconds),
                Event::Restarts => {
                    let next = self.restart.as_mut().and_then(|it| it.step(self.balancer, seconds));
                    self.events.extend(next.map(|next| Reverse((at(next), Event::Restarts))));
                }
            }
        }
    }

    fn tries(&mut self, request: usize, now: f64) {
        let before = self.balancer.backends();
        let tried = &self.requests[request].tried;
        match self.balancer.dispatch_again(&Work::default(), tried, at(now)) {
            Ok(dispatch) => {
                self.requests[request].attempts += 1;
                self.sent(request, dispatch, &before, now);
            }
            Err(DispatchError::Unavailable { retry_after, .. })
                if now < 2.0 * self.scenario.seconds =>
            {
                let again = now + retry_after.as_secs_f64().max(0.01);
                self.events.push(Reverse((at(again), Event::Tries(request))));
            }
            Err(_) => self.outcome.lost += 1,
        }
    }

    fn sent(
        &mut self,
        request: usize,
        dispatch: Dispatch<&'a Balancer>,
        before: &[BackendStatus],
        now: f64,
    ) {
        let backend = dispatch.replica().get() as usize;
        let probe = self.judged(backend, before, now);
        let (ends, well) = self.fate(backend, self.requests[request].size, now);
        let attempt = Attempt { request, backend, dispatch, probe };
        let index = self.vacant.pop().unwrap_or_else(|| {
            self.attempts.push(None);
            self.attempts.len() - 1
        });
        self.attempts[index] = Some(attempt);
        self.events.push(Reverse((at(ends), Event::Ends(index, well))));
    }

    /// Whether what was sent to `backend` is a probe; counts it where it should not have been sent.
    fn judged(&mut self, backend: usize, before: &[BackendStatus], now: f64) -> bool {
        let status = before.iter().find(|status| status.id.get() == backend as u64);
        let allowed = match status.map(|status| status.standing) {
            Some(Standing::Open) => return false,
            Some(Standing::Ejected { until }) => until <= at(now),
            Some(Standing::Probing) => true,
            _ => false,
        };
        let probing = &mut self.probing[backend];
        *probing += 1;
        let most = BalancerConfig::default().ejection.probes as usize;
        self.outcome.misdirected += usize::from(!allowed || *probing > most);
        true
    }

    /// When an attempt ends, and whether well.
    fn fate(&mut self, backend: usize, size: f64, now: f64) -> (f64, bool) {
        let given_up = now + self.scenario.timeout;
        let (server, outages) = &mut self.servers[backend];
        while outages.last().is_some_and(|outage| outage.to <= now) {
            outages.pop();
            // What it had begun is gone.
            *server = Server::new(self.scenario.slots, (0.0, 0.0));
        }
        let next = outages.last();
        if let Some(outage) = next
            && outage.from <= now
        {
            return (if outage.hangs { given_up } else { now + FAILS_IN }, false);
        }
        let (_, ends) = server.join(size, now);
        match next {
            Some(outage) if outage.from < ends => {
                (if outage.hangs { given_up } else { outage.from.min(given_up) }, false)
            }
            _ => (ends.min(given_up), ends <= given_up),
        }
    }

    fn ends(&mut self, index: usize, well: bool, now: f64) {
        let Some(attempt) = self.attempts[index].take() else { return };
        self.vacant.push(index);
        self.probing[attempt.backend] -= usize::from(attempt.probe);
        let request = &mut self.requests[attempt.request];
        if well {
            attempt.dispatch.succeed(at(now));
            self.latencies.push(now - request.came);
        } else {
            request.tried.push(attempt.dispatch.replica());
            attempt.dispatch.fail(at(now));
            if request.attempts < self.scenario.attempts {
                self.events.push(Reverse((at(now), Event::Tries(attempt.request))));
            } else {
                self.outcome.lost += 1;
            }
        }
    }

    fn finish(mut self) -> FailureOutcome {
        self.latencies.sort_unstable_by(f64::total_cmp);
        let attempts: u32 = self.requests.iter().map(|request| request.attempts).sum();
        let requests = self.requests.len();
        // Whoever was neither answered nor given up was forgotten.
        let forgotten = requests - self.latencies.len() - self.outcome.lost;
        FailureOutcome {
            requests,
            lost: self.outcome.lost + forgotten,
            attempts: f64::from(attempts) / requests.max(1) as f64,
            leaked: self.balancer.in_progress(),
            latency_p99: quantile(&self.latencies, 0.99),
            ..self.outcome
        }
    }
}

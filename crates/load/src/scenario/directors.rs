//! Who sends requests to backends in a simulation: balancers as they run in production, and what
//! knows everything.

use std::time::Duration;

use plimsoll_core_types::{Ratio, ReplicaId, Timestamp};

use super::balance::{BalanceScenario, Contender, Job};
use super::servers::Server;
use crate::balance::{
    BackendConfig, BackendReport, Balancer, BalancerConfig, Binding, Dispatch, DispatchError,
    Sharing, Work,
};
use crate::policy::{
    BoundedHash, LeastRequest, PeakEwma, Prequal, RandomChoice, RoundRobin, ShortestQueue,
};
use crate::random::Random;

/// Chooses a backend for each request, and may learn from answers and from what backends say.
pub(super) trait Director<'a> {
    /// Which backend, and what is to be given back at its end; none where it is to wait.
    fn choose(
        &mut self,
        servers: &[Server],
        job: &Job,
        now: f64,
    ) -> Option<(usize, Option<Dispatch<&'a Balancer>>)>;

    /// Backends say something of themselves to balancer `to`.
    fn report(&mut self, servers: &[Server], what: Said, to: usize, now: f64) {
        let _ = (servers, what, to, now);
    }
}

/// What backends say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Said {
    /// How much is in them.
    Load,
    /// How fast they are, roughly.
    Speed,
}

/// Knows every size and speed, and sends each request where it ends first.
#[derive(Debug)]
pub(super) struct Clairvoyant;

impl<'a> Director<'a> for Clairvoyant {
    fn choose(
        &mut self,
        servers: &[Server],
        job: &Job,
        now: f64,
    ) -> Option<(usize, Option<Dispatch<&'a Balancer>>)> {
        let end = |server: &Server| server.would_run(job.size, now).1;
        let ends = servers.iter().map(end).enumerate();
        ends.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, _)| (index, None))
    }
}

/// One line for all, without knowledge of sizes: whoever is free first takes the next, the fastest
/// where several are free.
#[derive(Debug)]
pub(super) struct Central;

impl<'a> Director<'a> for Central {
    fn choose(
        &mut self,
        servers: &[Server],
        _: &Job,
        now: f64,
    ) -> Option<(usize, Option<Dispatch<&'a Balancer>>)> {
        let order = |server: &Server| (server.would_run(0.0, now).0, -server.speed(now));
        let starts = servers.iter().map(order).enumerate();
        let first = starts.min_by(|(_, a), (_, b)| a.0.total_cmp(&b.0).then(a.1.total_cmp(&b.1)));
        first.map(|(index, _)| (index, None))
    }
}

/// Balancers as they run in production, each with a share of the requests.
#[derive(Debug)]
pub(super) struct Production<'a> {
    balancers: &'a [Balancer],
    probes: bool,
    random: Random,
    speed_error: f64,
}

pub(super) fn timestamp(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn duration(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds.max(0.0))
}

/// The balancers of `scenario`, with their backends.
pub(super) fn balancers(scenario: &BalanceScenario, contender: Contender) -> Vec<Balancer> {
    let sharing = if scenario.balancers > 1 { Sharing::Shared } else { Sharing::Sole };
    let late = contender == Contender::PredictedCompletionLate;
    let binding = if late { Binding::Late } else { Binding::Early };
    let make = |index: usize| {
        let config = BalancerConfig {
            sharing,
            binding,
            typical: Duration::from_secs(1),
            seed: scenario.seed ^ (index as u64) << 32,
            ..BalancerConfig::default()
        };
        let balancer = match contender {
            Contender::RoundRobin => Balancer::with_policy(config, RoundRobin::default()),
            Contender::Random => Balancer::with_policy(config, RandomChoice),
            Contender::LeastRequest => Balancer::with_policy(config, LeastRequest),
            Contender::PeakEwma => {
                let peak = PeakEwma::new(Duration::from_secs(10), Duration::from_secs(1));
                Balancer::with_policy(config, peak)
            }
            Contender::Prequal => Balancer::with_policy(config, Prequal::default()),
            Contender::ShortestQueue => Balancer::with_policy(config, ShortestQueue),
            Contender::BoundedHash => Balancer::with_policy(config, BoundedHash),
            Contender::PredictedCompletion
            | Contender::PredictedCompletionLate
            | Contender::Clairvoyant
            | Contender::Central => Balancer::new(config),
        };
        for number in 0..scenario.backends {
            let backend = BackendConfig { slots: scenario.slots, ..BackendConfig::default() };
            balancer.add(ReplicaId::new(number as u64), backend);
        }
        balancer
    };
    (0..scenario.balancers).map(make).collect()
}

impl<'a> Production<'a> {
    pub(super) fn new(
        scenario: &BalanceScenario,
        contender: Contender,
        balancers: &'a [Balancer],
    ) -> Self {
        Self {
            balancers,
            probes: contender == Contender::Prequal,
            random: Random::new(scenario.seed ^ 0x7e1e),
            speed_error: scenario.speed_error,
        }
    }

    fn load(server: &Server) -> BackendReport {
        BackendReport {
            in_progress: Some(server.in_flight),
            latency: Some(duration(server.latency())),
            speed: None,
        }
    }
}

impl<'a> Director<'a> for Production<'a> {
    fn choose(
        &mut self,
        servers: &[Server],
        job: &Job,
        now: f64,
    ) -> Option<(usize, Option<Dispatch<&'a Balancer>>)> {
        let balancer = &self.balancers[job.balancer];
        if self.probes {
            // Prequal asks three backends for each request.
            for _ in 0..3 {
                let place = self.random.below(servers.len());
                let id = ReplicaId::new(place as u64);
                balancer.report(id, &Self::load(&servers[place]), timestamp(now));
            }
        }
        let work = Work::expecting(duration(job.estimate)).of_key(job.key);
        // Nothing fails in this scenario, so nobody is out; were somebody, the first would do.
        match balancer.dispatch(&work, timestamp(now)) {
            Ok(dispatch) => Some((dispatch.replica().get() as usize, Some(dispatch))),
            Err(DispatchError::Full { .. }) => None,
            Err(_) => Some((0, None)),
        }
    }

    fn report(&mut self, servers: &[Server], what: Said, to: usize, now: f64) {
        // Who probes is told nothing else of loads.
        if self.probes && what == Said::Load {
            return;
        }
        for (place, server) in servers.iter().enumerate() {
            let report = match what {
                Said::Load => Self::load(server),
                Said::Speed => {
                    let error = 1.0 + self.speed_error * (2.0 * self.random.unit() - 1.0);
                    let speed = Ratio::saturating(server.speed(now) * error);
                    BackendReport { speed: Some(speed), ..BackendReport::default() }
                }
            };
            self.balancers[to].report(ReplicaId::new(place as u64), &report, timestamp(now));
        }
    }
}

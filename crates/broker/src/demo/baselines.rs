//! The demo's requests again, in virtual time, under rules that people use today.
//!
//! What is simulated is what the front had to ask an engine for: what the cache answered would
//! have been answered by the same cache in front of any of them. Loads take as long as they were
//! measured to take, and each request as long as it did where it found its engine warm, else as
//! long as its model's warm requests did in the median.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ModelId, ResourceVector};
use plimsoll_predict::{Predictor, PredictorConfig};
use plimsoll_sim::serving::{
    LruByCount, ModelSpec, Outcome, Plimsoll, Policy, Request, ServingConfig, run,
};

use super::answers::Source;
use super::catalog::DemoModel;
use super::driver::{Answered, Verdict};
use super::run::{TICK, WITHIN};

/// How many models stay loaded where the count is what is limited: what Ollama keeps by default.
const KEPT: usize = 3;

/// What came of the requests under one rule. Simulated.
#[derive(Clone, Debug)]
pub(super) struct Baseline {
    pub(super) name: &'static str,
    pub(super) requests: usize,
    pub(super) errors: usize,
    pub(super) warm_hit_rate: f64,
    pub(super) latency_p50: Duration,
    pub(super) latency_p99: Duration,
    pub(super) loads: usize,
    pub(super) evictions: usize,
    pub(super) peak_promised: Bytes,
}

/// Replays what was answered under each rule; `loads` are the measured load times.
///
/// Plimsoll's own rules come first, so that like can be compared with like: simulated with
/// simulated. A rule that can't be simulated is left out.
pub(super) fn replay(
    models: &[DemoModel],
    loads: &BTreeMap<ModelId, Duration>,
    limit: &ResourceVector,
    answered: &[Answered],
) -> Vec<Baseline> {
    let specs: Vec<_> = models.iter().map(|model| spec(model, loads)).collect();
    let requests = requests(models, answered);
    let config = ServingConfig { limit: *limit, within: WITHIN, tick: TICK };
    let mut rules: Vec<(&'static str, Box<dyn Policy>)> = Vec::new();
    let predictor = Predictor::new(PredictorConfig::default()).ok();
    if let Ok(own) = Plimsoll::new(*limit, predictor) {
        rules.push(("plimsoll", Box::new(own)));
    }
    rules.push(("lru-count", Box::new(LruByCount { count: KEPT })));
    rules.push(("one-at-a-time", Box::new(LruByCount { count: 1 })));
    let simulate = |(name, mut rule): (&'static str, Box<dyn Policy>)| match run(
        &specs,
        &requests,
        rule.as_mut(),
        &config,
    ) {
        Ok(outcome) => Some(Baseline::new(name, &outcome)),
        Err(error) => {
            tracing::warn!(name, %error, "not simulated");
            None
        }
    };
    rules.into_iter().filter_map(simulate).collect()
}

impl Baseline {
    fn new(name: &'static str, outcome: &Outcome) -> Self {
        Self {
            name,
            requests: outcome.requests,
            errors: outcome.timed_out,
            warm_hit_rate: outcome.warm_hit_rate(),
            latency_p50: outcome.latency(0.5),
            latency_p99: outcome.latency(0.99),
            loads: outcome.loads,
            evictions: outcome.evictions,
            peak_promised: outcome.peak_promised.memory(),
        }
    }
}

fn spec(model: &DemoModel, loads: &BTreeMap<ModelId, Duration>) -> ModelSpec {
    let measured = loads.get(&model.spec.id).copied();
    let load_time = measured.or(model.spec.load_time).unwrap_or_default();
    ModelSpec {
        id: model.spec.id.clone(),
        amount: model.spec.declared,
        load_time,
        slots: model.spec.slots,
    }
}

fn requests(models: &[DemoModel], answered: &[Answered]) -> Vec<Request> {
    let service = service_times(models, answered);
    let request = |answer: &Answered| {
        let model = models.iter().position(|model| model.spec.id == answer.arrival.model)?;
        let service = match answer.result {
            Verdict::Well(Source::Cache) => return None,
            Verdict::Well(Source::Warm) => answer.latency,
            _ => service[model],
        };
        Some(Request { at: answer.arrival.at, model, service })
    };
    answered.iter().filter_map(request).collect()
}

/// The median latency of each model's warm answers; that of all where it has none.
fn service_times(models: &[DemoModel], answered: &[Answered]) -> Vec<Duration> {
    let warm = |id: Option<&ModelId>| {
        let of = |a: &&Answered| id.is_none_or(|id| a.arrival.model == *id);
        let warm = answered.iter().filter(|a| a.result == Verdict::Well(Source::Warm));
        median(warm.filter(of).map(|a| a.latency).collect())
    };
    let all = warm(None).unwrap_or_default();
    models.iter().map(|model| warm(Some(&model.spec.id)).unwrap_or(all)).collect()
}

fn median(mut values: Vec<Duration>) -> Option<Duration> {
    values.sort_unstable();
    values.get(values.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::catalog::models;
    use crate::demo::traffic::arrivals;
    use plimsoll_core_types::Millicores;

    fn answered(models: &[DemoModel], source: Source) -> Vec<Answered> {
        let answer = |arrival| Answered {
            arrival,
            result: Verdict::Well(source),
            latency: Duration::from_millis(3),
        };
        arrivals(models, 20.0, 3).into_iter().map(answer).collect()
    }

    #[test]
    fn what_engines_answered_is_replayed_under_every_rule() {
        let cores = Millicores::from_cores(2);
        let models = models(Bytes::from_mib(512), cores, 1);
        let limit = ResourceVector::new().with_memory(Bytes::from_mib(512)).with_cpu(cores);
        let answered = answered(&models, Source::Warm);
        let all = replay(&models, &BTreeMap::new(), &limit, &answered);
        let names: Vec<_> = all.iter().map(|baseline| baseline.name).collect();
        assert_eq!(names, ["plimsoll", "lru-count", "one-at-a-time"]);
        assert!(all.iter().all(|baseline| baseline.requests == answered.len()));
        assert!(all.iter().all(|baseline| baseline.peak_promised <= limit.memory()));
        assert!(all[2].loads > all[1].loads, "one at a time loads over and over: {all:?}");
    }

    #[test]
    fn what_the_cache_answered_is_left_out() {
        let models = models(Bytes::from_mib(512), Millicores::from_cores(2), 1);
        assert!(requests(&models, &answered(&models, Source::Cache)).is_empty());
    }
}

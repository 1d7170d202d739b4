//! Requests, made in advance from a seed so that the same ones can be replayed.

use std::time::Duration;

use plimsoll_core_types::{ModelId, Timestamp};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use super::catalog::{DemoModel, Pattern};

/// One request of the demo.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Arrival {
    /// When, from the start of the traffic.
    pub(super) at: Timestamp,
    pub(super) model: ModelId,
    pub(super) text: String,
}

/// Texts that a model is asked for; the first ones far more often than the last.
const TEXTS: usize = 400;
/// The Zipf exponent of that.
const SKEW: f64 = 0.8;

const SUBJECTS: [&str; 10] = [
    "the invoice",
    "a parcel",
    "my account",
    "the contract",
    "our booking",
    "the report",
    "this photo",
    "the meeting",
    "a refund",
    "the delivery",
];
const VERBS: [&str; 8] = [
    "was lost",
    "has arrived",
    "needs a signature",
    "should be moved",
    "is missing a page",
    "was paid twice",
    "can be closed",
    "has to be checked",
];
const TIMES: [&str; 5] = ["today", "last week", "on Monday", "before noon", "since the update"];

/// The requests of `seconds` seconds, in the order in which they come.
pub(super) fn arrivals(models: &[DemoModel], seconds: f64, seed: u64) -> Vec<Arrival> {
    let mut all = Vec::new();
    for (index, model) in models.iter().enumerate() {
        let stream = seed.wrapping_mul(1009).wrapping_add(index as u64);
        let mut random = StdRng::seed_from_u64(stream);
        for at in moments(model.pattern, seconds, &mut random) {
            let text = text(&mut random);
            let at = Timestamp::from_secs_f64(at);
            all.push(Arrival { at, model: model.spec.id.clone(), text });
        }
    }
    all.sort_by(|a, b| (a.at, &a.model).cmp(&(b.at, &b.model)));
    all
}

fn moments(pattern: Pattern, seconds: f64, random: &mut StdRng) -> Vec<f64> {
    match pattern {
        Pattern::Steady { per_second } => poisson(0.0, seconds, per_second, random),
        Pattern::Bursts { period, offset, length, per_second } => {
            let mut all = Vec::new();
            let mut start = offset;
            while start < seconds {
                // People are not clockwork: each burst comes a little early or late.
                let jittered = (start + random.random_range(-0.15..0.15)).max(0.0);
                all.extend(poisson(jittered, (jittered + length).min(seconds), per_second, random));
                start += period;
            }
            all
        }
    }
}

/// A Poisson process from `start` to `end`: exponential gaps.
fn poisson(start: f64, end: f64, per_second: f64, random: &mut StdRng) -> Vec<f64> {
    let mut all = Vec::new();
    let mut now = start;
    loop {
        let uniform: f64 = random.random_range(f64::MIN_POSITIVE..1.0);
        now -= uniform.ln() / per_second;
        if now >= end {
            return all;
        }
        all.push(now);
    }
}

fn text(random: &mut StdRng) -> String {
    // The inverse of the Zipf distribution's continuous form.
    let top = (TEXTS as f64).powf(1.0 - SKEW);
    let rank = (random.random_range(0.0..1.0) * (top - 1.0) + 1.0).powf(1.0 / (1.0 - SKEW));
    let rank = (rank as usize).min(TEXTS) - 1;
    let subject = SUBJECTS[rank % SUBJECTS.len()];
    let verb = VERBS[rank / SUBJECTS.len() % VERBS.len()];
    let time = TIMES[rank / (SUBJECTS.len() * VERBS.len()) % TIMES.len()];
    format!("{subject} {verb} {time}")
}

/// How long after the start of the traffic an arrival is due.
pub(super) fn due(arrival: &Arrival) -> Duration {
    arrival.at.saturating_since(Timestamp::ZERO)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::catalog::models;
    use plimsoll_core_types::{Bytes, Millicores};
    use std::collections::BTreeSet;

    #[test]
    fn the_same_seed_gives_the_same_requests_in_order() {
        let models = models(Bytes::from_mib(512), Millicores::from_cores(2), 1);
        let first = arrivals(&models, 30.0, 7);
        assert_eq!(first, arrivals(&models, 30.0, 7));
        assert_ne!(first, arrivals(&models, 30.0, 8));
        assert!(first.windows(2).all(|pair| pair[0].at <= pair[1].at));
        let asked: BTreeSet<_> = first.iter().map(|arrival| &arrival.model).collect();
        assert_eq!(asked.len(), models.len(), "every model is asked for");
        assert!(first.len() > 800, "{}", first.len());
    }

    #[test]
    fn texts_recur_and_differ() {
        let models = models(Bytes::from_mib(512), Millicores::from_cores(2), 1);
        let texts: Vec<_> = arrivals(&models, 30.0, 7).into_iter().map(|a| a.text).collect();
        let distinct: BTreeSet<_> = texts.iter().collect();
        assert!(distinct.len() > 100 && distinct.len() * 2 < texts.len(), "{}", distinct.len());
    }
}

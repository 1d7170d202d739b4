//! Finds the limit by what it serves: raised where that serves more, taken back where it does not.
//!
//! Latency alone can't say whether a limit is too high where permits are held through other waits
//! (a model that loads for seconds), so the limit is never lowered for it. A hill climb on
//! throughput (Heiss and Wagner, *Adaptive load control in transaction processing systems*, VLDB
//! 1991) needs no setting: while nobody is kept waiting, the limit is left alone.

use plimsoll_core_types::{LoadMetrics, Reason, Timestamp};

/// The share by which the limit is raised.
const STEP: f64 = 0.125;
/// Of a raise, at least this share must arrive as throughput.
const WORTH: f64 = 0.25;
/// A raise is judged by at least this many answers.
const ANSWERS: u64 = 50;
/// After a raise that served nothing more, this many windows pass before the next.
const REST: u32 = 16;

/// A raise whose effect is being watched.
#[derive(Clone, Copy, Debug)]
struct Trial {
    from: usize,
    /// Answers a second before.
    before: f64,
    answers: u64,
    seconds: f64,
}

/// The state of the climb.
#[derive(Debug, Default)]
pub(crate) struct Climb {
    trial: Option<Trial>,
    rest: u32,
    seen: Option<Timestamp>,
}

impl Climb {
    /// The limit after a window of `metrics`, and why. `floor` is never gone below.
    pub(crate) fn step(
        &mut self,
        metrics: &LoadMetrics,
        limit: usize,
        floor: usize,
    ) -> (usize, Reason) {
        let seconds = metrics.window.as_secs_f64();
        if seconds <= 0.0 || self.seen.is_some_and(|seen| metrics.at <= seen) {
            return (limit, as_good(0.0));
        }
        self.seen = Some(metrics.at);
        let rate = metrics.completed as f64 / seconds;
        if let Some(trial) = &mut self.trial {
            trial.answers += metrics.completed;
            trial.seconds += seconds;
            if trial.answers < ANSWERS {
                let (seen, needed) = (trial.answers as usize, ANSWERS as usize);
                return (limit, Reason::TooFewSamples { seen, needed });
            }
            let trial = *trial;
            self.trial = None;
            return self.judge(&trial, limit, floor);
        }
        self.rest = self.rest.saturating_sub(1);
        if metrics.shed == 0 || self.rest > 0 || metrics.completed == 0 {
            return (limit, as_good(rate));
        }
        self.trial = Some(Trial { from: limit, before: rate, answers: 0, seconds: 0.0 });
        let to = limit + ((limit as f64 * STEP) as usize).max(1);
        let in_system = metrics.in_progress + metrics.queued;
        (to, Reason::Overload { in_system, limit })
    }

    fn judge(&mut self, trial: &Trial, limit: usize, floor: usize) -> (usize, Reason) {
        let after = trial.answers as f64 / trial.seconds;
        let raised = limit as f64 / trial.from as f64 - 1.0;
        let what = || "answers per second".to_owned();
        if after >= trial.before * (1.0 + WORTH * raised) {
            let reason = Reason::Better { what: what(), current: trial.before, candidate: after };
            return (limit, reason);
        }
        self.rest = REST;
        (trial.from.max(floor), Reason::Worse { what: what(), without: trial.before, with: after })
    }
}

fn as_good(rate: f64) -> Reason {
    Reason::AsGood { what: "answers per second".to_owned(), current: rate }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window(second: u64, completed: u64, shed: u64) -> LoadMetrics {
        LoadMetrics {
            at: Timestamp::from_nanos(second * 1_000_000_000),
            window: Duration::from_secs(1),
            arrivals: completed + shed,
            completed,
            failed: 0,
            shed,
            in_progress: 0,
            queued: 0,
            latency_p50: Duration::ZERO,
            latency_p99: Duration::ZERO,
        }
    }

    /// The limit after an hour of a server that answers `served(limit)` a second.
    fn settle(start: usize, shed: u64, served: impl Fn(usize) -> u64) -> (usize, usize) {
        let (mut climb, mut limit, mut highest) = (Climb::default(), start, start);
        for second in 1..3600 {
            limit = climb.step(&window(second, served(limit), shed), limit, start).0;
            highest = highest.max(limit);
        }
        (limit, highest)
    }

    #[test]
    fn a_limit_that_starves_the_server_is_raised_until_more_serves_nothing_more() {
        let (limit, highest) = settle(10, 5, |limit| limit.min(200) as u64);
        assert!((190..=230).contains(&limit), "{limit}");
        assert!(highest <= 260, "{highest}");
    }

    #[test]
    fn where_nobody_is_refused_nothing_changes() {
        assert_eq!(settle(10, 0, |_| 3), (10, 10));
    }

    #[test]
    fn slow_answers_lower_nothing() {
        let mut climb = Climb::default();
        let mut cold = window(1, 1, 0);
        cold.latency_p50 = Duration::from_secs(9);
        cold.latency_p99 = Duration::from_secs(19);
        assert_eq!(climb.step(&cold, 256, 256).0, 256);
    }

    #[test]
    fn a_window_is_counted_once() {
        let mut climb = Climb::default();
        let first = climb.step(&window(1, 100, 5), 100, 100).0;
        assert_eq!(first, 112);
        assert_eq!(climb.step(&window(1, 100, 5), 112, 100).0, 112);
    }
}

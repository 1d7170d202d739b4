//! How many workers and blocking threads the runtime of an application should have.
//!
//! A tokio runtime takes a worker for each core that it sees, beside as many threads of each engine
//! on the same host. Workers that only pass requests on need a fraction of that, and a worker that
//! waits for its core delays every task in its queue. What is advised here is square-root staffing:
//! what is used on average, and as much again as its chance peaks need.
//!
//! Source: Whitt, *Understanding the Efficiency of Multi-Server Service Systems* (Management
//! Science 1992).

use std::time::Duration;

use plimsoll_core_types::{Dimension, Millicores, Reason};
use serde::{Deserialize, Serialize};

/// How many standard deviations of a Poisson number of calls are provided for.
const DEVIATIONS: f64 = 3.0;
/// The fewest blocking threads: name resolution and files need some now and then.
const LEAST_BLOCKING: u32 = 4;
/// The most, as tokio's own default.
const MOST_BLOCKING: u32 = 512;
/// How long measuring must have gone on to count.
const LEAST_MEASURED: Duration = Duration::from_secs(10);

/// What was measured of a runtime.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RuntimeLoad {
    /// For how long it was measured; under ten seconds, nothing else counts.
    pub over: Duration,
    /// Cores that its workers kept busy on average, such as the sum over the classes of an
    /// [`Accountant`](crate::account::Accountant).
    pub busy: Millicores,
    /// Blocking calls that were begun in that time.
    pub blocking_calls: u64,
    /// How long they took in all.
    pub blocking_time: Duration,
}

/// How to set up a runtime, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RuntimeAdvice {
    /// Worker threads: tokio's `worker_threads`.
    pub workers: u32,
    /// Why so many.
    pub workers_reason: Reason,
    /// Blocking threads at the most: tokio's `max_blocking_threads`.
    pub blocking: u32,
    /// Why so many.
    pub blocking_reason: Reason,
}

/// Advises a runtime on `cores` cores, beside engines that run `engine_threads` threads.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::Millicores;
/// use plimsoll_cpu::runtime::{RuntimeLoad, advise};
///
/// // A gateway on 16 cores that keeps a third of a core busy, and blocks two threads on average.
/// let load = RuntimeLoad {
///     over: Duration::from_secs(60),
///     busy: Millicores::new(330),
///     blocking_calls: 1200,
///     blocking_time: Duration::from_secs(120),
/// };
/// let advice = advise(Millicores::from_cores(16), 12, &load);
/// assert_eq!((advice.workers, advice.blocking), (3, 7));
/// println!("{} workers: {}", advice.workers, advice.workers_reason);
/// ```
pub fn advise(cores: Millicores, engine_threads: u32, load: &RuntimeLoad) -> RuntimeAdvice {
    let whole = u32::try_from(cores.get() / 1000).unwrap_or(u32::MAX).max(1);
    let is_measured = load.over >= LEAST_MEASURED;
    let seconds = load.over.as_secs() as usize;
    let unknown =
        || Reason::TooFewSamples { seen: seconds, needed: LEAST_MEASURED.as_secs() as usize };
    let demand = |threads: f64| Reason::Demand {
        wanted: Millicores::from_f64((threads * 1000.0).round()).get(),
        dimension: Dimension::Cpu,
    };
    let (workers, workers_reason) = if is_measured {
        let busy = load.busy.as_cores();
        let wanted = busy + DEVIATIONS * busy.sqrt();
        (whole_threads(wanted, 1, whole), demand(busy))
    } else {
        // What the engines leave, and one in any case.
        (whole.saturating_sub(engine_threads).max(1), unknown())
    };
    let (blocking, blocking_reason) = if is_measured {
        // Little's law: how many are under way on average.
        let busy = load.blocking_time.as_secs_f64() / load.over.as_secs_f64();
        let wanted = busy + DEVIATIONS * busy.sqrt();
        let least = if load.blocking_calls > 0 { LEAST_BLOCKING } else { 1 };
        (whole_threads(wanted, least, MOST_BLOCKING), demand(busy))
    } else {
        (MOST_BLOCKING, unknown())
    };
    RuntimeAdvice { workers, workers_reason, blocking, blocking_reason }
}

fn whole_threads(wanted: f64, least: u32, most: u32) -> u32 {
    (wanted.ceil().min(f64::from(most)) as u32).clamp(least.min(most), most)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(busy: u64, calls: u64, blocked: u64) -> RuntimeLoad {
        RuntimeLoad {
            over: Duration::from_secs(100),
            busy: Millicores::new(busy),
            blocking_calls: calls,
            blocking_time: Duration::from_secs(blocked),
        }
    }

    #[test]
    fn workers_follow_what_is_used_and_what_engines_leave() {
        let check = |cores: u64, engines: u32, load: &RuntimeLoad, workers: u32, blocking: u32| {
            let advice = advise(Millicores::new(cores), engines, load);
            assert_eq!((advice.workers, advice.blocking), (workers, blocking), "{load:?}");
        };
        let unknown = RuntimeLoad::default();
        check(8000, 6, &unknown, 2, 512);
        check(8000, 20, &unknown, 1, 512);
        check(500, 0, &unknown, 1, 512);
        check(64_000, 60, &load(10, 0, 0), 1, 1);
        check(64_000, 60, &load(1000, 10, 1), 4, 4);
        check(64_000, 60, &load(16_000, 9, 2500), 28, 40);
        check(4000, 2, &load(16_000, 9, 2_500_000), 4, 512);
    }

    #[test]
    fn it_says_why() {
        let advice = advise(Millicores::from_cores(8), 2, &load(1500, 10, 50));
        assert_eq!(advice.workers_reason.to_string(), "demand: 1.5 cores of cpu");
        let advice = advise(Millicores::from_cores(8), 2, &RuntimeLoad::default());
        assert_eq!(advice.workers_reason.to_string(), "too few samples: 0 of 10");
    }
}

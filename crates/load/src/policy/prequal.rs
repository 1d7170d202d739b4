//! Prequal's hot-cold lexicographic rule (Wydrowski et al., *Load is not what you should balance:
//! introducing Prequal*, NSDI 2024), with the paper's settings.
//!
//! What backends say of themselves goes into a pool of at most 16 probes, of which the latest of
//! each backend is kept. A backend whose requests in flight are at or above a high quantile of those
//! seen is hot. Of the cold ones the fastest is taken, and where all are hot the least loaded. A
//! probe is used a few times at most, ages out after a second, and counts what was sent since. After
//! each choice one is removed, the oldest and the worst in turn.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::{Candidate, Dice, Policy};
use crate::balance::{BackendReport, Work};

/// Probes that are kept.
const POOL: usize = 16;
/// Probes with fewer than this are not trusted: the choice is then at random.
const FEWEST: usize = 2;
/// How long a probe is believed.
const BELIEVED: Duration = Duration::from_secs(1);
/// How many times a probe is used.
const USES: u32 = 2;
/// Requests in flight that are remembered for the quantile.
const REMEMBERED: usize = 128;
/// The quantile from which on a backend is hot: 2^-0.25.
const HOT: f64 = 0.84;

#[derive(Clone, Copy, Debug)]
struct Probe {
    place: usize,
    in_flight: usize,
    latency: Duration,
    at: Timestamp,
    uses: u32,
}

/// Of probed backends that are not hot the fastest, else the least loaded. Needs reports with
/// requests in progress and latency.
///
/// The latency that is reported is to be that of requests which met about as many in flight as there
/// are now, as the paper's servers report it.
#[derive(Clone, Debug, Default)]
pub struct Prequal {
    /// The oldest first.
    pool: VecDeque<Probe>,
    /// Whether the worst is removed next, rather than the oldest.
    worst_next: bool,
    seen: VecDeque<usize>,
}

impl Prequal {
    fn hot_from(&self) -> usize {
        let mut seen: Vec<usize> = self.seen.iter().copied().collect();
        seen.sort_unstable();
        let index = ((seen.len() as f64 * HOT) as usize).min(seen.len().saturating_sub(1));
        seen.get(index).copied().unwrap_or(usize::MAX)
    }
}

impl Policy for Prequal {
    fn name(&self) -> &'static str {
        "prequal"
    }

    fn pick(&mut self, open: &[Candidate], _: &Work, random: &mut Dice, now: Timestamp) -> usize {
        let index = |place: usize| open.binary_search_by_key(&place, |open| open.place);
        self.pool.retain(|probe| {
            now.saturating_since(probe.at) < BELIEVED && index(probe.place).is_ok()
        });
        if self.pool.len() < FEWEST {
            return random.below(open.len());
        }
        let hot = self.hot_from();
        let key = |probe: &Probe| {
            if probe.in_flight < hot {
                (false, probe.latency, 0)
            } else {
                (true, Duration::ZERO, probe.in_flight)
            }
        };
        let best = (0..self.pool.len()).min_by_key(|at| key(&self.pool[*at]));
        let Some(best) = best else { return random.below(open.len()) };
        let probe = &mut self.pool[best];
        probe.in_flight += 1;
        probe.uses += 1;
        let (place, used_up) = (probe.place, probe.uses >= USES);
        if used_up {
            self.pool.remove(best);
        }
        if self.pool.len() > FEWEST {
            let worst = (0..self.pool.len()).max_by_key(|at| key(&self.pool[*at]));
            let removed = if self.worst_next { worst.unwrap_or(0) } else { 0 };
            self.pool.remove(removed);
            self.worst_next = !self.worst_next;
        }
        index(place).unwrap_or(0)
    }

    fn reported(&mut self, place: usize, report: &BackendReport, now: Timestamp) {
        let (Some(in_flight), Some(latency)) = (report.in_progress, report.latency) else {
            return;
        };
        self.pool.retain(|probe| probe.place != place);
        if self.pool.len() == POOL {
            self.pool.pop_front();
        }
        if self.seen.len() == REMEMBERED {
            self.seen.pop_front();
        }
        self.seen.push_back(in_flight);
        self.pool.push_back(Probe { place, in_flight, latency, at: now, uses: 0 });
    }

    fn replaced(&mut self, place: usize) {
        self.pool.retain(|probe| probe.place != place);
    }
}

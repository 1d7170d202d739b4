//! Who knows what will be asked for.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::{Demand, PoolOutcome, PoolSpec, PoolSpecError, PoolView, Sizer, StaticPeak};

/// Knows the demand: for each stretch of time it has as few replicas as let nobody be late, and
/// has them started in time.
///
/// Greedy: each stretch has the least constant size that meets the deadlines within it, what need
/// not be done yet being left to the next. The length of a stretch is the best in hindsight of a
/// few, since growing costs the lead time of what is added.
#[derive(Clone, Debug)]
pub struct Oracle {
    stretch: Duration,
    sizes: Vec<usize>,
}

/// Lengths of a stretch, in control intervals; the last is for ever.
const STRETCHES: [u32; 7] = [1, 3, 6, 18, 60, 180, u32::MAX];

impl Oracle {
    /// The plan with this length of a stretch.
    pub fn plan(spec: &PoolSpec, demand: &Demand, stretch: Duration) -> Self {
        let stretch = stretch.clamp(spec.control, demand.span.max(spec.control));
        let count = (demand.span.as_nanos() / stretch.as_nanos()) as usize + 1;
        let mut sizes = Vec::with_capacity(count);
        // What is not done yet: when it came, and how much of it.
        let mut left: VecDeque<(f64, f64)> = VecDeque::new();
        let (wait, length) = (spec.wait.as_secs_f64(), stretch.as_secs_f64());
        let mut parcels = demand.parcels.iter().peekable();
        for index in 0..count {
            let (start, end) = (index as f64 * length, (index + 1) as f64 * length);
            while let Some(parcel) = parcels.next_if(|p| p.at.as_secs_f64() < end) {
                left.push_back((parcel.at.as_secs_f64(), parcel.work));
            }
            let size = least(&left, start, end, wait, spec);
            serve(&mut left, start, end, size as f64 * spec.unit);
            sizes.push(size);
        }
        Self { stretch, sizes }
    }

    /// The best of several plans, by running them: of those that are late no more often than
    /// allowed, the one that promises least.
    ///
    /// # Errors
    ///
    /// When a field of the pool is out of its bounds.
    pub fn best(spec: &PoolSpec, demand: &Demand, late: f64) -> Result<PoolOutcome, PoolSpecError> {
        let mut best: Option<PoolOutcome> = None;
        for factor in STRETCHES {
            let stretch = spec.control.saturating_mul(factor);
            let outcome = spec.run(demand, &mut Self::plan(spec, demand, stretch))?;
            let better = best.as_ref().is_none_or(|best| {
                let (good, was) = (outcome.late_share() <= late, best.late_share() <= late);
                (good && !was) || (good == was && outcome.promised < best.promised)
            });
            if better {
                best = Some(outcome);
            }
        }
        Ok(best.unwrap_or_default())
    }

    fn at(&self, moment: Timestamp) -> usize {
        let index = (u128::from(moment.as_nanos()) / self.stretch.as_nanos()) as usize;
        self.sizes.get(index).or(self.sizes.last()).copied().unwrap_or(1)
    }
}

/// The smallest number of replicas, at most `most`, with which all work that is due between
/// `start` and `end` begins in time.
fn least(left: &VecDeque<(f64, f64)>, start: f64, end: f64, wait: f64, spec: &PoolSpec) -> usize {
    let meets = |size: usize| {
        let (speed, mut now) = (size as f64 * spec.unit, start);
        for (came, work) in left {
            now = now.max(*came);
            if came + wait > end {
                break;
            }
            if now > came + wait {
                return false;
            }
            now += work / speed;
        }
        true
    };
    let (mut low, mut high) = (1, spec.most);
    while low < high {
        let middle = low.midpoint(high);
        if meets(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// Works off what there is from `start` to `end`.
fn serve(left: &mut VecDeque<(f64, f64)>, start: f64, end: f64, speed: f64) {
    let mut now = start;
    while let Some((came, work)) = left.pop_front() {
        now = f64::max(now, came);
        let takes = work / speed;
        if now + takes > end {
            let done = (end - now).max(0.0) * speed;
            left.push_front((came, work - done));
            return;
        }
        now += takes;
    }
}

impl Sizer for Oracle {
    fn size(&mut self, pool: &PoolView<'_>) -> usize {
        // What will be needed at any moment until what is started now is ready.
        let steps = (pool.spec.lead.as_nanos() / self.stretch.as_nanos()) as u32 + 1;
        let moments = (0..steps).map(|step| pool.now + self.stretch * step);
        let last = pool.now + pool.spec.lead;
        moments.chain([last]).map(|moment| self.at(moment)).max().unwrap_or(1)
    }
}

/// The smallest pool of constant size that is late no more often than allowed, in hindsight.
///
/// # Errors
///
/// When a field of the pool is out of its bounds.
pub fn fixed_with_wait(
    spec: &PoolSpec,
    demand: &Demand,
    late: f64,
) -> Result<PoolOutcome, PoolSpecError> {
    let (mut low, mut high) = (1, spec.most);
    let run = |size: usize| {
        let spec = PoolSpec { start: size, ..*spec };
        spec.run(demand, &mut StaticPeak::new(size))
    };
    while low < high {
        let middle = low.midpoint(high);
        if run(middle)?.late_share() <= late {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    run(low)
}

//! Many series that share a pool: the sum is forecast, and split by share.
//!
//! What the members of a pool do cancels out in part, so that their sum is easier to forecast than
//! any of them (top-down forecasts by historical proportions; Gross & Sohl, "Disaggregation methods
//! to expedite product line forecasting", *Journal of Forecasting* 9, 1990). A member's share is an
//! average of late; how far it usually is from that average widens the member's intervals. Medians
//! add up to that of the sum.

use std::collections::BTreeMap;

use plimsoll_core_types::{ConsumerId, Quantiles, Timestamp};

use crate::config::ForecasterConfig;
use crate::error::ConfigError;
use crate::forecaster::Forecaster;
use crate::gate::Intake;
use crate::interval::LAPLACE;

/// The least weight of a new share.
const RATE: f64 = 0.02;

/// Forecasts the sum of a pool, and its members by their share of it.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{ConsumerId, Timestamp};
/// use plimsoll_predict::{ForecasterConfig, PoolForecaster};
///
/// let (a, b) = (ConsumerId::new("a")?, ConsumerId::new("b")?);
/// let mut pool = PoolForecaster::new(ForecasterConfig::new(Duration::from_secs(1)), 100)?;
/// for second in 0..100 {
///     let at = Timestamp::from_nanos(second * 1_000_000_000);
///     pool.observe(at, [(&a, 30.0), (&b, 10.0)]);
/// }
/// let of_b = pool.forecast(&b, 1).ok_or("b is known")?;
/// assert!((of_b.median() - 10.0).abs() < 0.1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct PoolForecaster {
    total: Forecaster,
    members: BTreeMap<ConsumerId, Member>,
    most: usize,
}

#[derive(Clone, Copy, Debug, Default)]
struct Member {
    share: f64,
    /// Mean absolute distance of a step's share from it.
    off: f64,
    seen: u64,
    /// What it used in this step.
    now: f64,
}

impl PoolForecaster {
    /// A pool of at most `most` members (1 to 1,000,000), whose sum is a series like `config`.
    ///
    /// # Errors
    ///
    /// When a field of `config` or `most` is out of range.
    pub fn new(config: ForecasterConfig, most: usize) -> Result<Self, ConfigError> {
        ConfigError::count("most", most, 1, 1_000_000)?;
        Ok(Self { total: Forecaster::new(config)?, members: BTreeMap::new(), most })
    }

    /// Learns what the members used at `at`. A member that is not named used nothing; one that is
    /// not known joins where there is room, else counts for the sum only. What is negative or no
    /// finite number counts as nothing.
    pub fn observe<'a>(
        &mut self,
        at: Timestamp,
        used: impl IntoIterator<Item = (&'a ConsumerId, f64)>,
    ) -> Intake {
        self.members.values_mut().for_each(|member| member.now = 0.0);
        let mut sum = 0.0;
        for (id, used) in used {
            let used = if used.is_finite() { used.max(0.0) } else { 0.0 };
            sum += used;
            if !self.members.contains_key(id) {
                self.join(id, None);
            }
            if let Some(member) = self.members.get_mut(id) {
                member.now += used;
            }
        }
        let intake = self.total.observe(at, Some(sum));
        if intake == Intake::Learnt && sum > 0.0 {
            self.members.values_mut().for_each(|member| member.learn(sum));
        }
        intake
    }

    /// A member joins before it used anything. Its share is the one given, else that of the average
    /// member, until it is measured. False where it is known already or the pool is full.
    pub fn join(&mut self, id: &ConsumerId, share: Option<f64>) -> bool {
        if self.members.len() >= self.most || self.members.contains_key(id) {
            return false;
        }
        let average = self.shares() / self.members.len().max(1) as f64;
        let average = if average > 0.0 { average } else { 1.0 };
        let given = share.filter(|share| (0.0..=1.0).contains(share));
        let share = given.map_or(average, |share| {
            // So that it is this share after all are made to add up to one.
            let others = self.shares();
            if others > 0.0 && share < 1.0 { others * share / (1.0 - share) } else { 1.0 }
        });
        let member = Member { share, off: share, ..Member::default() };
        self.members.insert(id.clone(), member);
        true
    }

    /// Forgets a member; says whether it was known. The others' shares grow to fill its place.
    pub fn leave(&mut self, id: &ConsumerId) -> bool {
        self.members.remove(id).is_some()
    }

    /// A member's share of the sum.
    pub fn share(&self, id: &ConsumerId) -> Option<f64> {
        let all = self.shares();
        self.members.get(id).map(|member| if all > 0.0 { member.share / all } else { 0.0 })
    }

    fn shares(&self) -> f64 {
        self.members.values().map(|member| member.share).sum()
    }

    /// The distribution of what a member uses `steps` steps ahead; none where it is not known, or
    /// nothing was seen.
    pub fn forecast(&self, id: &ConsumerId, steps: usize) -> Option<Quantiles> {
        let share = self.share(id)?;
        let off = self.members.get(id)?.off / self.shares().max(f64::MIN_POSITIVE);
        let total = self.total.forecast(steps)?;
        let median = total.median();
        let mut least = 0.0_f64;
        let values = std::array::from_fn(|index| {
            let (of_total, sign) = (total.values()[index] - median, index as f64 - 5.0);
            let of_share = f64::from(LAPLACE[index]) * off * median.abs();
            // Two causes that have nothing to do with each other.
            let distance = (share * of_total).hypot(of_share);
            least = least.max(distance.copysign(sign) + share * median);
            least
        });
        Quantiles::new(values).ok()
    }

    /// The forecaster of the sum.
    pub const fn total(&self) -> &Forecaster {
        &self.total
    }

    /// How many members are known.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// True when none is known.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }
}

impl Member {
    fn learn(&mut self, sum: f64) {
        self.seen += 1;
        let rate = (1.0 / self.seen as f64).max(RATE);
        let share = self.now / sum;
        let off = (share - self.share).abs();
        // The first distance is one from what was only guessed.
        if self.seen > 1 {
            self.off += rate.min(0.5) * (off - self.off);
        }
        self.share += rate * (share - self.share);
    }
}

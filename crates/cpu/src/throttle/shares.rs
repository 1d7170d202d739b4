//! One budget of CPU time, filled at a rate and poured into buckets by weight.
//!
//! Each class has a token bucket: a balance of CPU time that grows with time up to its depth and
//! falls by what its polls are measured to use, below zero where one poll used more than there
//! was. What comes in is divided by weight among the buckets that are not full; what a full one
//! can't take goes to the others, as in weighted max-min fairness. So nobody gets less than its
//! weight's part while it wants it, and nothing is lost while somebody wants it.
//!
//! Sources: token bucket, Turner, *New Directions in Communications* (IEEE Communications 1986);
//! max-min fairness, Bertsekas and Gallager, *Data Networks* (1992), section 6.5.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use crate::sync::{Arc, AtomicI64, Ordering};

/// Waits are no longer than this before one looks again: the rate may have changed, or a neighbour
/// gone idle.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

/// A class's balance of CPU time, in nanoseconds; negative is debt.
#[derive(Debug)]
pub(super) struct Balance(AtomicI64);

impl Balance {
    pub(super) fn new(nanos: i64) -> Self {
        Self(AtomicI64::new(nanos))
    }

    #[inline]
    pub(super) fn get(&self) -> i64 {
        // A stale balance lets one more poll go, or looks again under the lock.
        self.0.load(Ordering::Relaxed)
    }

    #[inline]
    pub(super) fn charge(&self, cpu: Duration) {
        // Sixty-eight years are as much as anybody is charged at once, so that no sum wraps.
        let seconds = cpu.as_secs().min(1 << 31).cast_signed();
        let nanos = seconds * 1_000_000_000 + i64::from(cpu.subsec_nanos());
        // Debt is bounded, so that no sum of charges wraps.
        if self.0.fetch_sub(nanos, Ordering::Relaxed) < i64::MIN / 2 {
            self.0.fetch_add(nanos, Ordering::Relaxed);
        }
    }

    fn fill(&self, nanos: i64) {
        self.0.fetch_add(nanos, Ordering::Relaxed);
    }
}

/// The budget and its buckets.
#[derive(Debug)]
pub(super) struct Shares {
    /// CPU time per time.
    rate: f64,
    depth: i64,
    filled: Timestamp,
    /// Parts of a nanosecond, and what rounding left over.
    carry: f64,
    classes: Vec<Class>,
}

#[derive(Debug)]
struct Class {
    weight: f64,
    balance: Arc<Balance>,
}

impl Shares {
    pub(super) fn new(rate: f64, depth: Duration, now: Timestamp) -> Self {
        let depth = i64::try_from(depth.as_nanos()).unwrap_or(i64::MAX / 4).clamp(1, i64::MAX / 4);
        Self { rate, depth, filled: now, carry: 0.0, classes: Vec::new() }
    }

    /// Adds a class with a full bucket.
    pub(super) fn add(&mut self, weight: f64) -> Arc<Balance> {
        let balance = Arc::new(Balance::new(self.depth));
        self.classes.push(Class { weight, balance: Arc::clone(&balance) });
        balance
    }

    pub(super) fn remove(&mut self, balance: &Arc<Balance>) {
        self.classes.retain(|class| !Arc::ptr_eq(&class.balance, balance));
    }

    pub(super) fn len(&self) -> usize {
        self.classes.len()
    }

    /// From now on, `rate` CPU time per time.
    pub(super) fn set_rate(&mut self, rate: f64, now: Timestamp) {
        self.fill(now);
        self.rate = rate;
    }

    /// Pours in what has come since the last time.
    pub(super) fn fill(&mut self, now: Timestamp) {
        let elapsed = now.saturating_since(self.filled);
        self.filled = self.filled.max(now);
        let mut left = elapsed.as_nanos() as f64 * self.rate + self.carry;
        self.carry = 0.0;
        let mut rooms: Vec<(usize, f64)> = Vec::with_capacity(self.classes.len());
        for (index, class) in self.classes.iter().enumerate() {
            let room = self.depth.saturating_sub(class.balance.get());
            if room > 0 {
                rooms.push((index, room as f64));
            }
        }
        // The bucket that is full first, by its weight's part, is filled first: one pass divides
        // exactly, because each one that is full raises the others' parts.
        let fill_time = |(index, room): &(usize, f64)| room / self.classes[*index].weight;
        rooms.sort_by(|a, b| fill_time(a).total_cmp(&fill_time(b)));
        let mut weights: f64 = rooms.iter().map(|(index, _)| self.classes[*index].weight).sum();
        for (index, room) in rooms {
            let class = &self.classes[index];
            let part = (left * class.weight / weights).min(room).floor();
            class.balance.fill(part as i64);
            left -= part;
            weights -= class.weight;
        }
        // What rounding left is kept; what nobody had room for is gone.
        self.carry = if left < self.classes.len() as f64 + 1.0 { left.max(0.0) } else { 0.0 };
    }

    /// How long until the balance of this class is above zero, when everybody takes its part.
    pub(super) fn wait(&self, balance: &Arc<Balance>) -> Duration {
        let wants = |class: &&Class| class.balance.get() < self.depth;
        let weights: f64 = self.classes.iter().filter(wants).map(|class| class.weight).sum();
        let own = self.classes.iter().find(|class| Arc::ptr_eq(&class.balance, balance));
        let Some(own) = own else { return Duration::ZERO };
        let lacking = 1_i64.saturating_sub(own.balance.get()).max(0) as f64;
        let rate = self.rate * own.weight / weights.max(own.weight);
        let nanos = lacking / rate.max(f64::MIN_POSITIVE);
        Duration::from_nanos(nanos.min(LONGEST_WAIT.as_nanos() as f64) as u64)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: i64 = 1_000_000;

    fn at(millis: u64) -> Timestamp {
        Timestamp::ZERO + Duration::from_millis(millis)
    }

    fn shares(rate: f64, depth_millis: u64, weights: &[f64]) -> (Shares, Vec<Arc<Balance>>) {
        let mut shares = Shares::new(rate, Duration::from_millis(depth_millis), Timestamp::ZERO);
        let balances = weights.iter().map(|weight| shares.add(*weight)).collect();
        (shares, balances)
    }

    fn use_up(balance: &Balance, millis: i64) {
        balance.charge(Duration::from_nanos((millis * MS) as u64));
    }

    #[test]
    fn what_comes_in_is_divided_by_weight() {
        let (mut shares, balances) = shares(2.0, 100, &[3.0, 1.0]);
        for balance in &balances {
            use_up(balance, 100);
        }
        shares.fill(at(10));
        assert_eq!((balances[0].get(), balances[1].get()), (15 * MS, 5 * MS));
        // Time that does not pass brings nothing.
        shares.fill(at(10));
        shares.fill(at(5));
        assert_eq!(balances[0].get(), 15 * MS);
    }

    #[test]
    fn what_one_can_not_take_goes_to_the_others() {
        let (mut shares, balances) = shares(1.0, 10, &[3.0, 1.0, 1.0]);
        use_up(&balances[1], 10);
        use_up(&balances[2], 2);
        shares.fill(at(8));
        // The first is full; the third takes its 2; the second gets all the rest.
        assert_eq!([0, 1, 2].map(|index: usize| balances[index].get()), [10 * MS, 6 * MS, 10 * MS]);
        // Nobody hoards: a year later all are full, and no fuller.
        shares.fill(Timestamp::from_secs_f64(3e7));
        assert!(balances.iter().all(|balance| balance.get() == 10 * MS));
    }

    #[test]
    fn debt_is_paid_before_anything_runs() {
        let (mut shares, balances) = shares(0.5, 10, &[1.0]);
        use_up(&balances[0], 30);
        assert_eq!(shares.wait(&balances[0]), Duration::from_nanos(40_000_002));
        shares.fill(at(40));
        assert_eq!(balances[0].get(), 0);
        shares.fill(at(41));
        assert!(balances[0].get() > 0);
        assert_eq!(shares.wait(&balances[0]), Duration::ZERO);
    }

    #[test]
    fn odd_numbers_are_harmless() {
        let (mut shares, balances) = shares(0.0, 0, &[1.0]);
        balances[0].charge(Duration::MAX);
        balances[0].charge(Duration::MAX);
        (0..100).for_each(|_| balances[0].charge(Duration::MAX));
        shares.fill(Timestamp::MAX);
        assert!(balances[0].get() < 0);
        assert_eq!(shares.wait(&balances[0]), LONGEST_WAIT);
        shares.set_rate(1e9, Timestamp::MAX);
        shares.remove(&balances[0]);
        assert_eq!((shares.len(), shares.wait(&balances[0])), (0, Duration::ZERO));
        shares.fill(Timestamp::MAX);
    }

    proptest! {
        #[test]
        fn no_more_than_the_rate_and_no_less_than_the_weight(
            weights in prop::collection::vec(1_u32..10, 1..6),
            rate in 1_u32..40,
            steps in prop::collection::vec((1_u64..20, 0_usize..6, 0_i64..15), 1..200),
        ) {
            let weights: Vec<f64> = weights.into_iter().map(f64::from).collect();
            let rate = f64::from(rate) / 10.0;
            let (mut shares, balances) = shares(rate, 20, &weights);
            let (mut now, mut used, mut least) = (0, vec![0_i64; weights.len()], 0.0);
            let (depth, part) = ((20 * MS) as f64, weights[0] / weights.iter().sum::<f64>());
            // The first is greedy: it takes all that it is given, at once.
            for (millis, index, taken) in steps {
                now += millis;
                // Less a nanosecond, because parts are rounded down.
                least += (millis as f64 * MS as f64 * rate * part - 1.0).min(depth);
                shares.fill(at(now));
                let greedy = balances[0].get().max(0);
                balances[0].charge(Duration::from_nanos(greedy as u64));
                used[0] += greedy;
                let index = index % weights.len();
                if balances[index].get() > 0 {
                    use_up(&balances[index], taken);
                    used[index] += taken * MS;
                }
                prop_assert!(balances.iter().all(|balance| balance.get() <= 20 * MS));
            }
            let given = (now * MS as u64) as f64 * rate;
            let held: i64 = balances.iter().map(|balance| balance.get()).sum();
            let all = used.iter().sum::<i64>() as f64 + held as f64;
            prop_assert!(all <= given + depth * weights.len() as f64 + 1.0);
            let got = used[0] as f64 + balances[0].get() as f64;
            prop_assert!(got >= least, "{got} of {least}");
        }
    }
}

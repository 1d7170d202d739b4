//! Miss-ratio curves: how much would be missed at every capacity, from one pass over a sample.
//!
//! Source: Waldspurger et al., *Efficient MRC Construction with SHARDS* (FAST 2015): spatial
//! sampling with a bounded number of keys (SHARDS-max) and its correction for the accesses that the
//! sample has too many or too few of (SHARDS-adj); reuse distances by Olken's tree (1981) as a
//! Fenwick tree over the times of last use.

use std::collections::{BinaryHeap, HashMap};

use plimsoll_core_types::Ratio;

use crate::hash::{Spread, mix};

/// Measures LRU's miss ratio at every capacity in bounded memory.
///
/// It samples every key until there are as many as it may remember, and from then on so large a
/// share of them that there are about as many: a small set of keys is measured exactly.
///
/// ```
/// use plimsoll_cache::mrc::CurveBuilder;
///
/// let mut builder = CurveBuilder::new(4096);
/// (0..100_000_u64).for_each(|at| builder.access(at % 1000));
/// let curve = builder.curve();
/// assert!(curve.miss_ratio(999).get() > 0.99 && curve.miss_ratio(1000).get() < 0.02);
/// ```
#[derive(Clone, Debug)]
pub struct CurveBuilder {
    most_keys: usize,
    threshold: u64,
    /// When each sampled key was used last.
    last: HashMap<u64, usize, Spread>,
    /// The sampled keys by their mixed value, the highest on top.
    highest: BinaryHeap<(u64, u64)>,
    /// One at each time that is some key's last.
    times: Fenwick,
    now: usize,
    accesses: u64,
    sampled: f64,
    /// Scaled distances in logarithmic buckets, and how many accesses they stand for.
    distances: HashMap<u32, f64, Spread>,
}

/// Buckets in each doubling of the distance.
const BUCKETS: f64 = 64.0;

impl CurveBuilder {
    /// Remembers `most_keys` keys (at least 16) at about 80 bytes each. The floor that keeps small
    /// sets exact is the same number.
    pub fn new(most_keys: usize) -> Self {
        let most_keys = most_keys.max(16);
        Self {
            most_keys,
            threshold: u64::MAX,
            last: HashMap::default(),
            highest: BinaryHeap::new(),
            times: Fenwick::new(most_keys * 8),
            now: 0,
            accesses: 0,
            sampled: 0.0,
            distances: HashMap::default(),
        }
    }

    /// The share of keys that is sampled now.
    pub fn rate(&self) -> Ratio {
        Ratio::saturating(self.share())
    }

    fn share(&self) -> f64 {
        (self.threshold as f64 / u64::MAX as f64).max(f64::MIN_POSITIVE)
    }

    /// Takes an access in.
    pub fn access(&mut self, key: u64) {
        self.accesses += 1;
        let mixed = mix(key);
        if mixed > self.threshold {
            return;
        }
        let scale = 1.0 / self.share();
        self.sampled += scale;
        if self.now == self.times.len() {
            self.compact();
        }
        let now = self.now;
        self.now += 1;
        if let Some(before) = self.last.insert(key, now) {
            let distance = 1 + self.times.between(before + 1, now);
            self.times.add(before, -1);
            *self.distances.entry(bucket(f64::from(distance) * scale)).or_default() += scale;
        } else {
            self.highest.push((mixed, key));
        }
        self.times.add(now, 1);
        if self.last.len() > self.most_keys {
            self.narrow();
        }
    }

    /// Samples fewer keys: the one with the highest mixed value goes.
    fn narrow(&mut self) {
        let Some((mixed, key)) = self.highest.pop() else { return };
        self.threshold = mixed.saturating_sub(1);
        if let Some(time) = self.last.remove(&key) {
            self.times.add(time, -1);
        }
    }

    /// Renumbers the times of last use from zero.
    fn compact(&mut self) {
        let mut order: Vec<(usize, u64)> =
            self.last.iter().map(|(key, time)| (*time, *key)).collect();
        order.sort_unstable();
        self.times = Fenwick::new(self.times.len());
        for (time, (_, key)) in order.iter().enumerate() {
            self.last.insert(*key, time);
            self.times.add(time, 1);
        }
        self.now = order.len();
    }

    /// The curve of all accesses so far.
    pub fn curve(&self) -> Curve {
        let mut points: Vec<(u32, f64)> = self.distances.iter().map(|(b, n)| (*b, *n)).collect();
        points.sort_unstable_by_key(|(bucket, _)| *bucket);
        let accesses = (self.accesses as f64).max(1.0);
        // The sample holds the hottest keys or it does not; what it lacks or has too much of are
        // hits at the smallest distance.
        let mut hits = accesses - self.sampled;
        let mut curve = Vec::with_capacity(points.len() + 1);
        curve.push((1.0, ratio(hits / accesses)));
        for (bucket, count) in points {
            hits += count;
            curve.push((2_f64.powf(f64::from(bucket) / BUCKETS), ratio(hits / accesses)));
        }
        Curve { points: curve }
    }
}

fn ratio(hits: f64) -> f64 {
    hits.clamp(0.0, 1.0)
}

fn bucket(distance: f64) -> u32 {
    // Rounded down, so that exact powers, and with them 1, stay where they are.
    (distance.max(1.0).log2() * BUCKETS).floor() as u32
}

/// The share of accesses that LRU would miss, by capacity in entries.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// Capacity and hit ratio, ascending.
    points: Vec<(f64, f64)>,
}

impl Curve {
    /// The miss ratio of a cache of `capacity` entries.
    pub fn miss_ratio(&self, capacity: u64) -> Ratio {
        let reached = self.points.partition_point(|(at, _)| *at <= capacity as f64);
        let hits = reached.checked_sub(1).map_or(0.0, |at| self.points[at].1);
        Ratio::saturating(1.0 - if capacity == 0 { 0.0 } else { hits })
    }

    /// The capacities at which the curve has a step, with the miss ratio from there on.
    pub fn points(&self) -> impl Iterator<Item = (u64, Ratio)> + '_ {
        self.points.iter().map(|(at, hits)| (at.ceil() as u64, Ratio::saturating(1.0 - hits)))
    }
}

/// Sums of prefixes that can be changed, in logarithmic time.
#[derive(Clone, Debug)]
struct Fenwick(Vec<i32>);

impl Fenwick {
    fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn add(&mut self, at: usize, change: i32) {
        let mut at = at;
        while let Some(sum) = self.0.get_mut(at) {
            *sum += change;
            at |= at + 1;
        }
    }

    /// The sum before `end`.
    fn before(&self, end: usize) -> i32 {
        let (mut end, mut sum) = (end, 0);
        while end > 0 {
            sum += self.0[end - 1];
            end &= end - 1;
        }
        sum
    }

    fn between(&self, start: usize, end: usize) -> i32 {
        self.before(end) - self.before(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::simulate;
    use plimsoll_core_types::CachePolicy;

    fn skewed(accesses: u64, keys: f64) -> Vec<u64> {
        let draw = |at| ((mix(at) >> 11) as f64 / (1_u64 << 53) as f64).powi(3) * keys;
        (0..accesses).map(|at| draw(at) as u64).collect()
    }

    fn check(keys: &[u64], most_keys: usize, capacities: &[u64], most: f64) {
        let mut builder = CurveBuilder::new(most_keys);
        for key in keys.iter() {
            builder.access(*key);
        }
        let accesses: Vec<(u64, u32)> = keys.iter().map(|key| (*key, 1)).collect();
        for capacity in capacities {
            let exact = 1.0 - simulate(CachePolicy::Lru, *capacity, &accesses).hit_ratio().get();
            let curve = builder.curve().miss_ratio(*capacity).get();
            assert!((exact - curve).abs() <= most, "{capacity}: {curve:.4}, exactly {exact:.4}");
        }
    }

    #[test]
    fn few_keys_are_measured_as_they_are() {
        check(&skewed(30_000, 2000.0), 4096, &[10, 100, 500, 1500], 0.01);
    }

    #[test]
    fn many_keys_are_sampled() {
        let mut builder = CurveBuilder::new(1000);
        let keys = skewed(60_000, 20_000.0);
        for key in keys.iter() {
            builder.access(*key);
        }
        assert!(builder.rate().get() < 0.2 && builder.last.len() <= 1000);
        check(&keys, 1000, &[500, 2000, 5000], 0.03);
    }
}

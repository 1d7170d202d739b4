//! Miss-ratio curves: how much would be missed at every capacity, from one pass over a sample.
//!
//! Large capacities are measured by a sample of keys, small ones by a sample of accesses: of a
//! hundredth of the keys a small cache holds one or two, and whether one of the few hottest is
//! among them decides everything. Of a sampled access the distance is counted, among all keys, as
//! far as that can be told in a small table; beyond it the distances are those of sampled keys.
//!
//! Source: Waldspurger et al., *Efficient MRC Construction with SHARDS* (FAST 2015): spatial
//! sampling with a bounded number of keys (SHARDS-max) and its correction for the accesses that the
//! sample has too many or too few of (SHARDS-adj); Hu et al., *Kinetic Modeling of Data Eviction in
//! Cache* (USENIX ATC 2016) for the other part, with the distance that goes with a time measured
//! rather than modelled.

mod fenwick;
mod recent;
mod watch;

use std::collections::{BinaryHeap, HashMap};

use plimsoll_core_types::Ratio;

use crate::hash::{Spread, mix};
use fenwick::Fenwick;
use recent::{FEW, MANY};
use watch::{Watch, longest, time_bucket};

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
/// assert!(curve.miss_ratio(980).get() > 0.99 && curve.miss_ratio(1000).get() < 0.02);
/// ```
#[derive(Clone, Debug)]
pub struct CurveBuilder {
    most_keys: usize,
    threshold: u64,
    /// When each sampled key was used last, among the sampled accesses and among all.
    last: HashMap<u64, (usize, u64), Spread>,
    /// The sampled keys by their mixed value, the highest on top.
    highest: BinaryHeap<(u64, u64)>,
    /// One at each time that is some key's last.
    times: Fenwick,
    now: usize,
    watch: Watch,
    accesses: u64,
    sampled: f64,
    /// Scaled distances in logarithmic buckets, and how many accesses they stand for.
    distances: HashMap<u32, f64, Spread>,
    /// By the bucket of the time since the last use: the sum of distances, and of how many.
    at_time: Vec<(f64, f64)>,
    /// The same by the bucket of the distance too.
    at_both: HashMap<(usize, u32), f64, Spread>,
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
            watch: Watch::new(),
            accesses: 0,
            sampled: 0.0,
            distances: HashMap::default(),
            at_time: Vec::new(),
            at_both: HashMap::default(),
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
        let at = self.watch.access(mixed);
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
        if let Some((before, then)) = self.last.insert(key, (now, at)) {
            let others = f64::from(self.times.between(before + 1, now));
            self.times.add(before, -1);
            *self.distances.entry(bucket((1.0 + others) * scale)).or_default() += scale;
            self.note(at - then, 1.0 + others * scale, scale);
        } else {
            self.highest.push((mixed, key));
        }
        self.times.add(now, 1);
        if self.last.len() > self.most_keys {
            self.narrow();
        }
    }

    /// Notes the distance that went with a time between two uses of a key.
    fn note(&mut self, time: u64, distance: f64, count: f64) {
        let bucket = time_bucket(time);
        if self.at_time.len() <= bucket {
            self.at_time.resize(bucket + 1, (0.0, 0.0));
        }
        let sum = &mut self.at_time[bucket];
        *sum = (sum.0 + distance * count, sum.1 + count);
        let both = (bucket, wide_bucket(distance.min(time as f64)));
        *self.at_both.entry(both).or_default() += count;
    }

    /// Samples fewer keys: the one with the highest mixed value goes.
    fn narrow(&mut self) {
        let Some((mixed, key)) = self.highest.pop() else { return };
        self.threshold = mixed.saturating_sub(1);
        if let Some((time, _)) = self.last.remove(&key) {
            self.times.add(time, -1);
        }
    }

    /// Renumbers the times of last use from zero.
    fn compact(&mut self) {
        let mut order: Vec<(usize, u64, u64)> =
            self.last.iter().map(|(key, (time, at))| (*time, *key, *at)).collect();
        order.sort_unstable();
        self.times = Fenwick::new(self.times.len());
        for (time, (_, key, at)) in order.iter().enumerate() {
            self.last.insert(*key, (time, *at));
            self.times.add(time, 1);
        }
        self.now = order.len();
    }

    /// The curve of all accesses so far.
    pub fn curve(&self) -> Curve {
        let (large, small) = (self.by_keys(), self.by_accesses());
        let (medium, near) = (self.by_both(), self.watch.near());
        if self.threshold == u64::MAX {
            return Curve { points: large };
        }
        let all = large.iter().chain(&small).chain(&medium).chain(&near);
        let mut points: Vec<(f64, f64)> = all.copied().collect();
        points.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut most = 0.0_f64;
        for (capacity, hits) in &mut points {
            let sampled = *capacity * self.share();
            let by_accesses = between(&small, *capacity);
            let by_both = between(&medium, *capacity);
            let far = mean(by_accesses, by_both, trust(sampled, 4.0, 16.0));
            let without = mean(between(&near, *capacity), far, trust(*capacity, FEW, MANY));
            most = most.max(mean(without, step(&large, *capacity), trust(sampled, 256.0, 2048.0)));
            *hits = most;
        }
        Curve { points }
    }

    /// Capacity and hit ratio by the sampled keys' own distances.
    fn by_keys(&self) -> Vec<(f64, f64)> {
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
        curve
    }

    /// Capacity and hit ratio by the watched accesses' times, and all the distances that go with
    /// each: as many accesses of each time as there are, with the distances of the sampled keys.
    fn by_both(&self) -> Vec<(f64, f64)> {
        let returned = self.watch.returned();
        let share = |bucket: usize| {
            let before = bucket.checked_sub(1).map_or(0.0, |before| returned[before]);
            returned.get(bucket).map_or(0.0, |until| until - before)
        };
        let mut hits: Vec<(f64, f64)> = Vec::with_capacity(self.at_both.len());
        for ((time, distance), count) in &self.at_both {
            if let Some((_, all)) = self.at_time.get(*time).filter(|_| *time < returned.len()) {
                let at = 2_f64.powf(f64::from(*distance + 1) / 16.0);
                hits.push((at, share(*time) * count / all));
            }
        }
        // Times at which no key was sampled, at the distance that their neighbours suggest.
        let means = self.by_accesses();
        let unseen = |time: &usize| self.at_time.get(*time).is_none_or(|(_, count)| *count == 0.0);
        for time in (0..returned.len()).filter(unseen) {
            hits.push((means[time + 1].0, share(time)));
        }
        hits.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let mut sum = 0.0;
        let mut curve = vec![(0.0, 0.0)];
        for (at, share) in hits {
            sum += share;
            curve.push((at, sum));
        }
        curve
    }

    /// Capacity and hit ratio by the watched accesses' times, and the mean distances that go with them.
    fn by_accesses(&self) -> Vec<(f64, f64)> {
        let mut curve = vec![(0.0, 0.0)];
        let distances = rising(&self.at_time);
        // Distance over time at the nearest shorter time at which one was measured.
        let (mut pace, mut distance) = (1.0_f64, 0.0_f64);
        for (bucket, hits) in self.watch.returned().into_iter().enumerate() {
            let time = longest(bucket);
            match distances.get(bucket).copied().flatten() {
                Some(measured) => {
                    (pace, distance) = ((measured / time).min(1.0), measured.min(time));
                }
                None => distance = distance.max(pace * time),
            }
            curve.push((distance, hits));
        }
        curve
    }
}

/// As [`bucket`], with sixteen in each doubling.
fn wide_bucket(distance: f64) -> u32 {
    (distance.max(1.0).log2() * 16.0).floor() as u32
}

/// The means of sums and counts, made to rise with the index: where one is below the one before,
/// both are taken together.
///
/// Source: Ayer et al., *An Empirical Distribution Function for Sampling with Incomplete
/// Information* (Annals of Mathematical Statistics 1955), pooling adjacent violators.
fn rising(sums: &[(f64, f64)]) -> Vec<Option<f64>> {
    let mut pools: Vec<(f64, f64, usize)> = Vec::new();
    for (at, (sum, count)) in sums.iter().enumerate().filter(|(_, (_, count))| *count > 0.0) {
        let mut pool = (*sum, *count, at);
        while let Some(last) = pools.pop_if(|last| last.0 * pool.1 > pool.0 * last.1) {
            pool = (pool.0 + last.0, pool.1 + last.1, pool.2);
        }
        pools.push(pool);
    }
    let mut means = vec![None; sums.len()];
    let mut pools = pools.iter().peekable();
    for (at, mean) in means.iter_mut().enumerate() {
        while pools.next_if(|pool| pool.2 < at).is_some() {}
        let Some((sum, count, _)) = pools.peek() else { break };
        *mean = (sums[at].1 > 0.0).then_some(sum / count);
    }
    means
}

/// How far a capacity of so many entries is believed to be measured: not at all up to `from`, alone
/// from `to` on.
fn trust(entries: f64, from: f64, to: f64) -> f64 {
    ((entries / from).max(1.0).log2() / (to / from).log2()).min(1.0)
}

fn mean(a: f64, b: f64, share_of_b: f64) -> f64 {
    a + (b - a) * share_of_b
}

/// The value of the last point at or below `capacity`.
fn step(points: &[(f64, f64)], capacity: f64) -> f64 {
    let reached = points.partition_point(|(at, _)| *at <= capacity);
    reached.checked_sub(1).map_or(0.0, |at| points[at].1)
}

/// The value on the line between the points around `capacity`.
fn between(points: &[(f64, f64)], capacity: f64) -> f64 {
    let after = points.partition_point(|(at, _)| *at <= capacity);
    match (after.checked_sub(1).map(|at| points[at]), points.get(after)) {
        (Some(a), Some(b)) => a.1 + (b.1 - a.1) * (capacity - a.0) / (b.0 - a.0),
        (Some(a), None) => a.1,
        _ => 0.0,
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
        let hits = step(&self.points, capacity as f64);
        Ratio::saturating(1.0 - if capacity == 0 { 0.0 } else { hits })
    }

    /// The same curve for `factor` times as many keys, of which these were a sample.
    #[must_use]
    pub fn scaled(mut self, factor: f64) -> Self {
        self.points.iter_mut().for_each(|(at, _)| *at *= factor);
        self
    }

    /// The capacities at which the curve has a step, with the miss ratio from there on.
    pub fn points(&self) -> impl Iterator<Item = (u64, Ratio)> + '_ {
        self.points.iter().map(|(at, hits)| (at.ceil() as u64, Ratio::saturating(1.0 - hits)))
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

    #[test]
    fn means_are_made_to_rise() {
        let sums = [(1.0, 1.0), (0.0, 0.0), (8.0, 2.0), (2.0, 1.0), (9.0, 1.0)];
        let pooled = Some(10.0 / 3.0);
        assert_eq!(rising(&sums), [Some(1.0), None, pooled, pooled, Some(9.0)]);
    }

    fn check(keys: &[u64], most_keys: usize, capacities: &[u64], most: f64) {
        let mut builder = CurveBuilder::new(most_keys);
        for key in keys {
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
        for key in &keys {
            builder.access(*key);
        }
        assert!(builder.rate().get() < 0.2 && builder.last.len() <= 1000);
        check(&keys, 1000, &[500, 2000, 5000], 0.03);
        check(&keys, 200, &[5, 20, 50, 200, 1000, 3000], 0.012);
    }
}

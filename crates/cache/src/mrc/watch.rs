//! Reuse: after how many accesses, and how many different keys, the same key is asked for again, of
//! every so manieth access.

use std::collections::HashMap;

use super::recent::Recent;
use crate::hash::Spread;

/// About so many accesses are watched while their number doubles.
const FLOOR: u64 = 8192;

/// Buckets in each doubling of the time.
const BUCKETS: f64 = 16.0;

/// As [`BUCKETS`], of the distance.
const NEAR_BUCKETS: f64 = 32.0;

/// Accesses that are watched at the same time, at the most; 24 bytes each.
const MOST_WATCHED: usize = 1 << 16;

/// Counters that tell most keys that are not watched from those that are.
const FILTER: usize = 1 << 16;

/// Watches single accesses until their key is asked for again.
///
/// Sampling accesses rather than keys gives each its due: how often something is asked for again
/// within a short time is known to the accuracy of their number, whether or not the few hottest
/// keys are in the sample of keys.
///
/// Source: Hu et al., *Kinetic Modeling of Data Eviction in Cache* (USENIX ATC 2016), on curves
/// from sampled reuse times.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    accesses: u64,
    interval: u64,
    next: u64,
    /// When the watched access was, and how many it stands for.
    watched: HashMap<u64, (u64, f64), Spread>,
    filter: Vec<u8>,
    /// How many accesses came back, by the bucket of their time.
    times: Vec<f64>,
    /// How many came back at each distance that could be told, by its bucket.
    distances: Vec<f64>,
    recent: Recent,
    all: f64,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self {
            accesses: 0,
            interval: 1,
            next: 1,
            watched: HashMap::default(),
            filter: vec![0; FILTER],
            times: Vec::new(),
            distances: Vec::new(),
            recent: Recent::new(),
            all: 0.0,
        }
    }

    /// Takes the access to a key of this hash in, and says when it was.
    pub(super) fn access(&mut self, hash: u64) -> u64 {
        self.accesses += 1;
        let slot = hash as usize % FILTER;
        if self.filter[slot] > 0
            && let Some((since, weight)) = self.watched.remove(&hash)
        {
            self.release(slot);
            add(&mut self.times, time_bucket(self.accesses - since), weight);
            if let Some(others) = self.recent.keys_since(since, self.accesses) {
                let bucket = ((1.0 + others).log2() * NEAR_BUCKETS).floor();
                add(&mut self.distances, bucket as usize, weight);
            }
        }
        self.recent.note(hash, self.accesses);
        if self.accesses == self.next {
            self.watch(hash, slot);
        }
        self.accesses
    }

    fn watch(&mut self, hash: u64, slot: usize) {
        let weight = self.interval as f64;
        self.all += weight;
        // One that is not watched for want of room counts as one that never comes back.
        if self.watched.len() < MOST_WATCHED {
            self.watched.insert(hash, (self.accesses, weight));
            self.filter[slot] = self.filter[slot].saturating_add(1);
        }
        if self.accesses >= self.interval * 2 * FLOOR {
            self.interval *= 2;
        }
        // Anywhere in the interval, so that no period of the keys' own falls in with it.
        let jitter = crate::hash::mix(self.accesses) % self.interval;
        let begun = self.accesses / self.interval;
        self.next = (begun + 1) * self.interval + jitter;
    }

    fn release(&mut self, slot: usize) {
        // A counter that has run full stays so: it lets more through, no less.
        if self.filter[slot] < u8::MAX {
            self.filter[slot] -= 1;
        }
    }

    /// Which share of all accesses comes back within the time of each bucket.
    pub(super) fn returned(&self) -> Vec<f64> {
        self.sums(&self.times).collect()
    }

    /// Capacity and hit ratio by the watched accesses' own distances, as far as they can be told.
    pub(super) fn near(&self) -> Vec<(f64, f64)> {
        let end = |bucket: usize| 2_f64.powf((bucket + 1) as f64 / NEAR_BUCKETS);
        let ends = (0..).map(end).zip(self.sums(&self.distances));
        std::iter::once((0.0, 0.0)).chain(ends).collect()
    }

    /// Which share of all accesses is in each bucket or one before it.
    fn sums<'a>(&self, buckets: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
        let all = self.all.max(1.0);
        buckets.iter().scan(0.0, move |sum, count| {
            *sum += count;
            Some(*sum / all)
        })
    }
}

fn add(buckets: &mut Vec<f64>, bucket: usize, weight: f64) {
    if buckets.len() <= bucket {
        buckets.resize(bucket + 1, 0.0);
    }
    buckets[bucket] += weight;
}

/// In which bucket a time of so many accesses is.
pub(super) fn time_bucket(time: u64) -> usize {
    ((time.max(1) as f64).log2() * BUCKETS).floor() as usize
}

/// The longest time of a bucket.
pub(super) fn longest(bucket: usize) -> f64 {
    2_f64.powf((bucket + 1) as f64 / BUCKETS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    #[test]
    fn a_share_comes_back_after_so_many_accesses() {
        let mut watch = Watch::new();
        // Every other access is to one of a hundred keys in turn, the others are to new ones.
        for at in 0..200_000_u64 {
            watch.access(mix(if at % 2 == 0 { at / 2 % 100 } else { 1_000_000 + at }));
        }
        let returned = watch.returned();
        let within = |time| returned.get(time_bucket(time)).copied().unwrap_or(1.0);
        assert!(within(190) < 1e-9, "{}", within(190));
        assert!((within(200) - 0.5).abs() < 0.01, "{}", within(200));
        assert!(watch.watched.len() <= MOST_WATCHED);
        // A hundred keys in turn, and as many new ones in between.
        let near = watch.near();
        let hits =
            |most: f64| near.iter().rfind(|(at, _)| *at <= most).map_or(0.0, |(_, hits)| *hits);
        assert!(hits(190.0) < 1e-9 && (hits(210.0) - 0.5).abs() < 0.01, "{near:?}");
    }
}

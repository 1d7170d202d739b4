//! How often keys were asked for of late, in four bits each.

use crate::hash::mix;

const ONE_OF_EACH: u64 = 0x1111_1111_1111_1111;
const HALVED: u64 = 0x7777_7777_7777_7777;

/// A count-min sketch of 4-bit counters that are halved from time to time.
///
/// Each of four rows has its own counter for a key, all four on one cache line; the least of them
/// is the estimate. After ten accesses for each entry of the cache every counter is halved, so that the past fades.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`: A Highly Efficient Cache Admission Policy*
/// (ACM TOS 2017).
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    /// 16 counters in each word, eight words (a cache line) in each block.
    words: Vec<u64>,
    /// Blocks less one.
    mask: u64,
    /// Increments since the last halving.
    count: u64,
    limit: u64,
}

/// Words in a block.
const BLOCK: u64 = 8;

impl Sketch {
    /// A sketch for a cache of `entries` entries.
    pub(crate) fn new(entries: u64) -> Self {
        let words = entries.clamp(16, 1 << 30).next_power_of_two();
        let limit = entries.clamp(16, 1 << 40) * 10;
        Self { words: vec![0; words as usize], mask: words / BLOCK - 1, count: 0, limit }
    }

    /// For how many entries it is large enough.
    pub(crate) fn entries(&self) -> u64 {
        self.limit / 10
    }

    /// Makes it large enough for twice as many entries. What is counted of a key stays.
    pub(crate) fn grow(&mut self) {
        if self.words.len() as u64 >= 1 << 30 {
            return;
        }
        self.words.extend_from_within(..);
        self.mask = self.mask * 2 + 1;
        self.limit *= 2;
    }

    /// How often `key` was counted of late, 0 to 15; seldom less than the truth.
    #[inline]
    pub(crate) fn estimate(&self, key: u64) -> u8 {
        let hash = mix(key);
        let counters = (0..4).map(|row| {
            let (word, shift) = self.counter(hash, row);
            ((self.words[word] >> shift) & 15) as u8
        });
        counters.min().unwrap_or(0)
    }

    /// Counts one access to `key`, and halves all counters when it is time.
    #[inline]
    pub(crate) fn count(&mut self, key: u64) {
        self.count += u64::from(self.add(key));
        if self.count >= self.limit {
            self.halve();
        }
    }

    /// Counts one access to `key`; false where it can't be counted any higher.
    #[inline]
    pub(crate) fn add(&mut self, key: u64) -> bool {
        let hash = mix(key);
        let mut counted = false;
        for row in 0..4 {
            let (word, shift) = self.counter(hash, row);
            if (self.words[word] >> shift) & 15 < 15 {
                self.words[word] += 1 << shift;
                counted = true;
            }
        }
        counted
    }

    /// The word and the shift of the key's counter in one of the four rows; each row has two of
    /// the block's words.
    #[inline]
    fn counter(&self, hash: u64, row: u32) -> (usize, u32) {
        let block = (hash & self.mask) * BLOCK;
        let choice = (hash >> 32) >> (8 * row);
        let word = block + u64::from(row) * 2 + (choice & 1);
        (word as usize, ((choice >> 1) & 15) as u32 * 4)
    }

    /// Makes the estimate of `key` at least `frequency`.
    pub(crate) fn raise(&mut self, key: u64, frequency: u8) {
        let hash = mix(key);
        let frequency = u64::from(frequency.min(15));
        for row in 0..4 {
            let (word, shift) = self.counter(hash, row);
            let counter = (self.words[word] >> shift) & 15;
            if counter < frequency {
                self.words[word] += (frequency - counter) << shift;
            }
        }
    }

    pub(crate) fn halve(&mut self) {
        let mut odd = 0;
        for word in &mut self.words {
            odd += u64::from((*word & ONE_OF_EACH).count_ones());
            *word = (*word >> 1) & HALVED;
        }
        self.count = self.count.saturating_sub(odd / 4) / 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_up_to_fifteen_and_fades() {
        let mut sketch = Sketch::new(64);
        for _ in 0..20 {
            sketch.count(1);
        }
        assert_eq!(sketch.estimate(1), 15);
        sketch.halve();
        assert_eq!(sketch.estimate(1), 7);
        assert_eq!(sketch.estimate(2), 0);
    }

    #[test]
    fn never_counts_less_than_the_truth_before_it_fades() {
        let mut sketch = Sketch::new(1024);
        for key in 0..1024 {
            for _ in 0..key % 5 {
                sketch.count(key);
            }
        }
        assert!((0..1024).all(|key| u64::from(sketch.estimate(key)) >= key % 5));
        let inflated = (0..1024).filter(|key| u64::from(sketch.estimate(*key)) > key % 5).count();
        assert!(inflated < 40, "{inflated}");
        let before: Vec<u8> = (0..1024).map(|key| sketch.estimate(key)).collect();
        sketch.grow();
        assert!((0..1024).all(|key| sketch.estimate(key) == before[key as usize]));
    }
}

//! How often keys were asked for of late, in four bits each.

use crate::hash::mix;
use crate::prefetch;

const ONE_OF_EACH: u64 = 0x1111_1111_1111_1111;
const HALVED: u64 = 0x7777_7777_7777_7777;

/// A count-min sketch of 4-bit counters that are halved from time to time.
///
/// Each of four rows has its own counter for a key, all four on one cache line; the least of them
/// is the estimate. After ten accesses for each entry of the cache every counter is halved, so that
/// the past fades.
///
/// Source: Einziger, Friedman, Manes, *`TinyLFU`: A Highly Efficient Cache Admission Policy*
/// (ACM TOS 2017).
#[derive(Clone, Debug)]
pub(crate) struct Sketch {
    blocks: Vec<Block>,
    /// Blocks less one.
    mask: u64,
    /// Increments since the last halving.
    count: u64,
    limit: u64,
}

/// A cache line of 16 counters in each word; each row has two of the words.
#[derive(Clone, Copy, Debug)]
#[repr(align(64))]
struct Block([u64; WORDS]);

const WORDS: usize = 8;
const ROWS: usize = 4;

impl Sketch {
    /// A sketch for a cache of `entries` entries.
    pub(crate) fn new(entries: u64) -> Self {
        let blocks = entries.clamp(16, 1 << 30).next_power_of_two() / WORDS as u64;
        let limit = entries.clamp(16, 1 << 40) * 10;
        Self { blocks: vec![Block([0; WORDS]); blocks as usize], mask: blocks - 1, count: 0, limit }
    }

    /// For how many entries it is large enough.
    pub(crate) fn entries(&self) -> u64 {
        self.limit / 10
    }

    /// Makes it large enough for twice as many entries. What is counted of a key stays.
    pub(crate) fn grow(&mut self) {
        if self.blocks.len() >= (1 << 30) / WORDS {
            return;
        }
        self.blocks.extend_from_within(..);
        self.mask = self.mask * 2 + 1;
        self.limit *= 2;
    }

    /// How often `key` was counted of late, 0 to 15; seldom less than the truth.
    #[inline]
    pub(crate) fn estimate(&self, key: u64) -> u8 {
        let hash = mix(key);
        let Block(words) = &self.blocks[self.block(hash)];
        let least =
            counters(hash).map(|(word, shift)| (words[word] >> shift) & 15).into_iter().min();
        least.unwrap_or(0) as u8
    }

    /// Counts one access to `key`, and halves all counters when it is time.
    #[inline]
    pub(crate) fn count(&mut self, key: u64) {
        // Where it can't be counted any higher it is not among the increments.
        self.count += u64::from(self.add(key).0);
        if self.count >= self.limit {
            self.halve();
        }
    }

    /// Asks for the line in which `key` is counted.
    #[inline]
    pub(crate) fn expect(&self, key: u64) {
        prefetch::to_write((&raw const self.blocks[self.block(mix(key))]).addr());
    }

    /// Counts one access to `key`: whether any counter was below its most, and the estimate.
    #[inline]
    pub(crate) fn add(&mut self, key: u64) -> (bool, u8) {
        let hash = mix(key);
        let block = self.block(hash);
        let Block(words) = &mut self.blocks[block];
        let (mut counted, mut least) = (false, 15);
        for (word, shift) in counters(hash) {
            let counter = (words[word] >> shift) & 15;
            let below = counter < 15;
            words[word] += u64::from(below) << shift;
            counted |= below;
            least = least.min(counter + u64::from(below));
        }
        (counted, least as u8)
    }

    #[inline]
    fn block(&self, hash: u64) -> usize {
        (hash & self.mask) as usize
    }

    /// Makes the estimate of `key` at least `frequency`.
    pub(crate) fn raise(&mut self, key: u64, frequency: u8) {
        let hash = mix(key);
        let frequency = u64::from(frequency.min(15));
        let block = self.block(hash);
        let Block(words) = &mut self.blocks[block];
        for (word, shift) in counters(hash) {
            let counter = (words[word] >> shift) & 15;
            words[word] += frequency.saturating_sub(counter) << shift;
        }
    }

    pub(crate) fn halve(&mut self) {
        let mut odd = 0;
        for word in self.blocks.iter_mut().flat_map(|block| &mut block.0) {
            odd += u64::from((*word & ONE_OF_EACH).count_ones());
            *word = (*word >> 1) & HALVED;
        }
        self.count = self.count.saturating_sub(odd / 4) / 2;
    }
}

/// The words and the shifts of the four rows' counters for a key with this hash.
#[inline]
fn counters(hash: u64) -> [(usize, u32); ROWS] {
    std::array::from_fn(|row| {
        let choice = (hash >> 32) as u32 >> (8 * row);
        ((row * 2 + (choice & 1) as usize) % WORDS, ((choice >> 1) & 15) * 4)
    })
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

//! One hash for everything: the tap's threshold, the sketches and the engines' tables.

use std::hash::{BuildHasher, Hasher, RandomState};

/// An odd constant with its bits well spread: 2^64 ÷ the golden ratio.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Mixes every bit of `value` into every bit of the result, without losing any.
///
/// Source: Stafford's variant 13 of the `MurmurHash3` finalizer, as in Steele, Lea and Flood,
/// *Fast Splittable Pseudorandom Number Generators* (OOPSLA 2014).
pub(crate) const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// Both halves of the full product, folded together.
const fn fold(a: u64, b: u64) -> u64 {
    let product = (a as u128).wrapping_mul(b as u128);
    (product as u64) ^ ((product >> 64) as u64)
}

/// Spreads a number that may be anything over all bits, by one multiplication.
#[inline]
pub(crate) const fn spread(value: u64) -> u64 {
    fold(value ^ 0xbf58_476d_1ce4_e5b9, GOLDEN)
}

/// Makes hashers that share one seed, drawn anew for each cache so that nobody outside can aim
/// keys at one bucket.
#[derive(Clone, Debug)]
pub(crate) struct Seeded {
    seed: u64,
}

impl Seeded {
    pub(crate) fn random() -> Self {
        Self { seed: RandomState::new().hash_one(GOLDEN) }
    }

    /// Always the same, for recorded keys.
    pub(crate) const fn fixed(seed: u64) -> Self {
        Self { seed }
    }
}

impl BuildHasher for Seeded {
    type Hasher = FoldHasher;

    #[inline]
    fn build_hasher(&self) -> FoldHasher {
        FoldHasher { state: self.seed, seed: self.seed | 1 }
    }
}

/// A hasher that folds each word into its state by one wide multiplication.
#[derive(Clone, Debug)]
pub(crate) struct FoldHasher {
    state: u64,
    seed: u64,
}

impl FoldHasher {
    #[inline]
    fn word(&mut self, word: u64) {
        self.state = fold(self.state ^ word, self.seed ^ GOLDEN);
    }
}

impl Hasher for FoldHasher {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            self.word(u64::from_le_bytes(word));
        }
        let rest = chunks.remainder();
        let mut word = [0; 8];
        word[..rest.len()].copy_from_slice(rest);
        // The length keeps texts apart that differ only in closing zeros.
        self.word(u64::from_le_bytes(word) ^ ((bytes.len() as u64) << 56));
    }

    #[inline]
    fn write_u8(&mut self, value: u8) {
        self.word(u64::from(value));
    }

    #[inline]
    fn write_u32(&mut self, value: u32) {
        self.word(u64::from(value));
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.word(value);
    }

    #[inline]
    fn write_usize(&mut self, value: usize) {
        self.word(value as u64);
    }

    #[inline]
    fn finish(&self) -> u64 {
        fold(self.state ^ GOLDEN, 0xbf58_476d_1ce4_e5b9)
    }
}

/// For tables whose keys are hashes or numbers already: spreads them, no more.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spread;

impl BuildHasher for Spread {
    type Hasher = SpreadHasher;

    #[inline]
    fn build_hasher(&self) -> SpreadHasher {
        SpreadHasher(0)
    }
}

/// See [`Spread`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct SpreadHasher(u64);

impl Hasher for SpreadHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, value: u64) {
        self.0 = fold(self.0 ^ value, GOLDEN);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn equal_prefixes_and_closing_zeros_are_told_apart() {
        let build = Seeded::fixed(7);
        let texts = ["", "\0", "a", "a\0", "a\0\0", "abcdefgh", "abcdefgh\0", "abcdefghi"];
        let hashes: HashSet<u64> = texts.iter().map(|text| build.hash_one(text)).collect();
        assert_eq!(hashes.len(), texts.len());
    }

    #[test]
    fn dense_numbers_spread_over_every_sixteenth() {
        let build = Seeded::fixed(3);
        let mut counts = [0_u32; 16];
        for key in 0_u64..16_000 {
            counts[(build.hash_one(key) >> 60) as usize] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}

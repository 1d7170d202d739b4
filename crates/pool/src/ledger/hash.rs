//! Maps by serial number.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map whose keys are numbers that the ledger itself counts up: nobody can choose them, so that
/// one multiplication spreads them well enough.
pub(super) type NumberMap<K, V> = HashMap<K, V, BuildHasherDefault<NumberHasher>>;

/// Multiplicative hashing by the golden ratio (D. E. Knuth, *The Art of Computer Programming*,
/// volume 3, 6.4).
#[derive(Debug, Default)]
pub(super) struct NumberHasher(u64);

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for NumberHasher {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.write_u64(u64::from(*byte));
        }
    }

    #[inline]
    fn write_u64(&mut self, number: u64) {
        // The map looks at the upper bits and at the lower ones; the product mixes the upper.
        let mixed = (self.0 ^ number).wrapping_mul(GOLDEN);
        self.0 = mixed ^ (mixed >> 32);
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

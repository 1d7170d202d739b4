//! What no pool can beat.

use std::sync::atomic::{AtomicU64, Ordering};

/// Up to 64 numbers, lent with one exchange each way: no waiting, no objects.
#[derive(Debug)]
pub struct Bitmap(AtomicU64);

impl Bitmap {
    /// All 64.
    pub const fn new() -> Self {
        Self(AtomicU64::new(u64::MAX))
    }

    /// One of those that are free, where one is.
    #[inline]
    pub fn get(&self) -> Option<u32> {
        let mut word = self.0.load(Ordering::Relaxed);
        while word != 0 {
            let bit = word.trailing_zeros();
            let taken = word & !(1 << bit);
            match self.0.compare_exchange_weak(word, taken, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return Some(bit),
                Err(now) => word = now,
            }
        }
        None
    }

    /// Gives one back.
    #[inline]
    pub fn put(&self, bit: u32) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let given = word | 1 << bit;
            match self.0.compare_exchange_weak(word, given, Ordering::AcqRel, Ordering::Relaxed) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }
}

impl Default for Bitmap {
    fn default() -> Self {
        Self::new()
    }
}

/// One dimension of a ledger: a count with a limit, and nothing else.
#[derive(Debug)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Nothing promised yet.
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Promises `amount`, where it fits into `limit`.
    #[inline]
    pub fn grant(&self, amount: u64, limit: u64) -> bool {
        let mut promised = self.0.load(Ordering::Relaxed);
        while promised + amount <= limit {
            let more = promised + amount;
            match self.0.compare_exchange_weak(promised, more, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return true,
                Err(now) => promised = now,
            }
        }
        false
    }

    /// Takes `amount` back.
    #[inline]
    pub fn release(&self, amount: u64) {
        let mut promised = self.0.load(Ordering::Relaxed);
        loop {
            let less = promised - amount;
            match self.0.compare_exchange_weak(promised, less, Ordering::AcqRel, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(now) => promised = now,
            }
        }
    }
}

impl Default for Counter {
    fn default() -> Self {
        Self::new()
    }
}

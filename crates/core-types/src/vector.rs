//! Amounts in every dimension at once.

mod dimension;
mod form;
#[cfg(test)]
mod tests;

use std::fmt;

use serde::{Deserialize, Serialize};

pub use dimension::{DeviceIndex, DeviceIndexError, Dimension};
use form::Form;

use crate::units::{Bytes, Millicores, Ratio, Slots};

/// How many accelerators one host may have.
const DEVICES: usize = 16;
/// CPU, memory, slots, and the accelerators.
const DIMENSIONS: usize = HOST + DEVICES;
/// Those of them that are no accelerator's, which come first.
const HOST: usize = 3;

/// CPU, memory, slots, and memory of each of up to 16 accelerators.
///
/// Fixed in size and without allocation. Arithmetic is checked: a sum or difference that does not
/// exist is an error that names the dimension, never a wrap. There is no total order between
/// vectors; [`fits_in`](Self::fits_in) is the partial one.
///
/// Serialized as an object that leaves out zeros, accelerators by number:
/// `{"cpu": 2000, "memory": 4294967296, "accelerators": {"0": 8589934592}}`.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(from = "Form", into = "Form")]
pub struct ResourceVector {
    amounts: [u64; DIMENSIONS],
}

impl ResourceVector {
    /// Zero in every dimension.
    pub const ZERO: Self = Self { amounts: [0; DIMENSIONS] };

    /// Zero in every dimension.
    pub const fn new() -> Self {
        Self::ZERO
    }

    /// The same vector with this CPU.
    #[must_use]
    pub const fn with_cpu(mut self, cpu: Millicores) -> Self {
        self.amounts[Dimension::Cpu.index()] = cpu.get();
        self
    }

    /// The same vector with this memory.
    #[must_use]
    pub const fn with_memory(mut self, memory: Bytes) -> Self {
        self.amounts[Dimension::Memory.index()] = memory.get();
        self
    }

    /// The same vector with this many slots.
    #[must_use]
    pub const fn with_slots(mut self, slots: Slots) -> Self {
        self.amounts[Dimension::Slots.index()] = slots.get();
        self
    }

    /// The same vector with this memory of accelerator `device`.
    #[must_use]
    pub const fn with_accelerator(mut self, device: DeviceIndex, memory: Bytes) -> Self {
        self.amounts[Dimension::Accelerator(device).index()] = memory.get();
        self
    }

    /// The same vector with `count` in `dimension`, in that dimension's own unit.
    #[must_use]
    pub const fn with(mut self, dimension: Dimension, count: u64) -> Self {
        self.amounts[dimension.index()] = count;
        self
    }

    /// CPU.
    pub const fn cpu(&self) -> Millicores {
        Millicores::new(self.amounts[0])
    }

    /// Host memory.
    pub const fn memory(&self) -> Bytes {
        Bytes::new(self.amounts[1])
    }

    /// Slots.
    pub const fn slots(&self) -> Slots {
        Slots::new(self.amounts[2])
    }

    /// Memory of accelerator `device`.
    pub const fn accelerator(&self, device: DeviceIndex) -> Bytes {
        Bytes::new(self.amounts[Dimension::Accelerator(device).index()])
    }

    /// The amount in `dimension`, in that dimension's own unit.
    pub const fn get(&self, dimension: Dimension) -> u64 {
        self.amounts[dimension.index()]
    }

    /// True when every dimension is zero.
    #[inline]
    pub fn is_zero(&self) -> bool {
        self.amounts == [0; DIMENSIONS]
    }

    /// The dimensions that are not zero, with their amounts.
    pub fn iter(&self) -> impl Iterator<Item = (Dimension, u64)> + '_ {
        let nonzero = self.amounts.iter().enumerate().filter(|(_, amount)| **amount > 0);
        nonzero.map(|(index, amount)| (Dimension::at(index), *amount))
    }

    /// True when no dimension exceeds that of `room`.
    #[inline]
    pub fn fits_in(&self, room: &Self) -> bool {
        // Counted without an early exit, so that the compiler may do several dimensions at once.
        let pairs = self.amounts.iter().zip(&room.amounts);
        pairs.filter(|(amount, room)| amount > room).count() == 0
    }

    /// The first dimension in which this exceeds `room`, or `None` when it fits.
    pub fn first_exceeding(&self, room: &Self) -> Option<Dimension> {
        let mut pairs = self.amounts.iter().zip(&room.amounts);
        pairs.position(|(amount, room)| amount > room).map(Dimension::at)
    }

    /// The sum in every dimension.
    ///
    /// # Errors
    ///
    /// When a sum passes 2^64 − 1; names the first such dimension.
    #[inline]
    pub fn checked_add(&self, other: &Self) -> Result<Self, VectorError> {
        let mut sum = Self::ZERO;
        let mut overflow = false;
        for index in 0..DIMENSIONS {
            let (amount, over) = self.amounts[index].overflowing_add(other.amounts[index]);
            sum.amounts[index] = amount;
            overflow |= over;
        }
        if overflow { Err(self.overflow(other)) } else { Ok(sum) }
    }

    /// The difference in every dimension.
    ///
    /// # Errors
    ///
    /// When a difference falls below zero; names the first such dimension.
    #[inline]
    pub fn checked_sub(&self, other: &Self) -> Result<Self, VectorError> {
        let mut difference = Self::ZERO;
        let mut underflow = false;
        for index in 0..DIMENSIONS {
            let (amount, under) = self.amounts[index].overflowing_sub(other.amounts[index]);
            difference.amounts[index] = amount;
            underflow |= under;
        }
        if underflow { Err(self.underflow(other)) } else { Ok(difference) }
    }

    /// The difference in every dimension, at least zero.
    #[must_use]
    #[inline]
    pub fn saturating_sub(&self, other: &Self) -> Self {
        self.zip_with(other, u64::saturating_sub)
    }

    /// The sum in every dimension, at most 2^64 − 1.
    #[must_use]
    #[inline]
    pub fn saturating_add(&self, other: &Self) -> Self {
        self.zip_with(other, u64::saturating_add)
    }

    /// Adds `more` in place where the sum exists and stays within `limit` in each dimension that
    /// `more` has something of; otherwise says `false` and changes nothing. For hot paths.
    #[must_use = "false where nothing was added"]
    #[inline]
    pub fn grow_within(&mut self, more: &Self, limit: &Self) -> bool {
        if more.is_of_host() {
            self.grow_first::<HOST>(more, limit)
        } else {
            self.grow_first::<DIMENSIONS>(more, limit)
        }
    }

    /// Subtracts `less` in place where no difference falls below zero; otherwise says `false` and
    /// changes nothing. For hot paths.
    #[must_use = "false where nothing was subtracted"]
    #[inline]
    pub fn shrink_by(&mut self, less: &Self) -> bool {
        if less.is_of_host() {
            self.shrink_first::<HOST>(less)
        } else {
            self.shrink_first::<DIMENSIONS>(less)
        }
    }

    /// Whether it asks for nothing of any accelerator, as most do.
    #[inline]
    fn is_of_host(&self) -> bool {
        self.amounts[HOST..].iter().fold(0, |bits, amount| bits | amount) == 0
    }

    /// The larger amount in every dimension.
    #[must_use]
    #[inline]
    pub fn max(&self, other: &Self) -> Self {
        self.zip_with(other, u64::max)
    }

    /// The smaller amount in every dimension.
    #[must_use]
    #[inline]
    pub fn min(&self, other: &Self) -> Self {
        self.zip_with(other, u64::min)
    }

    /// The dimension of which this takes the largest share of `whole`, with that share.
    ///
    /// A dimension that `whole` lacks counts only when this asks for some of it, and then as the
    /// largest share there is. `None` when this is zero.
    ///
    /// Source: Ghodsi et al., *Dominant Resource Fairness* (NSDI 2011).
    pub fn dominant_share(&self, whole: &Self) -> Option<(Dimension, Ratio)> {
        let shares = self.iter().map(|(dimension, amount)| {
            let share = amount as f64 / whole.get(dimension) as f64;
            (dimension, Ratio::saturating(share))
        });
        shares.reduce(|best, next| if next.1 > best.1 { next } else { best })
    }

    #[inline]
    #[expect(clippy::needless_range_loop, reason = "several arrays go in step")]
    fn grow_first<const COUNT: usize>(&mut self, more: &Self, limit: &Self) -> bool {
        let mut sums = [0; COUNT];
        let mut over = 0;
        for index in 0..COUNT {
            let (own, more, limit) =
                (self.amounts[index], more.amounts[index], limit.amounts[index]);
            sums[index] = own.wrapping_add(more);
            over |= carry(own, more, sums[index]);
            let asks = more | more.wrapping_neg();
            over |= asks & borrow(limit, sums[index], limit.wrapping_sub(sums[index]));
        }
        let fits = over >> 63 == 0;
        if fits {
            self.amounts[..COUNT].copy_from_slice(&sums);
        }
        fits
    }

    #[inline]
    #[expect(clippy::needless_range_loop, reason = "several arrays go in step")]
    fn shrink_first<const COUNT: usize>(&mut self, less: &Self) -> bool {
        let mut rests = [0; COUNT];
        let mut under = 0;
        for index in 0..COUNT {
            let (own, less) = (self.amounts[index], less.amounts[index]);
            rests[index] = own.wrapping_sub(less);
            under |= borrow(own, less, rests[index]);
        }
        let exists = under >> 63 == 0;
        if exists {
            self.amounts[..COUNT].copy_from_slice(&rests);
        }
        exists
    }

    #[inline]
    fn zip_with(&self, other: &Self, combine: impl Fn(u64, u64) -> u64) -> Self {
        let mut out = Self::ZERO;
        for index in 0..DIMENSIONS {
            out.amounts[index] = combine(self.amounts[index], other.amounts[index]);
        }
        out
    }

    #[cold]
    fn overflow(&self, other: &Self) -> VectorError {
        let room = Self { amounts: other.amounts.map(|amount| u64::MAX - amount) };
        let dimension = self.first_exceeding(&room).unwrap_or(Dimension::Cpu);
        VectorError::Overflow { dimension, left: self.get(dimension), right: other.get(dimension) }
    }

    #[cold]
    fn underflow(&self, other: &Self) -> VectorError {
        let dimension = other.first_exceeding(self).unwrap_or(Dimension::Cpu);
        VectorError::Underflow { dimension, left: self.get(dimension), right: other.get(dimension) }
    }
}

/// The carry of `a + b`, whose wrapped sum is `sum`, as the top bit. Told from bits, which the
/// compiler can do for several dimensions at once, as it can't with comparisons of unsigned words.
#[inline]
const fn carry(a: u64, b: u64, sum: u64) -> u64 {
    (a & b) | ((a | b) & !sum)
}

/// The borrow of `a - b`, whose wrapped difference is `difference`, as the top bit.
#[inline]
const fn borrow(a: u64, b: u64, difference: u64) -> u64 {
    (!a & b) | ((!a | b) & difference)
}

impl fmt::Display for ResourceVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_zero() {
            return f.write_str("nothing");
        }
        for (position, (dimension, amount)) in self.iter().enumerate() {
            if position > 0 {
                f.write_str(", ")?;
            }
            match dimension {
                Dimension::Cpu | Dimension::Slots => f.write_str(&dimension.format(amount))?,
                _ => write!(f, "{} {dimension}", dimension.format(amount))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for ResourceVector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ResourceVector({self})")
    }
}

/// Why vectors can't be added or subtracted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VectorError {
    /// The sum passes 2^64 − 1.
    #[error("{dimension}: {left} + {right} is more than can be counted")]
    Overflow {
        /// Where.
        dimension: Dimension,
        /// The first summand, in the dimension's unit.
        left: u64,
        /// The second summand.
        right: u64,
    },
    /// The difference falls below zero.
    #[error("{dimension}: {left} - {right} is below zero")]
    Underflow {
        /// Where.
        dimension: Dimension,
        /// What is subtracted from, in the dimension's unit.
        left: u64,
        /// What is subtracted.
        right: u64,
    },
}

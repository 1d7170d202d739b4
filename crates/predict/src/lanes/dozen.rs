//! Twelve numbers: the experts, or the levels.

use std::ops::{Add, Div, Mul, Sub};

use super::{Brief, Four, array, each, twelve};
use crate::num::{POWER, ROUND};

/// The numbers of a dozen in sixteen bits each.
pub(crate) type Briefs = [Brief; 3];

/// Twelve numbers in registers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Dozen([Four; 3]);

impl Dozen {
    #[inline(always)]
    pub(crate) fn new(values: &[f32; 12]) -> Self {
        Self(twelve(values))
    }

    /// Twelve times the same.
    #[inline(always)]
    pub(crate) fn all(value: f32) -> Self {
        Self([Four::all(value); 3])
    }

    #[inline(always)]
    pub(crate) fn array(self) -> [f32; 12] {
        array(self.0)
    }

    #[inline(always)]
    fn with_each(self, other: Self, of: impl Fn(Four, Four) -> Four) -> Self {
        Self(each(|part| of(self.0[part], other.0[part])))
    }

    /// The larger of each pair. Neither may be no number.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        self.with_each(other, Four::max)
    }

    /// The smaller of each pair.
    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        self.with_each(other, Four::min)
    }

    /// No less than `least` and no more than `most`.
    #[inline(always)]
    pub(crate) fn cut(self, least: f32, most: f32) -> Self {
        self.max(Self::all(least)).min(Self::all(most))
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        Self(self.0.map(Four::abs))
    }

    #[inline(always)]
    pub(crate) fn sqrt(self) -> Self {
        Self(self.0.map(Four::sqrt))
    }

    /// The same with another number in place `AT`.
    #[inline(always)]
    pub(crate) fn with<const AT: usize>(self, value: f32) -> Self {
        let Self(mut parts) = self;
        let mut part = parts[AT / 4].array();
        part[AT % 4] = value;
        parts[AT / 4] = Four::new(part);
        Self(parts)
    }

    /// Numbers of eight bits of precision and the range of `f32` (the format known as bfloat16).
    #[inline(always)]
    pub(crate) fn from_briefs(briefs: &Briefs) -> Self {
        Self(Four::from_briefs(briefs))
    }

    /// The nearest such numbers, and sixteen bits for the last of them.
    #[inline(always)]
    pub(crate) fn briefs(self, last: u16) -> Briefs {
        // Rounded by half of the last bit that is kept; the cut keeps that from reaching infinity.
        let cut = self.cut(-3.3e38, 3.3e38);
        cut.with::<11>(f32::from_bits(u32::from(last) << 16)).0.map(Four::brief)
    }

    /// `e` to the power of each, which is cut at 80 to either side, to about five digits: as
    /// [`exp_below_one`](crate::num::exp_below_one), but the series' halves are summed up at once
    /// (Estrin's scheme).
    #[inline(always)]
    pub(crate) fn exp(self) -> Self {
        let t = self.cut(-80.0, 80.0) * std::f32::consts::LOG2_E;
        let shifted = t + Self::all(ROUND);
        let part = t - (shifted - Self::all(ROUND));
        let pair = |from: usize| Self::all(POWER[from]) + part * POWER[from + 1];
        let square = part * part;
        let series = (pair(0) + square * pair(2)) + square * square * pair(4);
        series.with_each(shifted, Four::raise)
    }

    /// Four at a time.
    #[inline(always)]
    pub(crate) fn parts(self) -> [Four; 3] {
        self.0
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        let [a, b, c] = self.parts();
        (a + b + c).sum()
    }
}

macro_rules! operation {
    ($trait:ident, $name:ident) => {
        impl $trait for Dozen {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                self.with_each(other, Four::$name)
            }
        }
    };
}

operation!(Add, add);
operation!(Sub, sub);
operation!(Mul, mul);
operation!(Div, div);

impl Mul<f32> for Dozen {
    type Output = Self;

    #[inline(always)]
    fn mul(self, by: f32) -> Self {
        self * Self::all(by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brief_numbers_are_near() {
        for value in [0.0, 1.0, -1.0, 3.3, -1e-30, 1e30, 12345.678, f32::MAX, f32::MIN] {
            let exact: [f32; 12] = std::array::from_fn(|k| if k % 2 == 0 { value } else { -value });
            let briefs = Dozen::new(&exact).briefs(0xfedc);
            assert_eq!(briefs[2][1] >> 16, 0xfedc);
            let near = Dozen::from_briefs(&briefs).array();
            for (near, exact) in near.into_iter().zip(exact).take(11) {
                let cut = exact.clamp(-3.3e38, 3.3e38);
                assert!((near - cut).abs() <= cut.abs() / 200.0, "{exact}: {near}");
            }
        }
    }

    #[test]
    fn sums_and_powers() {
        let values = std::array::from_fn(|k| k as f32);
        let dozen = Dozen::new(&values);
        assert_eq!(dozen.array(), values);
        assert_eq!(dozen.sum(), 66.0);
        assert_eq!(dozen.with::<10>(1.0).with::<11>(2.0).sum(), 48.0);
        for step in 0..1_333_u16 {
            let x: [f32; 12] =
                std::array::from_fn(|k| 0.01 * f32::from(step * 12 + k as u16) - 80.0);
            let near = Dozen::new(&x).exp().array();
            for (near, x) in near.into_iter().zip(x) {
                assert!((near - x.exp()).abs() <= 2e-5 * x.exp(), "{x}: {near}");
            }
        }
        assert_eq!(Dozen::all(1e30).exp().array(), Dozen::all(80.0).exp().array());
    }
}

//! Twelve numbers: the experts, or the levels.

use std::ops::{Add, Div, Mul, Sub};

use super::{Brief, Four, array, each, twelve};

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

    /// The same with another number in place `AT`, which is one of the last two.
    #[inline(always)]
    pub(crate) fn with<const AT: usize>(self, value: f32) -> Self {
        const { assert!(AT == 10 || AT == 11) };
        let [first, second, third] = self.0;
        let mut last = third.array();
        last[AT - 8] = value;
        Self([first, second, Four::new(last)])
    }

    /// Numbers of eight bits of precision and the range of `f32` (the format known as bfloat16).
    #[inline(always)]
    pub(crate) fn from_briefs(briefs: &Briefs) -> Self {
        Self(briefs.map(Four::from_brief))
    }

    /// The nearest such numbers, and sixteen bits for the last of them.
    #[inline(always)]
    pub(crate) fn briefs(self, last: u16) -> Briefs {
        // Rounded by half of the last bit that is kept; the cut keeps that from reaching infinity.
        let cut = self.cut(-3.3e38, 3.3e38);
        cut.with::<11>(f32::from_bits(u32::from(last) << 16)).0.map(Four::brief)
    }

    /// `e` to the power of each, which is at most zero, to about five digits.
    ///
    /// 2^t is split into a whole power, which is added to the exponent's bits, and a polynomial over
    /// half a step to either side (Schraudolph, "A fast, compact approximation of the exponential
    /// function", 1999, with more terms).
    #[inline(always)]
    pub(crate) fn exp_below_one(self) -> Self {
        /// Adding it leaves the nearest whole number in a float's lowest bits.
        const ROUND: f32 = 12_582_912.0;
        /// The series of 2^part from the last term on: (ln 2)^k / k!.
        const TERMS: [f32; 5] =
            [0.009_618_1, 0.055_504_1, 0.240_226_5, std::f32::consts::LN_2, 1.0];
        let t = self.max(Self::all(-80.0)) * std::f32::consts::LOG2_E;
        let shifted = t + Self::all(ROUND);
        let part = t - (shifted - Self::all(ROUND));
        let mut series = Self::all(0.001_333_4);
        for term in TERMS {
            series = series * part + Self::all(term);
        }
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

    #[inline(always)]
    pub(crate) fn largest(self) -> f32 {
        let [a, b, c] = self.parts();
        a.max(b).max(c).largest()
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
        assert_eq!((dozen.sum(), dozen.largest()), (66.0, 11.0));
        assert_eq!(dozen.with::<10>(1.0).with::<11>(2.0).sum(), 48.0);
        for step in 0..666_u16 {
            let x: [f32; 12] = std::array::from_fn(|k| -0.01 * f32::from(step * 12 + k as u16));
            let near = Dozen::new(&x).exp_below_one().array();
            for (near, x) in near.into_iter().zip(x) {
                assert!((near - x.exp()).abs() <= 2e-5 * x.exp(), "{x}: {near}");
            }
        }
    }
}

//! Four numbers in a register.

#[cfg(not(target_arch = "x86_64"))]
use plain as kind;
#[cfg(target_arch = "x86_64")]
use sse as kind;

use std::ops::{Add, Div, Mul, Sub};

/// Four numbers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Four(kind::Inner);

/// Four numbers in sixteen bits each, the first in the lowest bits of the first half.
pub(crate) type Brief = [u32; 2];

impl Four {
    #[inline(always)]
    pub(crate) fn new(values: [f32; 4]) -> Self {
        Self(kind::new(values))
    }

    /// Four times the same.
    #[inline(always)]
    pub(crate) fn all(value: f32) -> Self {
        Self(kind::new([value; 4]))
    }

    #[inline(always)]
    pub(crate) fn array(self) -> [f32; 4] {
        kind::array(self.0)
    }

    /// The larger of each pair. Neither may be no number.
    #[inline(always)]
    pub(crate) fn max(self, other: Self) -> Self {
        Self(kind::max(self.0, other.0))
    }

    /// The smaller of each pair.
    #[inline(always)]
    pub(crate) fn min(self, other: Self) -> Self {
        Self(kind::min(self.0, other.0))
    }

    /// No less than `least` and no more than `most`.
    #[inline(always)]
    pub(crate) fn cut(self, least: f32, most: f32) -> Self {
        self.max(Self::all(least)).min(Self::all(most))
    }

    #[inline(always)]
    pub(crate) fn abs(self) -> Self {
        Self(kind::abs(self.0))
    }

    #[inline(always)]
    pub(crate) fn sqrt(self) -> Self {
        Self(kind::sqrt(self.0))
    }

    /// One where it is above `other`, else zero.
    #[inline(always)]
    pub(crate) fn above(self, other: Self) -> Self {
        Self(kind::above(self.0, other.0))
    }

    /// Four numbers of eight bits of precision and the range of `f32` (the format known as bfloat16).
    #[inline(always)]
    pub(crate) fn from_brief(brief: Brief) -> Self {
        Self(kind::from_brief(brief))
    }

    /// The nearest such numbers; none may be larger than 3.3e38.
    #[inline(always)]
    pub(crate) fn brief(self) -> Brief {
        kind::brief(self.0)
    }

    /// Four numbers, to whose exponents the lowest bits of `by` are added.
    #[inline(always)]
    pub(super) fn raise(self, by: Self) -> Self {
        Self(kind::raise(self.0, by.0))
    }

    #[inline(always)]
    pub(crate) fn sum(self) -> f32 {
        let [a, b, c, d] = self.array();
        (a + c) + (b + d)
    }

    #[inline(always)]
    pub(crate) fn largest(self) -> f32 {
        let [a, b, c, d] = self.array();
        let (a, b) = (if a > c { a } else { c }, if b > d { b } else { d });
        if a > b { a } else { b }
    }

    #[inline(always)]
    pub(crate) fn least(self) -> f32 {
        let [a, b, c, d] = self.array();
        let (a, b) = (if a < c { a } else { c }, if b < d { b } else { d });
        if a < b { a } else { b }
    }
}

macro_rules! operation {
    ($trait:ident, $name:ident) => {
        impl $trait for Four {
            type Output = Self;

            #[inline(always)]
            fn $name(self, other: Self) -> Self {
                Self(kind::$name(self.0, other.0))
            }
        }
    };
}

operation!(Add, add);
operation!(Sub, sub);
operation!(Mul, mul);
operation!(Div, div);

impl Mul<f32> for Four {
    type Output = Self;

    #[inline(always)]
    fn mul(self, by: f32) -> Self {
        self * Self::all(by)
    }
}

/// Registers of x86-64.
#[cfg(target_arch = "x86_64")]
mod sse {
    #![expect(unsafe_code, reason = "the operations on registers are unsafe to call")]

    use std::arch::x86_64::{
        __m128, _mm_add_epi32, _mm_add_ps, _mm_and_ps, _mm_castps_si128, _mm_castsi128_ps,
        _mm_cmpgt_ps, _mm_cvtsi64_si128, _mm_cvtsi128_si64, _mm_div_ps, _mm_loadu_ps, _mm_max_ps,
        _mm_min_ps, _mm_mul_ps, _mm_packs_epi32, _mm_set1_epi32, _mm_set1_ps, _mm_setzero_si128,
        _mm_slli_epi32, _mm_sqrt_ps, _mm_srai_epi32, _mm_storeu_ps, _mm_sub_ps, _mm_unpacklo_epi16,
    };

    pub(super) type Inner = __m128;

    #[inline(always)]
    pub(super) fn new(values: [f32; 4]) -> Inner {
        // SAFETY: x86-64 always has SSE2; four numbers are read, and there are four, at any address.
        unsafe { _mm_loadu_ps(values.as_ptr()) }
    }

    #[inline(always)]
    pub(super) fn array(of: Inner) -> [f32; 4] {
        let mut values = [0.0; 4];
        // SAFETY: x86-64 always has SSE2; four numbers are written, and there is room for four.
        unsafe { _mm_storeu_ps(values.as_mut_ptr(), of) };
        values
    }

    macro_rules! of_two {
        ($($name:ident = $does:ident),*) => {$(
            #[inline(always)]
            pub(super) fn $name(a: Inner, b: Inner) -> Inner {
                // SAFETY: x86-64 always has SSE2, which is all that this needs.
                unsafe { $does(a, b) }
            }
        )*};
    }

    of_two!(add = _mm_add_ps, sub = _mm_sub_ps, mul = _mm_mul_ps, div = _mm_div_ps);
    of_two!(max = _mm_max_ps, min = _mm_min_ps);

    #[inline(always)]
    pub(super) fn abs(of: Inner) -> Inner {
        // SAFETY: x86-64 always has SSE2, which is all that this needs.
        unsafe { _mm_and_ps(of, _mm_set1_ps(f32::from_bits(0x7fff_ffff))) }
    }

    #[inline(always)]
    pub(super) fn sqrt(of: Inner) -> Inner {
        // SAFETY: x86-64 always has SSE2, which is all that this needs.
        unsafe { _mm_sqrt_ps(of) }
    }

    #[inline(always)]
    pub(super) fn above(a: Inner, b: Inner) -> Inner {
        // SAFETY: x86-64 always has SSE2, which is all that this needs.
        unsafe { _mm_and_ps(_mm_cmpgt_ps(a, b), _mm_set1_ps(1.0)) }
    }

    #[inline(always)]
    pub(super) fn from_brief([low, high]: super::Brief) -> Inner {
        let bits = u64::from(low) | u64::from(high) << 32;
        // SAFETY: x86-64 always has SSE2, which is all that this needs.
        unsafe {
            let bits = _mm_cvtsi64_si128(bits.cast_signed());
            _mm_castsi128_ps(_mm_unpacklo_epi16(_mm_setzero_si128(), bits))
        }
    }

    #[inline(always)]
    pub(super) fn brief(of: Inner) -> super::Brief {
        // SAFETY: x86-64 always has SSE2, which is all that this needs.
        let bits = unsafe {
            let rounded = _mm_add_epi32(_mm_castps_si128(of), _mm_set1_epi32(0x8000));
            // With the sign, so that nothing is beyond what sixteen bits hold.
            let upper = _mm_srai_epi32::<16>(rounded);
            _mm_cvtsi128_si64(_mm_packs_epi32(upper, upper)).cast_unsigned()
        };
        [bits as u32, (bits >> 32) as u32]
    }

    #[inline(always)]
    pub(super) fn raise(of: Inner, by: Inner) -> Inner {
        // SAFETY: x86-64 always has SSE2, which is all that this needs.
        unsafe {
            let by = _mm_slli_epi32::<23>(_mm_castps_si128(by));
            _mm_castsi128_ps(_mm_add_epi32(_mm_castps_si128(of), by))
        }
    }
}

/// One by one, for all other machines.
#[cfg(any(test, not(target_arch = "x86_64")))]
mod plain {
    use std::array::from_fn;

    pub(super) type Inner = [f32; 4];

    pub(super) const fn new(values: [f32; 4]) -> Inner {
        values
    }

    pub(super) const fn array(of: Inner) -> [f32; 4] {
        of
    }

    macro_rules! of_two {
        ($($name:ident = $does:expr),*) => {$(
            #[inline(always)]
            pub(super) fn $name(a: Inner, b: Inner) -> Inner {
                let does: fn(f32, f32) -> f32 = $does;
                from_fn(|k| does(a[k], b[k]))
            }
        )*};
    }

    of_two!(add = |a, b| a + b, sub = |a, b| a - b, mul = |a, b| a * b, div = |a, b| a / b);
    of_two!(max = |a, b| if a > b { a } else { b }, min = |a, b| if a < b { a } else { b });
    of_two!(above = |a, b| if a > b { 1.0 } else { 0.0 });
    of_two!(raise = |of, by| f32::from_bits(of.to_bits().wrapping_add(by.to_bits() << 23)));

    #[inline(always)]
    pub(super) fn from_brief([low, high]: super::Brief) -> Inner {
        [low << 16, low & 0xffff_0000, high << 16, high & 0xffff_0000].map(f32::from_bits)
    }

    #[inline(always)]
    pub(super) fn brief(of: Inner) -> super::Brief {
        let [a, b, c, d] = of.map(|value| value.to_bits().wrapping_add(0x8000) >> 16);
        [a | b << 16, c | d << 16]
    }

    #[inline(always)]
    pub(super) fn abs(of: Inner) -> Inner {
        of.map(f32::abs)
    }

    #[inline(always)]
    pub(super) fn sqrt(of: Inner) -> Inner {
        of.map(f32::sqrt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: [f32; 4] = [1.5, -2.25, 0.0, 1e30];
    const B: [f32; 4] = [0.75, -2.5, 3.0, 1e-30];

    #[test]
    fn registers_do_what_is_done_one_by_one() {
        let (a, b) = (Four::new(A), Four::new(B));
        assert_eq!(a.array(), plain::array(plain::new(A)));
        assert_eq!((a + b).array(), plain::add(A, B));
        assert_eq!((a - b).array(), plain::sub(A, B));
        assert_eq!((a * b).array(), plain::mul(A, B));
        assert_eq!((a / b).array(), plain::div(A, B));
        assert_eq!(a.max(b).array(), plain::max(A, B));
        assert_eq!(a.min(b).array(), plain::min(A, B));
        assert_eq!(a.above(b).array(), plain::above(A, B));
        assert_eq!(a.abs().array(), plain::abs(A));
        assert_eq!(a.abs().sqrt().array(), plain::sqrt(plain::abs(A)));
        let powers = [12_582_912.0, 12_582_913.0, 12_582_900.0, 12_582_912.0];
        assert_eq!(Four::new(B).raise(Four::new(powers)).array(), plain::raise(B, powers));
        assert_eq!(a.brief(), plain::brief(A));
        assert_eq!(Four::from_brief(b.brief()).array(), plain::from_brief(plain::brief(B)));
        assert_eq!((a * 2.0).array(), A.map(|value| value * 2.0));
        assert_eq!(a.cut(-1.0, 1.0).array(), [1.0, -1.0, 0.0, 1.0]);
    }
}

//! Small arithmetic that several algorithms share.

/// The larger of two numbers; unlike `f32::max`, one instruction, since neither is ever not a number.
#[inline(always)]
pub(crate) const fn larger(a: f32, b: f32) -> f32 {
    if a > b { a } else { b }
}

/// The smaller of two numbers.
#[inline(always)]
pub(crate) const fn smaller(a: f32, b: f32) -> f32 {
    if a < b { a } else { b }
}

/// The median of three numbers.
#[inline]
pub(crate) const fn middle(a: f32, b: f32, c: f32) -> f32 {
    larger(smaller(a, b), smaller(larger(a, b), c))
}

/// The share of a new value in a mean of `rounds` values, the oldest of which fade: no less than
/// `least`.
#[inline(always)]
pub(crate) fn share(rounds: u32, least: f32) -> f32 {
    let rounds = rounds as f32;
    // A branch that is soon foreseen, in place of a division.
    if rounds * least >= 1.0 { least } else { 1.0 / rounds }
}

/// An array of what `of` says of each place: as `std::array::from_fn`, but a plain loop, which the
/// compiler does four places at a time.
#[inline(always)]
pub(crate) fn each<const N: usize>(of: impl Fn(usize) -> f32) -> [f32; N] {
    let mut values = [0.0; N];
    for (k, value) in values.iter_mut().enumerate() {
        *value = of(k);
    }
    values
}

/// The sum in four parts, which the processor adds at once.
#[inline(always)]
pub(crate) fn sum<const N: usize>(values: &[f32; N]) -> f32 {
    let mut parts = [0.0; 4];
    let (fours, rest) = values.as_chunks::<4>();
    for four in fours {
        for (part, value) in parts.iter_mut().zip(four) {
            *part += value;
        }
    }
    rest.iter().sum::<f32>() + ((parts[0] + parts[2]) + (parts[1] + parts[3]))
}

/// The sum of products.
#[inline(always)]
pub(crate) fn dot<const N: usize>(a: &[f32; N], b: &[f32; N]) -> f32 {
    sum(&each::<N>(|k| a[k] * b[k]))
}

/// The natural logarithm of a normal number above zero, to about four digits: without a call.
pub(crate) fn ln_near(x: f32) -> f32 {
    let bits = x.to_bits();
    // The mantissa, from three quarters to one and a half, and the exponent that belongs to it.
    let exponent = bits.wrapping_sub(0x3f40_0000).cast_signed() >> 23;
    let mantissa = f32::from_bits(bits.wrapping_sub(exponent.cast_unsigned() << 23));
    // ln((1 + t) / (1 - t)) = 2 (t + t³/3 + t⁵/5 + …)
    let t = (mantissa - 1.0) / (mantissa + 1.0);
    let square = t * t;
    let series = 2.0 * t * (1.0 + square * (1.0 / 3.0 + square * 0.2));
    exponent as f32 * std::f32::consts::LN_2 + series
}

/// Adding it leaves the nearest whole number in a float's lowest bits.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// The series of 2^x, half a step to either side of zero: (ln 2)^k / k!.
pub(crate) const POWER: [f32; 6] =
    [1.0, std::f32::consts::LN_2, 0.240_226_5, 0.055_504_1, 0.009_618_1, 0.001_333_4];

/// `e` to the power of `x`, at most zero, to about five digits: without a call.
///
/// 2^t is split into a whole power, which is added to the exponent's bits, and a [series](POWER)
/// (Schraudolph, "A fast, compact approximation of the exponential function", 1999, with more
/// terms).
#[inline(always)]
pub(crate) fn exp_below_one(x: f32) -> f32 {
    let t = smaller(larger(x, -80.0), 0.0) * std::f32::consts::LOG2_E;
    let shifted = t + ROUND;
    let part = t - (shifted - ROUND);
    let series = POWER.iter().rev().copied().reduce(|sum, term| term + part * sum);
    f32::from_bits(series.unwrap_or(1.0).to_bits().wrapping_add(shifted.to_bits() << 23))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exponential_is_near() {
        for step in 0..8_000_u16 {
            let x = -0.01 * f32::from(step);
            let (near, exact) = (exp_below_one(x), x.exp());
            assert!((near - exact).abs() <= 2e-5 * exact, "{x}: {near} {exact}");
        }
        assert_eq!(exp_below_one(0.0), 1.0);
        let least = exp_below_one(f32::MIN);
        assert!(least > 0.0 && least < 1e-30, "{least}");
    }

    #[test]
    fn the_logarithm_is_near() {
        for step in 1..20_000_u16 {
            for x in [f32::from(step) / 300.0, f32::from(step) * 3.0] {
                assert!((ln_near(x) - x.ln()).abs() < 2e-4, "{x}: {} {}", ln_near(x), x.ln());
            }
        }
    }

    #[test]
    fn the_middle_is_the_median() {
        for [a, b, c] in [[1.0, 2.0, 3.0], [2.0, 1.0, 3.0], [3.0, 1.0, 2.0], [2.0, 3.0, 1.0]] {
            assert_eq!(middle(a, b, c), 2.0);
        }
        assert_eq!(middle(1.0, 1.0, 5.0), 1.0);
    }

    #[test]
    fn sums_in_parts_are_sums() {
        assert_eq!(sum(&[1.0, 2.0, 4.0, 8.0, 16.0, 32.0]), 63.0);
        assert_eq!(dot(&[1.0; 12], &[0.5; 12]), 6.0);
        assert_eq!([share(1, 0.02), share(10, 0.02), share(50, 0.02)], [1.0, 0.1, 0.02]);
    }
}

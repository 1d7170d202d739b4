//! Small arithmetic that several algorithms share.

use serde::{Deserialize, Serialize};

/// `base` to the power of a count.
pub(crate) fn power(base: f32, times: usize) -> f32 {
    base.powi(i32::try_from(times).unwrap_or(i32::MAX))
}

/// `e` to the power of `x`, at most zero, to about five digits: without a call, so that a loop of
/// them runs several at once.
///
/// 2^t is split into a whole power, which is added to the exponent's bits, and a polynomial over
/// half a step to either side (Schraudolph, "A fast, compact approximation of the exponential
/// function", 1999, with more terms).
pub(crate) fn exp_below_one(x: f32) -> f32 {
    /// Adding it leaves the nearest whole number in a float's lowest bits.
    const ROUND: f32 = 12_582_912.0;
    let t = x.clamp(-80.0, 0.0) * std::f32::consts::LOG2_E;
    let shifted = t + ROUND;
    let part = t - (shifted - ROUND);
    // The series of 2^part: (ln 2)^k / k!.
    let series = 1.0
        + part
            * (std::f32::consts::LN_2
                + part
                    * (0.240_226_5
                        + part * (0.055_504_1 + part * (0.009_618_1 + part * 0.001_333_4))));
    f32::from_bits(series.to_bits().wrapping_add(shifted.to_bits() << 23))
}

/// A number to eight bits of precision and the range of `f32` (the format known as bfloat16), in
/// half the room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Brief(u16);

impl Brief {
    pub(crate) fn new(value: f32) -> Self {
        // Half of the last kept bit is added, which rounds; the cut keeps that from reaching
        // infinity.
        let bits = value.clamp(-3.3e38, 3.3e38).to_bits();
        Self((bits.saturating_add(0x8000) >> 16) as u16)
    }

    pub(crate) const fn get(self) -> f32 {
        f32::from_bits((self.0 as u32) << 16)
    }
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
    fn brief_numbers_are_near() {
        for value in [0.0, 1.0, -1.0, 3.3, -1e-30, 1e30, 12345.678, f32::MAX, f32::MIN] {
            let near = Brief::new(value).get();
            assert!(near.is_finite());
            let bound = value.abs() / 200.0;
            assert!((near - value.clamp(-3.3e38, 3.3e38)).abs() <= bound, "{value}: {near}");
        }
    }
}

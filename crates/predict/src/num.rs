//! Small arithmetic that several algorithms share.

use serde::{Deserialize, Serialize};

/// `base` to the power of a count.
pub(crate) fn power(base: f32, times: usize) -> f32 {
    base.powi(i32::try_from(times).unwrap_or(i32::MAX))
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
    fn brief_numbers_are_near() {
        for value in [0.0, 1.0, -1.0, 3.3, -1e-30, 1e30, 12345.678, f32::MAX, f32::MIN] {
            let near = Brief::new(value).get();
            assert!(near.is_finite());
            let bound = value.abs() / 200.0;
            assert!((near - value.clamp(-3.3e38, 3.3e38)).abs() <= bound, "{value}: {near}");
        }
    }
}

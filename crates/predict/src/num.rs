//! Small arithmetic that several algorithms share.

/// `base` to the power of a count.
pub(crate) fn power(base: f32, times: usize) -> f32 {
    base.powi(i32::try_from(times).unwrap_or(i32::MAX))
}

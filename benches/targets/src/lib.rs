//! What the benches of the targets share.

use hdrhistogram::Histogram;

/// Nanoseconds up to a minute, to three digits.
///
/// # Panics
///
/// Never: the bounds are constants that the histogram allows.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).expect("fine bounds")
}

/// The value of `histogram` that `share` of them are at or below, in seconds.
pub fn quantile(histogram: &Histogram<u64>, share: f64) -> f64 {
    histogram.value_at_quantile(share) as f64 / 1e9
}

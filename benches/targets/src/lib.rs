//! What the benches of the targets share: the broker as a process, a proxy beside it, and clients.

mod client;
mod programs;

use hdrhistogram::Histogram;

pub use client::{Load, ask, load};
pub use programs::{Broker, Nginx, free_port};

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

/// The middle one.
///
/// # Panics
///
/// When there is none.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

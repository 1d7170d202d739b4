//! How large requests are: lognormal with σ 1, one in twenty eight times larger, with a mean of 1.

use crate::random::Random;

/// The share of large requests, and how much larger they are.
const LARGE: (f64, f64) = (0.05, 8.0);
/// Mean of a lognormal with σ 1 and median 1.
const LOGNORMAL_MEAN: f64 = 1.648_721_270_700_128_2;
/// Sizes are capped here, as requests for tokens are.
const LARGEST: f64 = 16.0;
/// The mean of what is capped, so that the mean size is 1.
const CAPPED_MEAN: f64 = 0.961_160;

/// The size of the next request.
pub(super) fn size(random: &mut Random) -> f64 {
    let large = if random.unit() < LARGE.0 { LARGE.1 } else { 1.0 };
    let mean = LOGNORMAL_MEAN * (1.0 + LARGE.0 * (LARGE.1 - 1.0));
    (random.normal().exp() * large / mean).min(LARGEST) / CAPPED_MEAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_size_is_one() {
        let mut random = Random::new(3);
        let count = 400_000;
        let mean = (0..count).map(|_| size(&mut random)).sum::<f64>() / f64::from(count);
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}

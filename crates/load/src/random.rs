//! Random numbers and the distributions of simulated arrivals, which replay by their seed.

use plimsoll_core_types::SplitMix64;

/// A stream of random numbers with the distributions that scenarios draw from.
#[derive(Clone, Debug)]
pub(crate) struct Random(SplitMix64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    pub(crate) const fn next(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Uniform in `0..bound`; 0 where `bound` is 0.
    pub(crate) const fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// Uniform in (0, 1): never 0, so that its logarithm is finite.
    pub(crate) fn unit(&mut self) -> f64 {
        ((self.next() >> 12) as f64 + 0.5) / (1_u64 << 52) as f64
    }

    /// Exponential with mean 1.
    pub(crate) fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }

    /// Standard normal (Box and Muller, 1958).
    pub(crate) fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distributions_have_their_moments() {
        let mut random = Random::new(7);
        let count = 200_000;
        let mut mean = |draw: fn(&mut Random) -> f64| {
            (0..count).map(|_| draw(&mut random)).sum::<f64>() / f64::from(count)
        };
        assert!((mean(Random::unit) - 0.5).abs() < 0.005);
        assert!((mean(Random::exponential) - 1.0).abs() < 0.01);
        assert!(mean(Random::normal).abs() < 0.01);
        assert!((mean(|random| random.normal().powi(2)) - 1.0).abs() < 0.02);
        assert!((mean(|random| random.below(10) as f64) - 4.5).abs() < 0.03);
    }
}

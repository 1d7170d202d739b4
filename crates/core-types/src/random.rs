//! Random numbers for choices that must replay by their seed.

/// A stream of pseudo-random numbers that its seed determines, on every machine alike.
///
/// One word of state and no allocation: enough for jitter, picks and sampling. Not for secrets.
///
/// Source: Steele, Lea, Flood, *Fast Splittable Pseudorandom Number Generators* (OOPSLA 2014).
///
/// ```
/// use plimsoll_core_types::SplitMix64;
///
/// let (mut one, mut two) = (SplitMix64::new(7), SplitMix64::new(7));
/// assert_eq!(one.next_u64(), two.next_u64());
/// assert!((0.0..1.0).contains(&one.share()));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SplitMix64(u64);

impl SplitMix64 {
    /// By how much the state moves with each number: 2⁶⁴ over the golden ratio. Whoever shares a
    /// state in an atomic adds this, and asks [`SplitMix64::new`] of what was there before.
    pub const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

    /// The stream of `seed`; any seed will do, zero included.
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// 64 random bits.
    pub const fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(Self::STEP);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniform in `0..bound`; 0 where `bound` is 0.
    pub const fn below(&mut self, bound: usize) -> usize {
        ((self.next_u64() as u128 * bound as u128) >> 64) as usize
    }

    /// Uniform, from 0 up to but without 1.
    pub const fn share(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform, above 0 and at most 1: its logarithm is finite.
    pub const fn share_above_zero(&mut self) -> f64 {
        ((self.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_numbers_of_the_reference_implementation() {
        // The first three of seed 1234567, as S. Vigna's splitmix64.c prints them.
        let mut random = SplitMix64::new(1_234_567);
        let first = [random.next_u64(), random.next_u64(), random.next_u64()];
        let known =
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(first, known);
    }

    #[test]
    fn a_shared_state_gives_the_same_stream() {
        let mut random = SplitMix64::new(9);
        let whole: Vec<u64> = (0..4).map(|_| random.next_u64()).collect();
        let stepped =
            (0..4_u64).map(|step| 9_u64.wrapping_add(SplitMix64::STEP.wrapping_mul(step)));
        let parts: Vec<u64> = stepped.map(|state| SplitMix64::new(state).next_u64()).collect();
        assert_eq!(whole, parts);
    }

    #[test]
    fn shares_and_picks_keep_to_their_bounds() {
        let mut random = SplitMix64::new(3);
        assert_eq!(random.below(0), 0);
        for _ in 0..10_000 {
            assert!(random.below(7) < 7);
            assert!((0.0..1.0).contains(&random.share()));
            let share = random.share_above_zero();
            assert!(share > 0.0 && share <= 1.0);
        }
        let mean = (0..10_000).map(|_| random.share()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.02, "{mean}");
    }
}

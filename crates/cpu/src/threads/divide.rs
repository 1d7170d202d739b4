//! Who gets how many threads: each next one goes where it saves the most.
//!
//! An engine that is asked for `λ` units of work per second and does `X(n)` of them with `n`
//! threads is busy for a share `λ/X(n)` of the time. What is made least is the sum of these
//! shares, each times its owner's weight. It needs no common unit of work, counts a loaded
//! engine for more than an idle one, and is convex in `n` for every shape of
//! [`SpeedCurve`], up to its peak: so giving one thread at a time to whoever saves the most by it
//! finds the optimum (Fox, *Discrete Optimization via Marginal Analysis*, 1966).

use super::curve::SpeedCurve;

/// What one engine brings to the division.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Claim {
    /// How much its time counts, relative to the others'.
    pub weight: f64,
    /// Units of work per second that it is asked for.
    pub load: f64,
    /// How fast it is.
    pub curve: SpeedCurve,
    /// The most threads that it may have.
    pub most: u32,
}

impl Claim {
    /// Weighted share of time for which it is busy with `threads` threads.
    pub(super) fn cost(&self, threads: u32) -> f64 {
        self.weight * self.load / self.curve.speed(threads.max(1))
    }

    /// What one more thread saves; `None` where it makes the engine faster by less than
    /// `least_gain` (a part), or it may not have another.
    fn saving(&self, threads: u32, least_gain: f64) -> Option<f64> {
        let (speed, faster) = (self.curve.speed(threads), self.curve.speed(threads + 1));
        let is_worth_it = threads < self.most && faster > speed * (1.0 + least_gain);
        is_worth_it.then(|| self.cost(threads) - self.cost(threads + 1))
    }
}

/// Divides `cores` whole cores: one thread for each claim, then one after the other to whom it
/// saves the most, until they are used up or nobody is made faster by more than `least_gain`.
///
/// The sum is never above `cores` unless there are more claims than cores.
pub fn divide(cores: u32, claims: &[Claim], least_gain: f64) -> Vec<u32> {
    let mut threads = vec![1_u32; claims.len()];
    let given = u32::try_from(claims.len()).unwrap_or(u32::MAX);
    for _ in given..cores {
        let savings = claims.iter().zip(&threads).enumerate();
        let best = savings
            .filter_map(|(index, (claim, count))| Some((index, claim.saving(*count, least_gain)?)))
            // Of equals, the first: the order of claims is the caller's.
            .rev()
            .max_by(|a, b| a.1.total_cmp(&b.1));
        let Some((index, _)) = best else { break };
        threads[index] += 1;
    }
    threads
}

#[cfg(test)]
mod tests {
    use super::super::curve::Shape;
    use super::*;
    use proptest::prelude::*;

    fn claim(weight: f64, load: f64, shape: Shape) -> Claim {
        Claim { weight, load, curve: SpeedCurve::new(1.0, shape).unwrap(), most: 64 }
    }

    #[test]
    fn threads_go_where_they_help() {
        let check = |cores, claims: &[Claim], expected: &[u32]| {
            assert_eq!(divide(cores, claims, 0.02), expected, "{claims:?}");
        };
        let linear = claim(1.0, 0.5, Shape::Linear);
        let bound = claim(1.0, 0.5, Shape::MemoryBound { saturated_at: 2.0 });
        let slower = claim(1.0, 0.9, Shape::Contended { serial: 0.0, crosstalk: 2.0 });
        check(8, &[linear, bound], &[6, 2]);
        check(8, &[slower, linear], &[1, 7]);
        check(2, &[linear, linear], &[1, 1]);
        check(4, &[linear, linear], &[2, 2]);
        check(1, &[linear, linear, linear], &[1, 1, 1]);
        check(0, &[linear], &[1]);
        check(4, &[], &[]);
        // Nobody gains: cores are left over rather than wasted.
        check(8, &[slower, slower], &[1, 1]);
        // The loaded one, and the more important one, get more.
        check(5, &[claim(1.0, 0.9, Shape::Linear), claim(1.0, 0.1, Shape::Linear)], &[4, 1]);
        check(5, &[claim(1.0, 0.5, Shape::Linear), claim(8.0, 0.5, Shape::Linear)], &[1, 4]);
        check(8, &[Claim { most: 3, ..linear }], &[3]);
    }

    /// The least cost among every division.
    fn least_cost(cores: u32, claims: &[Claim]) -> f64 {
        let Some((first, rest)) = claims.split_first() else { return 0.0 };
        let most = cores.saturating_sub(rest.len() as u32).max(1);
        (1..=most)
            .map(|threads| first.cost(threads) + least_cost(cores.saturating_sub(threads), rest))
            .fold(f64::INFINITY, f64::min)
    }

    fn any_shape() -> impl Strategy<Value = Shape> {
        prop_oneof![
            Just(Shape::Linear),
            (0.0..1.0_f64).prop_map(|serial| Shape::Amdahl { serial }),
            (1.0..9.0_f64).prop_map(|saturated_at| Shape::MemoryBound { saturated_at }),
            (0.0..0.5_f64, 0.0..0.3_f64)
                .prop_map(|(serial, crosstalk)| Shape::Contended { serial, crosstalk }),
        ]
    }

    proptest! {
        #[test]
        fn no_division_is_better(
            cores in 1_u32..10,
            parts in prop::collection::vec((0.5..8.0_f64, 0.05..1.0_f64, any_shape()), 1..5),
        ) {
            let claims: Vec<_> =
                parts.into_iter().map(|(weight, load, shape)| claim(weight, load, shape)).collect();
            let threads = divide(cores, &claims, 0.0);
            let sum: u32 = threads.iter().sum();
            prop_assert!(sum <= cores.max(claims.len() as u32));
            prop_assert!(threads.iter().all(|count| *count >= 1));
            let cost: f64 = claims.iter().zip(&threads).map(|(claim, n)| claim.cost(*n)).sum();
            let best = least_cost(cores, &claims);
            prop_assert!(cost <= best * (1.0 + 1e-9), "{cost} {best} {threads:?}");
        }
    }
}

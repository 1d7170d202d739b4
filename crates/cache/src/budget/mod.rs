//! Many caches, one budget.
//!
//! Each cache has a curve of what it costs to have so much; each is replaced by its lower convex
//! hull, on which the next piece never gains more than the one before. Room then goes, piece by
//! piece, to whoever gains the most by it. The hulls also say how much better any division could
//! possibly be: where a cliff in a curve leaves the pieces short of that by more than half a
//! hundredth, the division is made by dynamic programming over a thousand units of room.
//!
//! Source: Fox, *Discrete Optimization Via Marginal Analysis* (Management Science 1966); Cidon et
//! al., *Cliffhanger* (NSDI 2016), on hulls of miss curves; Sinha and Zoltners, *The
//! Multiple-Choice Knapsack Problem* (Operations Research 1979), on the bound.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

mod exact;
mod shared;

pub use shared::{Member, SharedBudget};

/// One cache that shares a budget.
#[derive(Clone, Debug, PartialEq)]
pub struct Share {
    /// Capacity and the cost of its misses (seconds per second, say) there, ascending in capacity.
    /// The first is the least that the cache may have.
    pub costs: Vec<(u64, f64)>,
    /// What it has now.
    pub current: u64,
}

/// How a budget is divided.
#[derive(Clone, Debug, PartialEq)]
pub struct Division {
    /// What each cache gets, in the order given.
    pub capacities: Vec<u64>,
    /// What all misses cost then.
    pub cost: f64,
}

/// Why a budget can't be divided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// A curve is no curve.
    #[error("cache {index}: costs must be one or more finite numbers at ascending capacities")]
    Curve {
        /// Which cache, from 0.
        index: usize,
    },
    /// Not even the least of each fits.
    #[error("the budget is {budget}; the least of all caches together is {least}")]
    TooSmall {
        /// What there is.
        budget: u64,
        /// What it takes.
        least: u64,
    },
}

/// How far above the hulls' bound a division may be before it is made exactly.
const GAP: f64 = 0.005;

#[derive(Debug, PartialEq)]
struct Piece {
    /// Cost saved for each unit of capacity.
    slope: f64,
    cache: usize,
    /// Its end, by index into the hull.
    end: usize,
}

impl Eq for Piece {}

impl Ord for Piece {
    fn cmp(&self, other: &Self) -> Ordering {
        self.slope.total_cmp(&other.slope).then_with(|| other.cache.cmp(&self.cache))
    }
}

impl PartialOrd for Piece {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Divides `budget` so that misses cost least, or leaves it as it is where that would save less
/// than `hysteresis` of the present cost (0.02, say): a change costs copying and warmth.
///
/// # Errors
///
/// When a curve is none, or the budget less than the least of each.
///
/// ```
/// use plimsoll_cache::budget::{Share, divide};
///
/// let flat = Share { costs: vec![(0, 1.0), (100, 0.9)], current: 100 };
/// let steep = Share { costs: vec![(0, 9.0), (100, 1.0)], current: 0 };
/// assert_eq!(divide(&[flat, steep], 100, 0.02)?.capacities, [0, 100]);
/// # Ok::<(), plimsoll_cache::budget::BudgetError>(())
/// ```
pub fn divide(shares: &[Share], budget: u64, hysteresis: f64) -> Result<Division, BudgetError> {
    let curve = |(index, share): (usize, &Share)| {
        let ascending = share.costs.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let finite = share.costs.iter().all(|(_, cost)| cost.is_finite());
        if share.costs.is_empty() || !ascending || !finite {
            return Err(BudgetError::Curve { index });
        }
        Ok(hull(&share.costs))
    };
    let hulls: Vec<_> = shares.iter().enumerate().map(curve).collect::<Result<_, _>>()?;
    let least = hulls.iter().fold(0_u64, |sum, hull| sum.saturating_add(hull[0].0));
    if least > budget {
        return Err(BudgetError::TooSmall { budget, least });
    }
    let total = |capacities: &[u64]| {
        let each = shares.iter().zip(capacities);
        each.map(|(share, capacity)| cost_at(&share.costs, *capacity)).sum::<f64>()
    };
    let (mut capacities, bound) = fill(&hulls, budget - least);
    if total(&capacities) - bound > GAP * bound.abs() {
        let exact = exact::fill(shares, budget - least);
        if total(&exact) < total(&capacities) {
            capacities = exact;
        }
    }
    let division = Division { cost: total(&capacities), capacities };
    let current: Vec<u64> = shares.iter().map(|share| share.current).collect();
    let fits = current.iter().fold(0_u64, |sum, one| sum.saturating_add(*one)) <= budget
        && current.iter().zip(&hulls).all(|(one, hull)| *one >= hull[0].0);
    let before = total(&current);
    if fits && before - division.cost <= hysteresis * before.abs() {
        return Ok(Division { capacities: current, cost: before });
    }
    Ok(division)
}

/// What each gets by its hull, and what no division can cost less than.
fn fill(hulls: &[Vec<(u64, f64)>], mut room: u64) -> (Vec<u64>, f64) {
    let mut capacities: Vec<u64> = hulls.iter().map(|hull| hull[0].0).collect();
    let piece = |cache: usize, end: usize| {
        let (a, b) = (hulls[cache].get(end - 1)?, hulls[cache].get(end)?);
        let slope = (a.1 - b.1) / (b.0 - a.0) as f64;
        (slope > 0.0).then_some(Piece { slope, cache, end })
    };
    let first = (0..hulls.len()).filter_map(|cache| piece(cache, 1));
    let mut pieces: BinaryHeap<Piece> = first.collect();
    let mut cost: f64 = hulls.iter().map(|hull| hull[0].1).sum();
    let mut bound = None;
    while let Some(Piece { slope, cache, end }) = pieces.pop() {
        let wanted = hulls[cache][end].0 - capacities[cache];
        if wanted > room {
            // A part of it would bring its share of the gain at the most; smaller pieces of others
            // may still fit.
            bound.get_or_insert(cost - slope * room as f64);
            continue;
        }
        cost -= slope * wanted as f64;
        capacities[cache] += wanted;
        room -= wanted;
        pieces.extend(piece(cache, end + 1));
    }
    (capacities, bound.unwrap_or(cost))
}

/// The lower convex hull of a curve, which starts where the curve starts.
fn hull(costs: &[(u64, f64)]) -> Vec<(u64, f64)> {
    let mut hull: Vec<(u64, f64)> = Vec::with_capacity(costs.len());
    for point in costs {
        while let [.., a, b] = hull.as_slice() {
            let (to_b, to_point) = ((b.0 - a.0) as f64, (point.0 - a.0) as f64);
            if (b.1 - a.1) * to_point < (point.1 - a.1) * to_b {
                break;
            }
            hull.pop();
        }
        hull.push(*point);
    }
    hull
}

/// The cost at `capacity`: that of the last point at or below it.
fn cost_at(costs: &[(u64, f64)], capacity: u64) -> f64 {
    let reached = costs.partition_point(|(at, _)| *at <= capacity);
    costs[reached.saturating_sub(1)].1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    /// Like miss curves: falling fast at first, with a cliff here and there.
    fn shares(seed: u64) -> Vec<Share> {
        let share = |cache: u64| {
            let draw = |at: u64| (mix(seed * 1000 + cache * 100 + at) % 1000) as f64 / 1000.0;
            let (rate, bend, cliff) = (1.0 + draw(1) * 9.0, 5.0 + draw(2) * 40.0, draw(3) * 100.0);
            let cost = |at: u64| {
                let fallen = if at as f64 > cliff { 0.2 } else { 0.0 };
                (at, rate * ((-(at as f64) / bend).exp() * 0.8 + 0.3 - fallen))
            };
            Share { costs: (0..=100).map(cost).collect(), current: 0 }
        };
        (0..8).map(share).collect()
    }

    /// The optimum, by dynamic programming over every unit.
    fn optimum(shares: &[Share], budget: usize) -> f64 {
        let mut best = vec![0.0; budget + 1];
        for share in shares {
            let with = |room: usize| {
                let options = (0..=room.min(100)).map(|own| best[room - own] + share.costs[own].1);
                options.fold(f64::INFINITY, f64::min)
            };
            best = (0..=budget).map(with).collect();
        }
        best[budget]
    }

    #[test]
    fn room_in_bytes_is_divided_as_well_as_in_units() {
        for seed in 0..20 {
            let mut shares = shares(seed);
            let optimum = optimum(&shares, 300);
            for (capacity, _) in shares.iter_mut().flat_map(|share| &mut share.costs) {
                *capacity *= 7_654_321;
            }
            let division = divide(&shares, 300 * 7_654_321, 0.0).unwrap();
            assert!(division.capacities.iter().sum::<u64>() <= 300 * 7_654_321);
            assert!(division.cost <= optimum * 1.01, "{seed}: {} {optimum}", division.cost);
        }
    }

    #[test]
    fn eight_caches_come_within_a_hundredth_of_the_optimum() {
        for seed in 0..20 {
            let shares = shares(seed);
            for budget in [100, 300, 500] {
                let division = divide(&shares, budget, 0.0).unwrap();
                assert!(division.capacities.iter().sum::<u64>() <= budget);
                let optimum = optimum(&shares, budget as usize);
                assert!(
                    division.cost <= optimum * 1.01,
                    "{seed} {budget}: {} {optimum}",
                    division.cost
                );
            }
        }
    }

    #[test]
    fn what_saves_little_changes_nothing() {
        let mut shares = shares(3);
        let best = divide(&shares, 300, 0.0).unwrap();
        for (share, capacity) in shares.iter_mut().zip(&best.capacities) {
            share.current = *capacity;
        }
        let (from, to) = (best.capacities.iter().position(|c| *c > 1).unwrap(), 7);
        shares[from].current -= 1;
        shares[to].current += 1;
        let again = divide(&shares, 300, 0.05).unwrap();
        assert_eq!(again.capacities, shares.iter().map(|share| share.current).collect::<Vec<_>>());
    }

    #[test]
    fn errors_name_the_cache_and_the_numbers() {
        let good = Share { costs: vec![(10, 1.0)], current: 10 };
        let bad = Share { costs: vec![(2, 1.0), (1, 2.0)], current: 0 };
        assert_eq!(divide(&[good.clone(), bad], 9, 0.0), Err(BudgetError::Curve { index: 1 }));
        let error = divide(&[good], 9, 0.0).unwrap_err().to_string();
        assert_eq!(error, "the budget is 9; the least of all caches together is 10");
    }
}

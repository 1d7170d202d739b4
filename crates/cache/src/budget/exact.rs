//! The division of a budget by dynamic programming.

use super::Share;

/// Into how many units room is cut, at the most: what is lost by rounding is less than a unit for
/// each cache, and eight curves of a hundred points take less than a millisecond.
const UNITS: u64 = 1024;

/// What each of `shares` gets of `room` above the least of all, to the nearest unit below the
/// optimum.
///
/// Source: Dudzinski and Walukiewicz, *Exact Methods for the Knapsack Problem and its
/// Generalizations* (EJOR 1987).
pub(super) fn fill(shares: &[Share], room: u64) -> Vec<u64> {
    let unit = room.div_ceil(UNITS).max(1);
    let units = (room / unit) as usize;
    let options: Vec<_> = shares.iter().map(|share| options(share, unit, units)).collect();
    let mut best = vec![0.0_f64; units + 1];
    let mut choices: Vec<Vec<u32>> = Vec::with_capacity(shares.len());
    for options in &options {
        let mut next = vec![f64::INFINITY; units + 1];
        let mut choice = vec![0_u32; units + 1];
        for (index, (taken, _, cost)) in options.iter().enumerate() {
            let reached = next[*taken..].iter_mut().zip(&mut choice[*taken..]).zip(&best);
            for ((next, choice), before) in reached {
                if before + cost < *next {
                    (*next, *choice) = (before + cost, index as u32);
                }
            }
        }
        best = next;
        choices.push(choice);
    }
    let mut left = units;
    let mut capacities: Vec<u64> = options
        .iter()
        .zip(&choices)
        .rev()
        .map(|(options, choice)| {
            let (taken, capacity, _) = options[choice[left] as usize];
            left -= taken;
            capacity
        })
        .collect();
    capacities.reverse();
    capacities
}

/// Units taken, capacity and cost of the points worth considering: of those that take as many
/// units the cheapest, and none that costs as much as one that takes fewer.
fn options(share: &Share, unit: u64, units: usize) -> Vec<(usize, u64, f64)> {
    let least = share.costs[0].0;
    let mut options: Vec<(usize, u64, f64)> = Vec::with_capacity(share.costs.len());
    for (capacity, cost) in &share.costs {
        let taken = (capacity - least).div_ceil(unit) as usize;
        if taken > units {
            break;
        }
        match options.last_mut() {
            Some(last) if *cost >= last.2 => {}
            Some(last) if last.0 == taken => *last = (taken, *capacity, *cost),
            _ => options.push((taken, *capacity, *cost)),
        }
    }
    options
}

//! Whether what is asked for has changed of late.

use std::collections::HashSet;

use plimsoll_core_types::{AccessRecord, Ratio};
use serde::{Deserialize, Serialize};

use crate::hash::Spread;

/// Into how many parts the accesses are cut.
const PARTS: usize = 8;

/// Fewer accesses in a part say nothing.
const LEAST: usize = 128;

/// The overlap with the part before must fall below this share of what it used to be.
const FALLEN: f64 = 0.5;

/// The keys asked for have changed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct PhaseChange {
    /// How many sampled accesses ago, about.
    pub accesses_ago: usize,
    /// Which share of the accesses since then is to keys of the part before.
    pub overlap: Ratio,
    /// What that share was before.
    pub usual: Ratio,
}

/// The latest change of phase within `accesses`, the oldest first: a part of them that shares far
/// fewer accesses with the one before it than parts before that did.
pub(crate) fn phase_change(accesses: &[AccessRecord]) -> Option<PhaseChange> {
    let length = accesses.len() / PARTS;
    if length < LEAST {
        return None;
    }
    let parts: Vec<&[AccessRecord]> = accesses.rchunks_exact(length).take(PARTS).collect();
    let overlaps: Vec<f64> = parts.windows(2).rev().map(|pair| overlap(pair[1], pair[0])).collect();
    // In time: the overlap of each part with the one before it.
    let changed = |at: usize| {
        let usual = overlaps[..at].iter().sum::<f64>() / at as f64;
        (overlaps[at] < usual * FALLEN).then(|| PhaseChange {
            accesses_ago: (overlaps.len() - at) * length,
            overlap: Ratio::saturating(overlaps[at]),
            usual: Ratio::saturating(usual),
        })
    };
    (1..overlaps.len()).rev().find_map(changed)
}

/// Which share of the accesses in `later` is to keys in `earlier`.
fn overlap(earlier: &[AccessRecord], later: &[AccessRecord]) -> f64 {
    let keys: HashSet<u64, Spread> = earlier.iter().map(|access| access.key_hash).collect();
    let known = later.iter().filter(|access| keys.contains(&access.key_hash)).count();
    known as f64 / later.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::mix;

    fn accesses(keys: impl Iterator<Item = u64>) -> Vec<AccessRecord> {
        keys.map(|key| AccessRecord { key_hash: mix(key), weight: 1 }).collect()
    }

    #[test]
    fn other_keys_are_another_phase() {
        let steady = accesses((0..8000).map(|at| mix(at) % 300));
        assert_eq!(phase_change(&steady), None);
        let moved = |at| mix(at) % 300 + if at < 5000 { 0 } else { 1000 };
        let change = phase_change(&accesses((0..8000).map(moved))).unwrap();
        assert_eq!(change.accesses_ago, 3000);
        assert!(change.overlap.get() < 0.01 && change.usual.get() > 0.8, "{change:?}");
    }

    #[test]
    fn keys_that_never_come_back_are_no_phase() {
        assert_eq!(phase_change(&accesses(0..8000)), None);
        assert_eq!(phase_change(&accesses(0..100)), None);
    }
}

//! What a cache could do that knew the future.

use std::collections::{BinaryHeap, HashMap};

use super::Outcome;
use crate::hash::Spread;

/// Later than any access: the key is not asked for again.
const NEVER: usize = usize::MAX;

/// The hits of a cache that always gives up what is asked for again last, the newcomer included.
///
/// The most any policy could have where all weights are equal. Where they differ the best is
/// NP-hard to find; this is then a strong heuristic, not a bound.
///
/// Source: Belady, *A study of replacement algorithms for a virtual-storage computer* (IBM
/// Systems Journal 1966).
///
/// ```
/// use plimsoll_cache::policy::belady;
///
/// let loops: Vec<(u64, u32)> = (0..30).map(|access| (access % 3, 1)).collect();
/// // LRU never hits here; clairvoyance keeps one key and hits it on every further round.
/// assert_eq!(belady(&loops, 1).hits, 9);
/// ```
pub fn belady(accesses: &[(u64, u32)], capacity: u64) -> Outcome {
    let next = next_uses(accesses);
    let mut outcome = Outcome::default();
    // The next use and weight of what is held, and the same by next use; entries of the heap
    // that the map does not confirm are stale.
    let mut held: HashMap<u64, (usize, u32), Spread> = HashMap::default();
    let mut latest: BinaryHeap<(usize, u64)> = BinaryHeap::new();
    let mut weight_held = 0_u64;
    for (now, (key, weight)) in accesses.iter().enumerate() {
        let hit = held.insert(*key, (next[now], *weight));
        if let Some((_, before)) = hit {
            weight_held -= u64::from(before);
        }
        weight_held += u64::from(*weight);
        outcome.count(hit.is_some(), *weight);
        latest.push((next[now], *key));
        while weight_held > capacity {
            let Some((at, victim)) = latest.pop() else { break };
            if held.get(&victim).is_some_and(|(due, _)| *due == at)
                && let Some((_, freed)) = held.remove(&victim)
            {
                weight_held -= u64::from(freed);
            }
        }
    }
    outcome
}

/// For each access, when the same key is asked for next.
fn next_uses(accesses: &[(u64, u32)]) -> Vec<usize> {
    let mut last: HashMap<u64, usize, Spread> = HashMap::default();
    let mut next = vec![NEVER; accesses.len()];
    for (at, (key, _)) in accesses.iter().enumerate().rev() {
        if let Some(later) = last.insert(*key, at) {
            next[at] = later;
        }
    }
    next
}

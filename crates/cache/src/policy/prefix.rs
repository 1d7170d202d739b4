//! Blocks of prefixes, each worth something only while all before it are there.

use super::table::{ListId, Place, Table};

const SEEN_ONCE: ListId = 0;
const SEEN_AGAIN: ListId = 1;

/// Which blocks of prefixes (of prompts, as key-value blocks of an engine) stay.
///
/// A block's name is taken to stand for all that comes before it too, as engines hash them; so it
/// has one parent. A request uses its blocks back to front, which leaves every block behind its
/// parent in the order of use: the one given up is always the last of its prefix, and no block
/// stays whose parent has gone.
///
/// Source: Kwon et al., *Efficient Memory Management for Large Language Model Serving with
/// `PagedAttention`* (SOSP 2023), on blocks; Zheng et al., *`SGLang`* (`NeurIPS` 2024), on giving up
/// leaves first; Karedla, Love, Wherry, *Caching Strategies to Improve Disk System Performance*
/// (IEEE Computer 1994), on the two segments.
///
/// ```
/// use plimsoll_cache::policy::PrefixBlocks;
///
/// let mut blocks = PrefixBlocks::new(4);
/// assert_eq!(blocks.request(&[1, 2, 3]), 0);
/// assert_eq!(blocks.request(&[1, 2, 9]), 2);
/// assert_eq!(blocks.request(&[5]), 0);
/// // The last block of the first request went, and nothing before it.
/// assert_eq!(blocks.request(&[1, 2, 3]), 2);
/// ```
#[derive(Clone, Debug)]
pub struct PrefixBlocks {
    table: Table<()>,
    again: u64,
}

impl PrefixBlocks {
    /// Room for `capacity` blocks: least recently used, the last of a prefix first.
    pub fn new(capacity: u64) -> Self {
        Self::with_share(capacity, 0.0)
    }

    /// As [`new`](Self::new), with `share` (0 to 1) of the capacity for blocks that more than one
    /// request had: they are given up after the others. It serves a cache that is very small for
    /// its traffic, or a flood of prompts that nobody repeats, and harms one that sees its
    /// conversations again: on recorded conversations 0.8 hits more of the blocks with room for a
    /// hundredth of them, and fewer from a twentieth on.
    pub fn with_share(capacity: u64, share: f64) -> Self {
        let again = (capacity as f64 * share.clamp(0.0, 1.0)) as u64;
        Self { table: Table::new(capacity), again }
    }

    /// How many blocks there are.
    pub fn len(&self) -> usize {
        self.table.resident_len()
    }

    /// True when there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// True when `block` is there. Not a use.
    pub fn contains(&self, block: u64) -> bool {
        self.table.find(block).is_some()
    }

    /// How many of the first `blocks` are there, up to the first that is not.
    pub fn usable(&self, blocks: &[u64]) -> usize {
        blocks.iter().take_while(|block| self.contains(**block)).count()
    }

    /// Uses the blocks of a request, the first of its prompt first, and says how many of them were
    /// [`usable`](Self::usable). The others are put in, as far as the capacity goes.
    pub fn request(&mut self, blocks: &[u64]) -> usize {
        let usable = self.usable(blocks);
        let most = usize::try_from(self.table.capacity()).unwrap_or(usize::MAX);
        for block in blocks.iter().take(most).rev() {
            self.table.tick();
            match self.table.find(*block) {
                Some(place) => self.again(place),
                None => {
                    self.table.push_front(SEEN_ONCE, *block, 1, 1, ());
                }
            }
        }
        self.settle();
        usable
    }

    fn again(&mut self, place: Place) {
        let list = if self.again > 0 { SEEN_AGAIN } else { SEEN_ONCE };
        self.table.move_to_front(list, place);
    }

    fn settle(&mut self) {
        while self.table.list_weight(SEEN_AGAIN) > self.again
            && let Some(oldest) = self.table.back(SEEN_AGAIN)
        {
            self.table.move_to_front(SEEN_ONCE, oldest);
        }
        while self.table.resident_weight() > self.table.capacity() {
            let Some(oldest) = self.table.back(SEEN_ONCE).or_else(|| self.table.back(SEEN_AGAIN))
            else {
                break;
            };
            self.table.remove(oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    #[test]
    fn a_prompt_longer_than_the_cache_leaves_its_beginning() {
        let mut blocks = PrefixBlocks::new(3);
        assert_eq!(blocks.request(&[1, 2, 3, 4, 5]), 0);
        assert_eq!((blocks.usable(&[1, 2, 3, 4, 5]), blocks.len()), (3, 3));
    }

    #[test]
    fn what_requests_share_outlives_a_flood_of_others() {
        let mut blocks = PrefixBlocks::with_share(20, 0.8);
        for request in 0..100 {
            blocks.request(&[1, 2, 3, 1000 + request]);
            blocks.request(&(0..10).map(|at| 10_000 + request * 10 + at).collect::<Vec<_>>());
        }
        assert_eq!(blocks.usable(&[1, 2, 3]), 3);
    }

    proptest! {
        #[test]
        fn no_block_stays_without_its_parent(
            // A request is a path in a tree of four children each; blocks are named by their path.
            requests in prop::collection::vec(prop::collection::vec(0..4_u64, 1..8), 1..120),
            capacity in 0..24_u64,
            share in 0.0..1.0_f64,
        ) {
            let mut blocks = PrefixBlocks::with_share(capacity, share);
            let mut parents: HashMap<u64, Option<u64>> = HashMap::new();
            for request in requests {
                let mut named = Vec::new();
                for turn in request {
                    let parent = named.last().copied();
                    let name = parent.map_or(turn + 1, |parent: u64| parent * 5 + turn + 1);
                    parents.insert(name, parent);
                    named.push(name);
                }
                let before = blocks.usable(&named);
                prop_assert_eq!(blocks.request(&named), before);
                prop_assert!(blocks.len() as u64 <= capacity);
                let room = capacity as usize - (capacity as f64 * share) as usize;
                prop_assert!(blocks.usable(&named) >= named.len().min(room));
                for (block, parent) in &parents {
                    if let Some(parent) = parent.filter(|_| blocks.contains(*block)) {
                        prop_assert!(blocks.contains(parent), "{} without {}", block, parent);
                    }
                }
            }
        }
    }
}

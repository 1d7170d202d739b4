//! Consistent hashing with bounded loads (Mirrokni, Thorup and Zadimoghaddam, SODA 2018), by
//! rendezvous (Thaler and Ravishankar, 1998): a key goes to the backend with the highest hash of
//! both, or, where that has more than its share, to the next highest.

use plimsoll_core_types::Timestamp;

use super::{Candidate, Dice, Policy};
use crate::balance::Work;

/// How much more than the mean load a backend may have.
const BOUND: f64 = 1.25;

/// The same backend for the same key, as long as it has at most a quarter more than the mean in
/// progress. Work without a key goes anywhere. Looks at all backends each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct BoundedHash;

fn hash(key: u64, candidate: &Candidate) -> u64 {
    let mut mixed = key ^ candidate.id.get().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed = (mixed ^ (mixed >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

impl Policy for BoundedHash {
    fn name(&self) -> &'static str {
        "bounded-hash"
    }

    fn pick(&mut self, open: &[Candidate], work: &Work, random: &mut Dice, _: Timestamp) -> usize {
        let Some(key) = work.key() else { return random.below(open.len()) };
        let slots: usize = open.iter().map(|open| open.slots).sum();
        let in_progress: usize = open.iter().map(|open| open.in_progress).sum();
        // The share is rounded up, so somebody is always below it.
        let each = BOUND * (in_progress + 1) as f64 / slots.max(1) as f64;
        let below =
            |open: &Candidate| (open.in_progress as f64) < (each * open.slots as f64).ceil();
        let candidates = open.iter().enumerate().filter(|(_, open)| below(open));
        candidates.max_by_key(|(_, open)| hash(key, open)).map_or(0, |(index, _)| index)
    }
}

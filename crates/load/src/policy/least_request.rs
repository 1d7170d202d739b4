//! The less loaded of two at random (Mitzenmacher, *The power of two choices in randomized load
//! balancing*, 2001), by requests in progress for each slot.

use plimsoll_core_types::Timestamp;

use super::{Candidate, Dice, Policy};
use crate::balance::Work;

/// Of two backends at random, the one with less in progress for each of its slots.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastRequest;

/// Whether `a` has less in progress for each slot than `b`.
pub(super) fn is_less_loaded(a: &Candidate, b: &Candidate) -> bool {
    (a.in_progress as u128 * b.slots as u128) < (b.in_progress as u128 * a.slots as u128)
}

impl Policy for LeastRequest {
    fn name(&self) -> &'static str {
        "p2c-least-request"
    }

    fn pick(&mut self, open: &[Candidate], _: &Work, random: &mut Dice, _: Timestamp) -> usize {
        let (a, b) = random.two_below(open.len());
        if is_less_loaded(&open[b], &open[a]) { b } else { a }
    }
}

//! Policies that look at nothing: in turn, and at random.

use plimsoll_core_types::Timestamp;

use super::{Candidate, Dice, Policy};
use crate::balance::Work;

/// One after the other. Even where requests and backends are equal, unstable under load where a
/// backend is slower than its share.
#[derive(Clone, Debug, Default)]
pub struct RoundRobin {
    next: usize,
}

impl Policy for RoundRobin {
    fn name(&self) -> &'static str {
        "round-robin"
    }

    fn pick(&mut self, open: &[Candidate], _: &Work, _: &mut Dice, _: Timestamp) -> usize {
        self.next = self.next.wrapping_add(1);
        self.next % open.len()
    }
}

/// Anyone, with equal probability.
#[derive(Clone, Copy, Debug, Default)]
pub struct RandomChoice;

impl Policy for RandomChoice {
    fn name(&self) -> &'static str {
        "random"
    }

    fn pick(&mut self, open: &[Candidate], _: &Work, random: &mut Dice, _: Timestamp) -> usize {
        random.below(open.len())
    }
}

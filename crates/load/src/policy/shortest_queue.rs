//! Join the shortest queue (Winston, *Optimality of the shortest line discipline*, 1977): exact
//! where one balancer sees everything, and blind to speed and size.

use plimsoll_core_types::Timestamp;

use super::least_request::is_less_loaded;
use super::{Candidate, Dice, Policy};
use crate::balance::Work;

/// Of all backends, the one with the least in progress for each slot; any of those that are
/// equal. Looks at all of them each time.
#[derive(Clone, Copy, Debug, Default)]
pub struct ShortestQueue;

impl Policy for ShortestQueue {
    fn name(&self) -> &'static str {
        "shortest-queue"
    }

    fn pick(&mut self, open: &[Candidate], _: &Work, random: &mut Dice, _: Timestamp) -> usize {
        let (mut best, mut equal) = (0, 1);
        for index in 1..open.len() {
            if is_less_loaded(&open[index], &open[best]) {
                (best, equal) = (index, 1);
            } else if !is_less_loaded(&open[best], &open[index]) {
                equal += 1;
                if random.below(equal) == 0 {
                    best = index;
                }
            }
        }
        best
    }
}

//! Reuse distances: how many different keys were asked for since.
//!
//! Source: Bennett and Kruskal, *LRU Stack Processing* (IBM Journal of R&D 1975), with a Fenwick
//! tree (Software: Practice and Experience 1994) over the times of last use.

/// Sums of prefixes that can be changed, in logarithmic time.
#[derive(Clone, Debug)]
pub(super) struct Fenwick(Vec<i32>);

impl Fenwick {
    pub(super) fn new(len: usize) -> Self {
        Self(vec![0; len])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn add(&mut self, at: usize, change: i32) {
        let mut at = at;
        while let Some(sum) = self.0.get_mut(at) {
            *sum += change;
            at |= at + 1;
        }
    }

    /// The sum before `end`.
    fn before(&self, end: usize) -> i32 {
        let (mut end, mut sum) = (end, 0);
        while end > 0 {
            sum += self.0[end - 1];
            end &= end - 1;
        }
        sum
    }

    pub(super) fn between(&self, start: usize, end: usize) -> i32 {
        self.before(end) - self.before(start)
    }
}

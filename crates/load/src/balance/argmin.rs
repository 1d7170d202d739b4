//! The exact argmin of many scores, kept up to date at every write.
//!
//! A winner tree (Knuth, *The Art of Computer Programming*, volume 3, 5.4.1): each inner node
//! repeats the smaller of its two children, so the root is the argmin. A write walks one path, and
//! stops where a node does not change; a read is one load. Chosen over a flat scan (cost grows
//! with the number of scores) and over two levels of 32, whose write scans 64 words where this
//! one compares 10.
//!
//! A key packs the score with a mark of age and its place, so that one comparison of integers
//! orders by score, then by who was written longest ago, and the winner says where it is.

/// A score in nanoseconds: not negative, not NaN; [`Score::NEVER`] is not to be picked.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Score(f32);

impl Score {
    /// Sorts behind every other.
    pub(crate) const NEVER: Self = Self(f32::INFINITY);

    /// The nearest score to `nanos`; NaN is [`Self::NEVER`], so that nonsense attracts nothing.
    pub(crate) fn new(nanos: f64) -> Self {
        if nanos.is_nan() { Self::NEVER } else { Self((nanos as f32).clamp(0.0, f32::MAX)) }
    }
}

const EMPTY: u64 = Argmin::EMPTY;

/// Positive floats order as their bits do.
fn key(score: Score, age: u16, place: usize) -> u64 {
    if score == Score::NEVER {
        return EMPTY;
    }
    u64::from(score.0.to_bits()) << 32 | u64::from(age) << 16 | place as u64
}

/// The scores of up to 65536 places and their argmin.
#[derive(Clone, Debug)]
pub(crate) struct Argmin {
    /// Node 1 is the root; the children of node `n` are `2n` and `2n + 1`; the leaves are the
    /// second half.
    nodes: Vec<u64>,
}

impl Argmin {
    /// The root where no place may be picked; sorts behind every key of a place.
    pub(crate) const EMPTY: u64 = u64::MAX;

    /// The most places there can be.
    pub(crate) const MOST: usize = 1 << 16;

    /// No scores, with room for one.
    pub(crate) fn new() -> Self {
        Self { nodes: vec![EMPTY; 2] }
    }

    fn width(&self) -> usize {
        self.nodes.len() / 2
    }

    /// Makes room for `places`, which must be at most [`Self::MOST`].
    pub(crate) fn reserve(&mut self, places: usize) {
        let old = self.width();
        if places <= old {
            return;
        }
        let width = places.next_power_of_two().min(Self::MOST);
        let mut nodes = vec![EMPTY; 2 * width];
        nodes[width..width + old].copy_from_slice(&self.nodes[old..]);
        for node in (1..width).rev() {
            nodes[node] = nodes[2 * node].min(nodes[2 * node + 1]);
        }
        self.nodes = nodes;
    }

    /// Sets the score of `place`, for which there must be room. `age` orders equal scores.
    #[inline]
    pub(crate) fn set(&mut self, place: usize, score: Score, age: u16) {
        let mut node = self.width() + place;
        let Some(leaf) = self.nodes.get_mut(node) else { return };
        let mut winner = key(score, age, place);
        if *leaf == winner {
            return;
        }
        *leaf = winner;
        while node > 1 {
            winner = winner.min(self.nodes[node ^ 1]);
            node /= 2;
            if self.nodes[node] == winner {
                return;
            }
            self.nodes[node] = winner;
        }
    }

    /// The packed argmin, for [`place`](Self::place) and [`nanos`](Self::nanos).
    #[inline]
    pub(crate) fn root(&self) -> u64 {
        self.nodes.get(1).copied().unwrap_or(EMPTY)
    }

    /// The leaf of `place`, and the smallest of all, by a plain scan.
    #[cfg(test)]
    pub(crate) fn plain(&self, place: usize) -> (u64, u64) {
        let leaves = &self.nodes[self.width()..];
        (leaves[place], leaves.iter().copied().min().unwrap_or(EMPTY))
    }

    /// The place that a root names; none where no place may be picked.
    #[inline]
    pub(crate) fn place(root: u64) -> Option<usize> {
        (root != EMPTY).then_some((root & 0xffff) as usize)
    }

    /// The score that a root names.
    #[inline]
    pub(crate) fn nanos(root: u64) -> f32 {
        f32::from_bits((root >> 32) as u32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nonsense_attracts_nothing() {
        let mut argmin = Argmin::new();
        argmin.reserve(2);
        argmin.set(0, Score::new(f64::NAN), 0);
        assert_eq!(Argmin::place(argmin.root()), None);
        argmin.set(1, Score::new(f64::INFINITY), 0);
        assert_eq!(Argmin::place(argmin.root()), Some(1));
        argmin.set(0, Score::new(-1.0), 0);
        let root = argmin.root();
        assert_eq!((Argmin::place(root), Argmin::nanos(root)), (Some(0), 0.0));
    }

    #[test]
    fn equal_scores_go_to_who_waited_longest() {
        let mut argmin = Argmin::new();
        argmin.reserve(3);
        for (place, age) in [(0, 9), (1, 3), (2, 5)] {
            argmin.set(place, Score::new(7.0), age);
        }
        assert_eq!(Argmin::place(argmin.root()), Some(1));
    }

    proptest! {
        #[test]
        fn the_argmin_is_that_of_a_plain_scan(
            writes in prop::collection::vec((0_usize..100, prop::option::of(0_u32..50), any::<u16>()), 1..200)
        ) {
            let mut argmin = Argmin::new();
            let mut plain = [EMPTY; 100];
            for (place, score, age) in writes {
                argmin.reserve(place + 1);
                let score = score.map_or(Score::NEVER, |score| Score::new(f64::from(score)));
                argmin.set(place, score, age);
                plain[place] = key(score, age, place);
                prop_assert_eq!(argmin.root(), *plain.iter().min().unwrap());
            }
        }
    }
}

//! The exact argmin for a request of any size.
//!
//! When a backend would be done depends on the request's own size over its pace, so the order by a
//! typical request is not the order by this one: a large request is worth waiting for a fast
//! backend, a small one is not. What a backend adds is linear in the size, `base + size × pace`, so
//! a block's smallest base and smallest pace bound all of its places from below (branch and bound:
//! Land and Doig, 1960): most blocks are passed over, and what remains is a scan of plain floats.

/// Places in a block.
const BLOCK: usize = 32;

/// What is known of a block's places, at the smallest.
#[derive(Clone, Copy, Debug)]
struct Bound {
    idle: f32,
    busy: f32,
    pace: f32,
}

const NOTHING: Bound = Bound { idle: f32::INFINITY, busy: f32::INFINITY, pace: f32::MAX };

/// When a place could begin with a request, and how long it needs for a nanosecond of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Line {
    /// Nanoseconds from any dispatch; infinite for a place that is full.
    pub(super) idle: f32,
    /// Nanoseconds from the epoch, for one that is.
    pub(super) busy: f32,
    pub(super) pace: f32,
}

impl Line {
    /// Takes no request. The pace is finite, as nothing times it must be a number.
    pub(super) const NEVER: Self =
        Self { idle: f32::INFINITY, busy: f32::INFINITY, pace: f32::MAX };
}

/// The lines of all places. Bounds are made anew when somebody asks, so that a write costs three
/// stores and a mark.
#[derive(Clone, Debug, Default)]
pub(super) struct Lines {
    idle: Vec<f32>,
    busy: Vec<f32>,
    pace: Vec<f32>,
    bounds: Vec<Bound>,
    stale: Vec<bool>,
}

impl Lines {
    /// Makes room for `places`.
    pub(super) fn reserve(&mut self, places: usize) {
        let blocks = places.div_ceil(BLOCK).max(self.bounds.len());
        self.idle.resize(blocks * BLOCK, f32::INFINITY);
        self.busy.resize(blocks * BLOCK, f32::INFINITY);
        self.pace.resize(blocks * BLOCK, f32::MAX);
        self.bounds.resize(blocks, NOTHING);
        self.stale.resize(blocks, false);
    }

    /// Sets the line of `place`, for which there must be room.
    pub(super) fn set(&mut self, place: usize, line: Line) {
        if place < self.pace.len() {
            self.idle[place] = line.idle;
            self.busy[place] = line.busy;
            self.pace[place] = line.pace;
            self.stale[place / BLOCK] = true;
        }
    }

    fn freshen(&mut self) {
        for (block, stale) in self.stale.iter_mut().enumerate().filter(|(_, stale)| **stale) {
            *stale = false;
            let places = block * BLOCK..(block + 1) * BLOCK;
            self.bounds[block] = Bound {
                idle: smallest(&self.idle[places.clone()]),
                busy: smallest(&self.busy[places.clone()]),
                pace: smallest(&self.pace[places]),
            };
        }
    }

    /// The place that is done first with `size` nanoseconds of work, `now` nanoseconds after the
    /// epoch, where one is done before `best`.
    pub(super) fn first(&mut self, size: f32, now: f32, best: f32) -> Option<usize> {
        self.freshen();
        let mut found = (best, None);
        for (block, bound) in self.bounds.iter().enumerate() {
            let least = size * bound.pace;
            let places = block * BLOCK..(block + 1) * BLOCK;
            if bound.idle + least < found.0 {
                found = self.scan(&self.idle, places.clone(), size, 0.0, found);
            }
            if bound.busy - now + least < found.0 {
                found = self.scan(&self.busy, places, size, now, found);
            }
        }
        found.1
    }

    /// Visits the places that are done by `bound` with `size` nanoseconds of work, `now`
    /// nanoseconds after the epoch.
    pub(super) fn near(&mut self, size: f32, now: f32, bound: f32, mut visit: impl FnMut(usize)) {
        self.freshen();
        for (block, least) in self.bounds.iter().enumerate() {
            let own = size * least.pace;
            if least.idle + own > bound && least.busy - now + own > bound {
                continue;
            }
            for place in block * BLOCK..(block + 1) * BLOCK {
                let own = size * self.pace[place];
                if self.idle[place] + own <= bound || self.busy[place] - now + own <= bound {
                    visit(place);
                }
            }
        }
    }

    fn scan(
        &self,
        bases: &[f32],
        places: std::ops::Range<usize>,
        size: f32,
        now: f32,
        found: (f32, Option<usize>),
    ) -> (f32, Option<usize>) {
        let first = places.start;
        let lines = bases[places.clone()].iter().zip(&self.pace[places]);
        let mut done = [0.0_f32; BLOCK];
        for (done, (base, pace)) in done.iter_mut().zip(lines) {
            *done = base - now + size * pace;
        }
        let least = smallest(&done);
        if least >= found.0 {
            return found;
        }
        let at = done.iter().position(|done| *done == least);
        at.map_or(found, |at| (least, Some(first + at)))
    }
}

/// The smallest of `floats`, none of which is NaN.
fn smallest(floats: &[f32]) -> f32 {
    // Four at a time, for which there are instructions.
    let mut least = [f32::INFINITY; 4];
    for four in floats.chunks_exact(4) {
        for (least, float) in least.iter_mut().zip(four) {
            *least = if *float < *least { *float } else { *least };
        }
    }
    least.into_iter().fold(f32::INFINITY, f32::min)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn line() -> impl Strategy<Value = Line> {
        let base = (0_u16..500).prop_map(f32::from);
        let pace = (1_u16..40).prop_map(|tenths| f32::from(tenths) / 10.0);
        prop_oneof![
            3 => (base.clone(), pace.clone()).prop_map(|(idle, pace)| Line { idle, busy: f32::INFINITY, pace }),
            3 => (base, pace).prop_map(|(busy, pace)| Line { idle: f32::INFINITY, busy, pace }),
            1 => Just(Line::NEVER),
        ]
    }

    fn done(line: &Line, size: f32, now: f32) -> f32 {
        (line.idle + size * line.pace).min(line.busy - now + size * line.pace)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_first_is_that_of_a_plain_scan(
            writes in prop::collection::vec((0_usize..150, line(), 0_u16..300, 0_u16..100), 1..200)
        ) {
            let mut lines = Lines::default();
            let mut plain = vec![Line::NEVER; 150];
            for (place, line, size, now) in writes {
                lines.reserve(place + 1);
                lines.set(place, line);
                plain[place] = line;
                let (size, now) = (f32::from(size), f32::from(now));
                let expected = plain.iter().map(|line| done(line, size, now)).fold(f32::INFINITY, f32::min);
                let found = lines.first(size, now, f32::INFINITY);
                let got = found.map_or(f32::INFINITY, |place| done(&plain[place], size, now));
                prop_assert_eq!(got, expected);
                prop_assert_eq!(lines.first(size, now, expected), None, "nothing is better than the best");
                let mut near = Vec::new();
                lines.near(size, now, 250.0, |place| near.push(place));
                let within = |place: &usize| done(&plain[*place], size, now) <= 250.0;
                prop_assert_eq!(near, (0..150).filter(within).collect::<Vec<_>>());
            }
        }
    }
}

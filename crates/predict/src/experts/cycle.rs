//! Where steps are in the season and in the week: counted, and divided by a multiplication.
//!
//! Each sample asks this a dozen times; a division of 64 bits takes longer than the expert that
//! asks.

use serde::{Deserialize, Serialize};

/// Days of a week.
const DAYS: u32 = 7;

/// A season, and where the step that comes next is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cycle {
    season: u32,
    /// 2^32 / season, rounded up.
    reciprocal: u32,
    phase: u32,
    /// Of the week, of which each season is a day.
    day: u32,
}

/// A step's place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Spot {
    /// Steps since the season began.
    pub(crate) phase: usize,
    /// Seasons since the week began.
    pub(crate) day: usize,
}

impl Cycle {
    /// A season of so many steps (2 to 8192), where `next` is the step that comes next.
    pub(crate) const fn new(season: usize, next: u64) -> Self {
        let long = season as u64;
        Self {
            season: season as u32,
            reciprocal: (1_u64 << 32).div_ceil(long) as u32,
            phase: (next % long) as u32,
            day: (next / long % DAYS as u64) as u32,
        }
    }

    pub(crate) const fn season(self) -> usize {
        self.season as usize
    }

    /// Lets one step pass.
    #[inline(always)]
    pub(crate) const fn advance(&mut self) {
        self.phase += 1;
        if self.phase == self.season {
            self.phase = 0;
            self.day = if self.day + 1 == DAYS { 0 } else { self.day + 1 };
        }
    }

    /// The place of the step `ahead` (at least one) of the last one.
    #[inline(always)]
    pub(crate) const fn at(self, ahead: usize) -> Spot {
        let season = self.season as usize;
        let (phase, day) = (self.phase as usize + (ahead - 1), self.day as usize);
        if phase < season {
            return Spot { phase, day };
        }
        let (phase, day) = if phase < 2 * season {
            (phase - season, day + 1)
        } else {
            (phase % season, day + phase / season)
        };
        Spot { phase, day: day % DAYS as usize }
    }

    /// Which of `parts` (up to 48) equal parts of the season a place is in; its phase where there
    /// are no more phases than that.
    #[inline(always)]
    pub(crate) const fn part(self, spot: Spot, parts: usize) -> usize {
        if self.season as usize <= parts { spot.phase } else { self.part_of(spot.phase, parts) }
    }

    /// The same without regard to how many phases there are: `phase * parts / season`. Exact, since
    /// the product with the season is below 2^32.
    #[inline(always)]
    pub(crate) const fn part_of(self, phase: usize, parts: usize) -> usize {
        (((phase * parts) as u64 * self.reciprocal as u64) >> 32) as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counted_is_divided() {
        for season in [2, 3, 7, 24, 47, 48, 49, 144, 287, 288, 1440, 8191, 8192] {
            let begun = 3 * season as u64 + 1;
            let mut cycle = Cycle::new(season, begun);
            for step in begun..begun + 9 * season as u64 {
                assert_eq!(cycle, Cycle::new(season, step));
                for ahead in [1, 4, season, 5 * season + 1] {
                    let then = step as usize + ahead - 1;
                    let spot = cycle.at(ahead);
                    assert_eq!((spot.phase, spot.day), (then % season, then / season % 7));
                }
                cycle.advance();
            }
            for phase in 0..season {
                assert_eq!(cycle.part_of(phase, 48), phase * 48 / season, "{phase} of {season}");
                assert_eq!(cycle.part_of(phase, 16), phase * 16 / season, "{phase} of {season}");
            }
        }
    }
}

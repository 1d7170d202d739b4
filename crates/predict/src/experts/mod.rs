//! What the experts know, and what they say of a step ahead.

mod cycle;
mod level;
mod seasonal;

use serde::{Deserialize, Serialize};

pub(crate) use cycle::{Cycle, Spot};
pub(crate) use level::Levels;
pub(crate) use seasonal::Seasonal;

/// How many experts there are: three registers of four.
pub(crate) const COUNT: usize = 12;
/// One value of each expert.
pub(crate) type Predictions = [f32; COUNT];

/// Which expert is where. The first ones are those that the stack combines.
pub(crate) mod index {
    pub(crate) const SLOW: usize = 0;
    pub(crate) const MEDIAN: usize = 1;
    pub(crate) const LONG: usize = 2;
    pub(crate) const WINTERS: usize = 3;
    pub(crate) const SMOOTH: usize = 4;
    pub(crate) const WEEKLY: usize = 5;
    pub(crate) const HOLT: usize = 6;
    pub(crate) const SEASONAL_NAIVE: usize = 7;
    pub(crate) const PROFILE: usize = 8;
    pub(crate) const CYCLE: usize = 9;
    pub(crate) const STACK: usize = 10;
    pub(crate) const LAST: usize = 11;

    /// Those that need a whole season.
    pub(crate) const OF_SEASON: [usize; 5] = [SEASONAL_NAIVE, PROFILE, WINTERS, WEEKLY, SMOOTH];

    pub(crate) const NAMES: [&str; super::COUNT] = [
        "slow",
        "median",
        "long",
        "winters",
        "smooth",
        "weekly",
        "holt",
        "seasonal_naive",
        "profile",
        "cycle",
        "stack",
        "last",
    ];
}

/// How far ahead something is said, and what that leaves of a deviation and adds to a trend.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Reach {
    pub(crate) ahead: usize,
    /// Of a deviation from the profile, this share is left.
    left: f32,
    /// The sum of damped trends.
    damped: f32,
}

impl Reach {
    pub(crate) fn new(ahead: usize) -> Self {
        Self { ahead, left: Seasonal::left(ahead), damped: Levels::damped(ahead) }
    }
}

/// All experts of one series.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Experts {
    pub(crate) levels: Levels,
    pub(crate) seasonal: Seasonal,
}

impl Experts {
    pub(crate) fn new(longest: usize, season: Option<usize>, week: bool) -> Self {
        Self { levels: Levels::default(), seasonal: Seasonal::new(longest, season, week) }
    }

    /// Learns the value of the next step; `filled` stands in for it where there is none.
    #[inline(always)]
    pub(crate) fn learn(&mut self, value: Option<f32>, filled: f32) {
        if let Some(value) = value {
            self.levels.learn(value, self.seasonal.season().unwrap_or(self.seasonal.longest()));
        }
        self.seasonal.learn(value, filled);
    }

    /// What each says of the step so far ahead of the last one; the stack's place is the last value.
    #[inline(always)]
    pub(crate) fn predict(&self, reach: Reach) -> Predictions {
        let mut said = [0.0; COUNT];
        self.levels.predict(reach.damped, &mut said);
        self.seasonal.predict(reach.ahead, reach.left, &mut said);
        said[index::STACK] = said[index::LAST];
        said
    }
}

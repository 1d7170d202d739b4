//! Calibrated quantiles around a point: adaptive conformal tails.
//!
//! For each level the distance of its quantile from the point is tracked in units of a moving
//! scale: a value beyond it widens it, one within narrows it, in the proportion that balances at
//! the level's own probability (adaptive conformal inference, Gibbs & Candès, 2021; the quantile
//! tracker of Angelopoulos, Candès & Tibshirani, "Conformal PID control", 2023). Coverage in the
//! long run then holds whatever the series does. Steps are relative, so that a tail of any weight
//! is found in about as many misses.
//!
//! Errors of forecasts farther ahead come in runs, and are known late. A tracker that is judged by
//! its present distance sees a run's first error only and believes the rest covered. So the ends of
//! the 95% interval are judged by whether the interval that was *given out* held. At the nearest
//! horizons each miss moves its end at once. Farther away the misses more than there should have
//! been are summed over both ends, and the ends are put at the level that works the sum off: an
//! integral control, with an account of what is on its way, between bounds that keep the interval
//! sensible.

use std::f32::consts::{LN_2, LN_10};

use plimsoll_core_types::Quantiles;
use serde::{Deserialize, Serialize};

use crate::check::{self, Checked};
use crate::lanes::{Four, array, each, twelve};
use crate::num::{larger, ln_near, share, smaller};

pub(crate) const COUNT: usize = Quantiles::LEVELS.len();
const MEDIAN: usize = COUNT / 2;
/// The places of the 95% interval's ends, each the second of four.
pub(crate) const LOW: usize = 1;
pub(crate) const HIGH: usize = COUNT - 2;
const _: () = assert!(LOW % 4 == 1 && HIGH % 4 == 1 && HIGH / 4 == 2);
/// Distances of a Laplace distribution's quantiles in units of its mean deviation: where all
/// tails begin.
pub(crate) const LAPLACE: [f32; COUNT] =
    [3.91, 3.0, 2.3, 1.61, 0.69, 0.0, 0.69, 1.61, 2.3, 3.0, 3.91];
/// The levels, filled up to three registers of four.
const LANES: usize = 12;
type Lanes = [f32; LANES];
/// Which way each level lies from the point.
const SIDE: Lanes = [-1.0, -1.0, -1.0, -1.0, -1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.0];
/// The same for what is said, where the median's distance has a sign of its own.
const TOWARDS: Lanes = {
    let mut towards = SIDE;
    towards[MEDIAN] = 1.0;
    towards
};
/// How often a value is to lie beyond each level.
const SHARE: Lanes = {
    let mut share = [0.5; LANES];
    let mut k = 0;
    while k < COUNT {
        let level = Quantiles::LEVELS[k];
        share[k] = if k < MEDIAN { level as f32 } else { (1.0 - level) as f32 };
        k += 1;
    }
    share
};
/// More misses than can ever be owed or planned, where no more than 8192 forecasts wait.
const MOST: f32 = 8192.0;
const NARROWEST: f32 = 0.005;
const WIDEST: f32 = 200.0;
/// The median is corrected by no more than this.
const MOST_BIAS: f32 = 2.0;

/// How fast the ends of the interval that was given out move, per error.
const GIVEN: f32 = 0.16;
/// How fast levels are tracked at far horizons, per error: about the last fifty count, and the
/// first ones more.
const FAR: f32 = 0.015;
const FIRST: f32 = 20.0;

/// How often a value is to lie beyond either end.
const END: f32 = 0.025;
/// The ends are steered from the level of one in a thousand to that of one in ten.
const RAREST: f32 = 0.001;
const OFTENEST: f32 = 0.1;
/// What is owed is worked off over about so many forecasts.
const OVER: f32 = 50.0;
/// Misses that it would take more than so many steps to work off are forgiven.
const FORGIVEN: f32 = 2500.0;
/// The tracked levels that the ends lie between or beyond, the outermost first, as distances from
/// the end of the levels; and the logarithms of how often a value is to lie beyond them.
const OUTER: [usize; 3] = [0, 2, 3];
const LN_OUTER: [f32; 3] = [-2.0 * LN_10, -(LN_10 + LN_2), -LN_10];

/// The first horizon whose ends are steered, and the first at which the median is not corrected.
const STEERED: usize = 2;
const NO_BIAS: usize = 3;

/// How the ends of the 95% interval are moved.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
enum Ends {
    /// By each error, at this rate.
    Followed(f32),
    /// To the level that works off what is owed, where so many forecasts wait for their truth. No
    /// more misses than `most` are owed.
    Steered { waiting: f32, most: f32 },
}

/// How fast the trackers of one horizon move, per error.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Pace {
    /// Of all levels.
    tracked: f32,
    ends: Ends,
    /// Of the correction of the median; none at far horizons, where it would answer an error of
    /// long ago.
    bias: f32,
}

impl Pace {
    /// For the horizon in place `place`, `ahead` steps away, of which `waiting` forecasts wait for
    /// their truth.
    pub(crate) fn new(place: usize, ahead: usize, waiting: u32) -> Self {
        let waiting = waiting.max(1) as f32;
        // Misses are worked off by forecasts that hold, each of which makes up for what was due.
        let most = 2.0 * END * FORGIVEN * waiting / ahead as f32;
        let ends = Ends::Steered { waiting, most };
        if place >= NO_BIAS {
            return Self { tracked: FAR, ends, bias: 0.0 };
        }
        let ahead = ahead as f32;
        let bias = 0.015 / ahead.sqrt();
        if place >= STEERED {
            return Self { tracked: FAR, ends, bias };
        }
        Self { tracked: 0.15 / ahead, ends: Ends::Followed(GIVEN), bias }
    }
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Tails {
    /// Distance below (first half) or above the point; the middle is the signed bias.
    distance: Lanes,
    /// Mean absolute error.
    scale: f32,
    rounds: u32,
    /// How many more misses there were than there should have been, and how many more are on
    /// their way; of steered ends.
    owed: f32,
    planned: f32,
}

impl Tails {
    pub(crate) const fn new() -> Self {
        let mut distance = [1.0; LANES];
        let mut k = 0;
        while k < COUNT {
            distance[k] = LAPLACE[k];
            k += 1;
        }
        Self { distance, scale: 0.0, rounds: 0, owed: 0.0, planned: 0.0 }
    }

    pub(crate) fn check(&self) -> Checked {
        let (below, above) = (&self.distance[..MEDIAN], &self.distance[MEDIAN + 1..]);
        check::within("tails.distance", below, NARROWEST, WIDEST)?;
        check::within("tails.distance", above, NARROWEST, WIDEST)?;
        check::within("tails.distance", &[self.distance[MEDIAN]], -MOST_BIAS, MOST_BIAS)?;
        check::within("tails.owed", &[self.owed, self.planned], -MOST, MOST)?;
        check::sizes("tails.scale", &[self.scale])
    }

    pub(crate) const fn scale(&self) -> f32 {
        self.scale
    }

    /// Learns an error (truth less point) that was expected to be `factor` times the usual, and
    /// whether it was beyond the low and the high end that were given out.
    #[inline(always)]
    pub(crate) fn learn(&mut self, error: f32, factor: f32, missed: [bool; 2], pace: Pace) {
        self.rounds = self.rounds.saturating_add(1);
        if self.rounds > 1 {
            let normal = error / larger(self.scale * factor, f32::MIN_POSITIVE);
            self.track(normal, missed, pace);
        }
        self.scale += share(self.rounds, 0.01) * (error.abs() / factor - self.scale);
    }

    #[inline(always)]
    fn track(&mut self, normal: f32, missed: [bool; 2], pace: Pace) {
        let bias = self.distance[MEDIAN];
        let aside = if normal > bias { 0.5 * pace.bias } else { -0.5 * pace.bias };
        let (distance, side) = (twelve(&self.distance), twelve(&SIDE));
        let beyond = each(|part| (side[part] * normal).above(distance[part]));
        // The ends are judged by what was given out. Each is the second of its part.
        let [low, high] = missed.map(|missed| f32::from(u8::from(missed)));
        let end = |beyond: Four, missed: f32| {
            beyond * Four::new([1.0, 0.0, 1.0, 1.0]) + Four::new([0.0, missed, 0.0, 0.0])
        };
        let beyond = [end(beyond[0], low), beyond[1], end(beyond[2], high)];
        let (tracked, followed) = match pace.ends {
            Ends::Followed(rate) => (pace.tracked, rate),
            Ends::Steered { .. } => (larger(pace.tracked, 1.0 / (self.rounds as f32 + FIRST)), 0.0),
        };
        let outer = Four::new([tracked, followed, tracked, tracked]);
        let rate = [outer, Four::all(tracked), outer];
        let share = twelve(&SHARE);
        // The exponential to second order: in its logarithm, the distance is a sum of steps, which
        // for a bounded distance balance in the long run.
        let one = Four::all(1.0);
        self.distance = array(each(|part| {
            let by = rate[part] * (beyond[part] - share[part]);
            (distance[part] * (one + by * (one + by * 0.5))).cut(NARROWEST, WIDEST)
        }));
        self.distance[MEDIAN] = smaller(larger(bias + aside, -MOST_BIAS), MOST_BIAS);
        if let Ends::Steered { waiting, most } = pace.ends {
            self.steer(low + high, waiting, most);
        }
    }

    /// Puts the ends where what is owed is worked off.
    ///
    /// What is on its way is known but for its luck: intervals that were given out wider or
    /// narrower than the level itself will miss less or more often, and that must not be answered
    /// twice (Smith's predictor for a control loop with dead time, 1957). `planned` is their sum,
    /// each fading as if it waited for a time of exponential length.
    fn steer(&mut self, missed: f32, waiting: f32, most: f32) {
        // The first ones were given out before any truth was known.
        if self.rounds as f32 > waiting {
            let owed = self.owed + missed - 2.0 * END;
            self.owed = smaller(larger(owed, -most), most);
        }
        let level = END - 0.5 / OVER * (self.owed + self.planned);
        let level = smaller(larger(level, RAREST), OFTENEST);
        self.planned += 2.0 * (level - END) - self.planned / waiting;
        let ln = ln_near(level);
        let low = OUTER.map(|k| self.distance[k]);
        let high = OUTER.map(|k| self.distance[COUNT - 1 - k]);
        (self.distance[LOW], self.distance[HIGH]) = (between(low, ln), between(high, ln));
    }

    /// The distance of each level's quantile from the point, in the series' unit; negative below.
    #[inline(always)]
    pub(crate) fn offsets(&self, factor: f32) -> [f32; COUNT] {
        let unit = self.scale * factor;
        let (distance, towards) = (twelve(&self.distance), twelve(&TOWARDS));
        let all = array(each(|part| towards[part] * distance[part] * unit));
        std::array::from_fn(|k| all[k])
    }

    /// The two ends of the 95% interval alone.
    #[inline(always)]
    pub(crate) fn ends(&self, factor: f32) -> (f32, f32) {
        let unit = self.scale * factor;
        (-unit * self.distance[LOW], unit * self.distance[HIGH])
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale_by(&mut self, by: f32) {
        self.scale *= by;
    }

    /// The series has changed: the scale is learnt anew.
    pub(crate) fn doubt(&mut self) {
        self.rounds = self.rounds.min(20);
    }
}

/// The distance at the level of logarithm `ln`, where those of [`OUTER`] are known: by straight lines
/// over the logarithm, which are an exponential tail's.
fn between([outer, middle, inner]: [f32; 3], ln: f32) -> f32 {
    let (middle, outer) = (larger(middle, inner), larger(outer, larger(middle, inner)));
    let (from, to, place) = if ln < LN_OUTER[1] { (middle, outer, 1) } else { (inner, middle, 2) };
    let part = (LN_OUTER[place] - ln) / (LN_OUTER[place] - LN_OUTER[place - 1]);
    smaller(larger(from + part * (to - from), NARROWEST), WIDEST)
}

/// Levels may cross where one has just moved: those within the 95% interval and beyond it then give
/// way to its ends, which are what is steered to hold.
pub(crate) fn around_the_ends(mut offsets: [f32; COUNT]) -> [f32; COUNT] {
    let (low, high) = (offsets[LOW], larger(offsets[LOW], offsets[HIGH]));
    let (least, most) = (offsets[0], offsets[COUNT - 1]);
    for offset in &mut offsets {
        *offset = smaller(larger(*offset, low), high);
    }
    offsets[0] = smaller(least, low);
    offsets[COUNT - 1] = larger(most, high);
    offsets
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLACE: usize = 4;
    /// How many forecasts wait for their truth.
    const WAITING: usize = 17;

    /// Whether each interval held, of errors that are known [`WAITING`] rounds late.
    fn play(errors: impl Iterator<Item = f32>) -> Vec<bool> {
        let (mut tails, pace) = (Tails::new(), Pace::new(PLACE, 288, WAITING as u32));
        let mut waiting = std::collections::VecDeque::new();
        let mut held = Vec::new();
        for error in errors {
            waiting.push_back((error, tails.ends(1.0)));
            if waiting.len() <= WAITING {
                continue;
            }
            if let Some((error, (low, high))) = waiting.pop_front() {
                tails.learn(error, 1.0, [error < low, error > high], pace);
                assert!(tails.check().is_ok(), "{tails:?}");
                held.push((low..=high).contains(&error));
            }
        }
        held
    }

    fn share(held: &[bool]) -> f64 {
        held.iter().filter(|held| **held).count() as f64 / held.len() as f64
    }

    #[test]
    fn a_burst_of_misses_is_worked_off_and_not_answered_twice() {
        // Errors whose size no tracker can foresee: fifteen at once that are beyond all before.
        let errors = (0..1200_u32).map(|round| {
            let size = ((round * 7919) % 1009) as f32 / 1009.0 - 0.5;
            if (400..415).contains(&round) { 40.0 } else { size }
        });
        let held = play(errors);
        let after = share(&held[380..]);
        assert!((after - 0.95).abs() < 0.01, "{after}");
        // It does not swing: no long stretch of what was owed is paid back by too many misses.
        for part in held[450..].chunks(100) {
            assert!(share(part) > 0.85, "{}", share(part));
        }
    }

    #[test]
    fn levels_that_cross_give_way_to_the_ends() {
        let crossed = [-1.0, -3.0, -4.0, -1.0, 0.5, 0.2, -0.1, 0.4, 5.0, 2.0, 1.0];
        let said = around_the_ends(crossed);
        assert_eq!(said, [-3.0, -3.0, -3.0, -1.0, 0.5, 0.2, -0.1, 0.4, 2.0, 2.0, 2.0]);
        let apart = [-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0];
        assert_eq!(around_the_ends(apart), apart);
    }

    proptest! {
        #[test]
        fn ends_stay_sensible_whatever_comes(
            errors in proptest::collection::vec(-1e30_f32..1e30, 1..200)
        ) {
            play(errors.into_iter());
        }
    }
}

//! Experts that know a season.
//!
//! | expert | says |
//! |---|---|
//! | seasonal naive | the value of one season ago |
//! | profile | the mean of each phase (an average over cycles), and what is left of the latest deviation from it |
//! | winters | the same profile over a fast level: additive Holt-Winters without trend (Winters, 1960) |
//! | smooth | a coarse profile of running medians, which noise and bursts move little, over a level of about a season |
//! | weekly | the smooth one and its deviation at each bin of the week |
//! | cycle | the mean of the last cycles of a shorter season, where one was found besides |

use serde::{Deserialize, Serialize};

use super::{Predictions, index};
use crate::num::power;

/// Bins of the weekly profile: an hour and a half each where the season is a day.
const WEEK_BINS: usize = 112;
/// Bins of the coarse profile: half hours where the season is a day.
const COARSE: usize = 48;
/// How fast winters' level follows.
const FAST_LEVEL: f32 = 0.2;
/// How much of a deviation from the profile is left after a step.
const PERSIST: f32 = 0.97;
/// Deviations from the profile are cut at this many mean ones.
const CUT: f32 = 8.0;
/// The least share of a new cycle in the profile: about the last dozen cycles count.
const PROFILE: f32 = 0.08;
/// The share of the slow level that a whole cycle of deviation moves.
const SLOW: f32 = 0.15;
/// A phase of the coarse profile moves by this share of its deviation in a cycle.
const COARSE_RATE: f32 = 0.1;
const WEEK_RATE: f32 = 0.4;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seasonal {
    season: Option<usize>,
    /// A season besides, short enough that several of its cycles are remembered.
    cycle: Option<usize>,
    /// The step that comes next, and the first one of the profile.
    next: u64,
    begun: u64,
    /// The values of the last steps, the next one overwriting the oldest.
    ring: Box<[f32]>,
    profile: Box<[f32]>,
    coarse: Box<[f32]>,
    /// How many values each bin of the coarse profile has seen, up to what matters.
    coarse_seen: Box<[u8]>,
    /// Deviation of each bin of the week from the coarse profile; empty without a week.
    week: Box<[f32]>,
    slow: f32,
    middle: f32,
    fast: f32,
    spread: f32,
    coarse_spread: f32,
    correction: f32,
}

impl Seasonal {
    pub(crate) fn new(longest: usize, season: Option<usize>, week: bool) -> Self {
        Self {
            season,
            cycle: None,
            next: 0,
            begun: 0,
            ring: vec![0.0; longest + 1].into(),
            profile: vec![0.0; longest].into(),
            coarse: vec![0.0; COARSE].into(),
            coarse_seen: vec![0; COARSE].into(),
            week: vec![0.0; if week { WEEK_BINS } else { 0 }].into(),
            slow: 0.0,
            middle: 0.0,
            fast: 0.0,
            spread: 0.0,
            coarse_spread: 0.0,
            correction: 0.0,
        }
    }

    pub(crate) const fn season(&self) -> Option<usize> {
        self.season
    }

    pub(crate) const fn longest(&self) -> usize {
        self.profile.len()
    }

    /// The step that comes next.
    pub(crate) const fn next_step(&self) -> u64 {
        self.next
    }

    /// The ring, and where its oldest value is.
    pub(crate) fn ring(&self) -> (&[f32], usize) {
        (&self.ring, (self.next % self.ring.len() as u64) as usize)
    }

    /// Whether it is as large as `fresh`, and its seasons fit.
    pub(crate) fn fits(&self, fresh: &Self) -> bool {
        let season =
            |season: Option<usize>| season.is_none_or(|m| (1..=self.longest()).contains(&m));
        self.ring.len() == fresh.ring.len()
            && self.profile.len() == fresh.profile.len()
            && self.coarse.len() == COARSE
            && self.coarse_seen.len() == COARSE
            && self.week.len() == fresh.week.len()
            && self.begun <= self.next
            && season(self.season)
            && season(self.cycle)
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        let floats = self.ring.len() + self.profile.len() + self.coarse.len() + self.week.len();
        4 * floats + self.coarse_seen.len()
    }

    /// The value `back` steps before the next one; `back` from one to the ring's length.
    fn back(&self, back: usize) -> f32 {
        let length = self.ring.len() as u64;
        self.ring[((self.next + length - back as u64) % length) as usize]
    }

    /// Lets `steps` pass, a multiple of the season and the week, of which nothing is known.
    pub(crate) fn jump(&mut self, steps: u64) {
        let length = self.ring.len() as u64;
        self.ring.rotate_right((steps % length) as usize);
        self.next += steps;
        self.begun += steps;
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        let Self { ring, profile, coarse, week, .. } = self;
        for values in [ring, profile, coarse, week] {
            values.iter_mut().for_each(|value| *value *= by);
        }
        let levels = [&mut self.slow, &mut self.middle, &mut self.fast, &mut self.correction];
        for value in levels.into_iter().chain([&mut self.spread, &mut self.coarse_spread]) {
            *value *= by;
        }
    }

    pub(crate) fn set_cycle(&mut self, cycle: Option<usize>) {
        self.cycle = cycle;
    }

    /// Changes the season, and fills the profile from the cycles that are remembered.
    pub(crate) fn set_season(&mut self, season: usize) {
        let known = self.next.min(self.ring.len() as u64) as usize;
        let cycles = known / season;
        if cycles == 0 || season > self.profile.len() {
            return;
        }
        self.season = Some(season);
        let used = cycles * season;
        self.begun = self.next - used as u64;
        self.profile[..season].fill(0.0);
        for back in 1..=used {
            let phase = ((self.next - back as u64) % season as u64) as usize;
            self.profile[phase] += self.back(back) / cycles as f32;
        }
        let bins = COARSE.min(season);
        for bin in 0..bins {
            let from = bin * season / bins;
            let part = &self.profile[from..((bin + 1) * season / bins).max(from + 1)];
            self.coarse[bin] = part.iter().sum::<f32>() / part.len() as f32;
            self.coarse_seen[bin] = 4;
        }
        (self.slow, self.middle, self.fast, self.correction) = (0.0, 0.0, 0.0, 0.0);
    }

    /// Learns the next step's value, for which `filled` stands in where there is none.
    pub(crate) fn learn(&mut self, value: Option<f32>, filled: f32) {
        let step = self.next;
        let length = self.ring.len() as u64;
        self.ring[(step % length) as usize] = filled;
        self.next += 1;
        let Some(season) = self.season else { return };
        let phase = (step % season as u64) as usize;
        let age = step - self.begun;
        let first = age < season as u64;
        if first {
            self.profile[phase] = filled;
        }
        let Some(value) = value else { return };
        self.learn_coarse(phase, season, value);
        if first {
            return;
        }
        let off = value - self.slow - self.profile[phase];
        let since = (age - season as u64) as f32;
        self.spread += (1.0 / (since + 1.0)).max(0.01) * (off.abs() - self.spread);
        let cut = CUT * self.spread;
        let kept = off.clamp(-cut, cut);
        let cycles = (age / season as u64) as f32;
        self.profile[phase] += (1.0 / (cycles + 1.0)).max(PROFILE) * kept;
        self.slow += SLOW / season as f32 * kept;
        self.fast += FAST_LEVEL * (value - self.profile[phase] - self.fast);
        self.correction += 0.3 * (off - self.correction);
        self.learn_week(step, phase, season, value);
    }

    fn learn_coarse(&mut self, phase: usize, season: usize, value: f32) {
        let bins = COARSE.min(season);
        let bin = phase * bins / season;
        let seen = self.coarse_seen[bin].saturating_add(1);
        self.coarse_seen[bin] = seen;
        let off = value - self.slow - self.coarse[bin];
        self.middle += (off - self.middle) / season as f32;
        let known = (self.next - self.begun) as f32;
        self.coarse_spread += (1.0 / known).max(0.01) * (off.abs() - self.coarse_spread);
        let cut = self.coarse_spread;
        let rate = (1.0 / f32::from(seen)).max(COARSE_RATE * bins as f32 / season as f32);
        self.coarse[bin] += if seen < 4 { rate * off } else { 2.0 * rate * off.clamp(-cut, cut) };
    }

    fn learn_week(&mut self, step: u64, phase: usize, season: usize, value: f32) {
        let off = value - self.slow - self.smooth(phase, season);
        let Some(hour) = self.week.get_mut(week_bin(step, season)) else { return };
        let rate = WEEK_RATE / (season as f32 * 7.0 / WEEK_BINS as f32).max(1.0);
        let cut = self.coarse_spread;
        *hour += rate * (off - *hour).clamp(-cut, cut);
    }

    pub(crate) fn predict(&self, ahead: usize, said: &mut Predictions) {
        if let Some(mean) = self.mean_of_cycles(ahead) {
            said[index::CYCLE] = mean;
        }
        let Some(season) = self.season.filter(|season| self.next >= *season as u64) else {
            for k in index::OF_SEASON {
                said[k] = said[index::SLOW];
            }
            return;
        };
        let step = self.next - 1 + ahead as u64;
        let phase = (step % season as u64) as usize;
        let left = power(PERSIST, ahead) * self.correction;
        let (profile, smooth) = (self.profile[phase], self.slow + self.smooth(phase, season));
        let week = self.week.get(week_bin(step, season)).copied().unwrap_or_default();
        said[index::SEASONAL_NAIVE] = self.cycle_ago(ahead, season, 1);
        said[index::PROFILE] = self.slow + profile + left;
        said[index::WINTERS] = self.fast + profile;
        said[index::SMOOTH] = smooth + self.middle + left;
        said[index::WEEKLY] = smooth + week;
    }

    /// What was so many cycles before the step `ahead` (one is the latest that is known).
    fn cycle_ago(&self, ahead: usize, season: usize, cycles: usize) -> f32 {
        self.back(((ahead - 1) / season + cycles) * season + 1 - ahead)
    }

    /// The mean of up to four cycles at the phase of the step `ahead`, in the season besides, else
    /// in the season where several of its cycles are remembered.
    fn mean_of_cycles(&self, ahead: usize) -> Option<f32> {
        let repeated = self.season.filter(|season| 2 * season <= self.ring.len());
        let season = self.cycle.or(repeated)?;
        let known = self.next.min(self.ring.len() as u64) as usize;
        let cycles = (known / season).min(4);
        let sum: f32 = (1..=cycles).map(|k| self.cycle_ago(ahead, season, k)).sum();
        (cycles > 0).then(|| sum / cycles as f32)
    }

    /// The coarse profile, by straight lines between the middles of its bins.
    fn smooth(&self, phase: usize, season: usize) -> f32 {
        let bins = COARSE.min(season);
        if bins == season {
            return self.coarse[phase];
        }
        let at = (phase as f32 + 0.5) * bins as f32 / season as f32 - 0.5 + bins as f32;
        let low = at as usize;
        let part = at - low as f32;
        (1.0 - part) * self.coarse[low % bins] + part * self.coarse[(low + 1) % bins]
    }
}

fn week_bin(step: u64, season: usize) -> usize {
    let week = 7 * season as u64;
    ((step % week) * WEEK_BINS as u64 / week) as usize
}

//! Experts that know a season: its last cycle, a profile with a level, a week.

use serde::{Deserialize, Serialize};

use super::{Predictions, index};
use crate::num::power;

/// Bins of the weekly profile: hours where the season is a day.
const WEEK_BINS: usize = 168;
const FAST_LEVEL: f32 = 0.2;
/// How much of a deviation from the profile is left after a step.
const PERSIST: f32 = 0.97;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Seasonal {
    season: Option<usize>,
    /// A season besides, short enough that several of its cycles are remembered.
    cycle: Option<usize>,
    /// The step that comes next.
    next: u64,
    /// The values of the last steps, the next one overwriting the oldest.
    ring: Box<[f32]>,
    /// Seasonal deviation of each phase from the slow level.
    profile: Box<[f32]>,
    week: Option<Box<[f32]>>,
    cycle_start: u64,
    slow: f32,
    fast: f32,
    spread: f32,
    correction: f32,
}

impl Seasonal {
    pub(crate) fn new(longest: usize, season: Option<usize>, week: bool) -> Self {
        Self {
            season,
            cycle: None,
            next: 0,
            ring: vec![0.0; longest + 1].into(),
            profile: vec![0.0; longest].into(),
            week: week.then(|| vec![0.0; WEEK_BINS].into()),
            cycle_start: 0,
            slow: 0.0,
            fast: 0.0,
            spread: 0.0,
            correction: 0.0,
        }
    }

    pub(crate) const fn season(&self) -> Option<usize> {
        self.season
    }

    pub(crate) const fn longest(&self) -> usize {
        self.profile.len()
    }

    /// The value `back` steps before the next one; `back` from one to the ring's length.
    pub(crate) fn back(&self, back: usize) -> f32 {
        let length = self.ring.len() as u64;
        self.ring[((self.next + length - back as u64) % length) as usize]
    }

    pub(crate) fn ring(&self) -> (&[f32], usize) {
        (&self.ring, (self.next % self.ring.len() as u64) as usize)
    }

    /// Lets `steps` pass, a multiple of the season and the week, of which nothing is known.
    pub(crate) fn jump(&mut self, steps: u64) {
        let length = self.ring.len() as u64;
        self.ring.rotate_right((steps % length) as usize);
        self.next += steps;
        self.cycle_start += steps;
    }

    /// The step that comes next.
    pub(crate) const fn next_step(&self) -> u64 {
        self.next
    }

    pub(crate) fn set_cycle(&mut self, cycle: Option<usize>) {
        self.cycle = cycle;
    }

    /// Changes the season, and fills the profile from the cycles that are remembered.
    pub(crate) fn set_season(&mut self, season: usize) {
        self.season = Some(season);
        let known = (self.next.min(self.ring.len() as u64)) as usize;
        let cycles = (known / season).max(1);
        let used = (cycles * season).min(known);
        let mean = (1..=used).map(|back| self.back(back)).sum::<f32>() / used.max(1) as f32;
        for phase in 0..season {
            self.profile[phase] = 0.0;
        }
        for back in 1..=used {
            let phase = ((self.next - back as u64) % season as u64) as usize;
            self.profile[phase] += (self.back(back) - mean) / cycles as f32;
        }
        self.slow = mean;
        self.fast = mean;
        self.correction = 0.0;
        self.cycle_start = self.next - used as u64;
        self.spread =
            (1..=used).map(|back| (self.back(back) - mean).abs()).sum::<f32>() / used.max(1) as f32;
    }

    pub(crate) fn learn(&mut self, value: Option<f32>, filled: f32) {
        let at = (self.next % self.ring.len() as u64) as usize;
        self.ring[at] = filled;
        let step = self.next;
        self.next += 1;
        let Some(season) = self.season else { return };
        let Some(value) = value else { return };
        let phase = (step % season as u64) as usize;
        let age = step - self.cycle_start;
        let cycles = (age / season as u64) as f32;
        let slow_rate = (1.0 / (age as f32 + 1.0)).max(0.5 / season as f32);
        let deviation = value - self.slow;
        let off = deviation - self.profile[phase];
        self.spread += (1.0 / (age as f32 + 1.0)).max(0.01) * (off.abs() - self.spread);
        let cut = 2.0 * self.spread;
        if cycles < 1.0 {
            self.profile[phase] = deviation;
            self.slow += slow_rate * deviation;
        } else {
            let rate = (1.0 / (cycles + 1.0)).max(0.12);
            self.profile[phase] += rate * off.clamp(-cut, cut);
            self.slow += slow_rate * off.clamp(-cut, cut);
        }
        self.fast += FAST_LEVEL * (value - self.profile[phase] - self.fast);
        self.correction += 0.3 * (off - self.correction);
        self.learn_week(step, season, off, cycles);
    }

    fn learn_week(&mut self, step: u64, season: usize, off: f32, cycles: f32) {
        let Some(week) = &mut self.week else { return };
        if cycles < 1.0 {
            return;
        }
        let bin = week_bin(step, season);
        let per_bin = (season as f32 / 24.0).max(1.0);
        let cut = 2.0 * self.spread;
        week[bin] += 0.4 / per_bin * (off - week[bin]).clamp(-cut, cut);
    }

    pub(crate) fn predict(&self, ahead: usize, said: &mut Predictions) {
        said[index::CYCLE] = self.mean_of_cycles(ahead).unwrap_or(said[index::SLOW]);
        let Some(season) = self.season.filter(|season| self.next >= *season as u64) else {
            for k in index::OF_SEASON {
                said[k] = said[index::SLOW];
            }
            return;
        };
        let step = self.next - 1 + ahead as u64;
        let phase = (step % season as u64) as usize;
        said[index::SEASONAL_NAIVE] = self.cycle_ago(ahead, season, 1);
        let left = power(PERSIST, ahead);
        let profile = self.profile[phase];
        said[index::PROFILE] = self.slow + profile + left * self.correction;
        said[index::WINTERS] = self.fast + profile;
        let smooth = self.smooth(phase, season);
        said[index::SMOOTH] = self.slow + smooth + left * self.correction;
        let week = self.week.as_ref().map_or(0.0, |week| week[week_bin(step, season)]);
        said[index::WEEKLY] = self.slow + smooth + week;
    }

    /// What was so many cycles before the step `ahead` (one is the latest that is known).
    fn cycle_ago(&self, ahead: usize, season: usize, cycles: usize) -> f32 {
        self.back(((ahead - 1) / season + cycles) * season + 1 - ahead)
    }

    /// The mean of up to four cycles at the phase of the step `ahead`, in the season besides or,
    /// where there is none, in the season.
    fn mean_of_cycles(&self, ahead: usize) -> Option<f32> {
        let season = self.cycle.or(self.season)?;
        let known = (self.next as usize).min(self.ring.len());
        let cycles = (known / season).min(4);
        if cycles == 0 {
            return None;
        }
        // The phase ahead of a cycle's start may lie in one cycle more than are whole.
        let sum: f32 = (1..=cycles).map(|k| self.cycle_ago(ahead, season, k)).sum();
        Some(sum / cycles as f32)
    }

    fn smooth(&self, phase: usize, season: usize) -> f32 {
        let half = (season / 48).min(6);
        let mut sum = 0.0;
        for k in 0..=2 * half {
            sum += self.profile[(phase + season + k - half) % season];
        }
        sum / (2 * half + 1) as f32
    }
}

fn week_bin(step: u64, season: usize) -> usize {
    let week = 7 * season as u64;
    ((step % week) * WEEK_BINS as u64 / week) as usize
}

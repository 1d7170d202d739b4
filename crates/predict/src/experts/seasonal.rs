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

use super::{Cycle, Predictions, Spot, index};
use crate::check::{self, Checked, ensure};
use crate::num::{exp_below_one, larger, smaller};
use crate::season::BATCH;

/// Bins of the weekly profile: an hour and a half each where the season is a day.
const WEEK_BINS: usize = 7 * DAY_BINS;
const DAY_BINS: usize = 16;
/// Bins of the coarse profile: half hours where the season is a day.
const COARSE: usize = 48;
/// How fast winters' level follows.
const FAST_LEVEL: f32 = 0.2;
/// How much of a deviation from the profile is left after a step: 97%, as a logarithm.
const LN_PERSIST: f32 = -0.030_459_207;
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
    season: Option<Cycle>,
    /// A season besides, short enough that several of its cycles are remembered.
    cycle: Option<usize>,
    /// The step that comes next, and the first one of the profile.
    next: u64,
    begun: u64,
    /// The values of the last steps, the next one overwriting the oldest.
    ring: Box<[f32]>,
    /// Where in the ring the next one goes.
    place: u32,
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
            season: season.map(|season| Cycle::new(season, 0)),
            cycle: None,
            next: 0,
            begun: 0,
            ring: vec![0.0; longest + BATCH].into(),
            place: 0,
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

    pub(crate) fn season(&self) -> Option<usize> {
        self.season.map(Cycle::season)
    }

    /// The season, and where it is.
    pub(crate) const fn cycle(&self) -> Option<Cycle> {
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
        (&self.ring, self.place as usize)
    }

    /// Whether it may be state of one that was made like `fresh`.
    pub(crate) fn check(&self, fresh: &Self) -> Checked {
        let known = |season: usize| (2..=self.longest()).contains(&season);
        ensure("seasonal.ring", self.ring.len() == fresh.ring.len())?;
        ensure("seasonal.profile", self.profile.len() == fresh.profile.len())?;
        ensure("seasonal.coarse", self.coarse.len() == COARSE)?;
        ensure("seasonal.coarse_seen", self.coarse_seen.len() == COARSE)?;
        ensure("seasonal.week", self.week.len() == fresh.week.len())?;
        ensure("seasonal.place", (self.place as usize) < self.ring.len())?;
        ensure("seasonal.begun", self.begun <= self.next)?;
        ensure("seasonal.cycle", self.cycle.is_none_or(known))?;
        let counted =
            |cycle: Cycle| known(cycle.season()) && cycle == Cycle::new(cycle.season(), self.next);
        ensure("seasonal.season", self.season.is_none_or(counted))?;
        check::values("seasonal.ring", &self.ring)?;
        check::values("seasonal.profile", &self.profile)?;
        check::values("seasonal.coarse", &self.coarse)?;
        check::values("seasonal.week", &self.week)?;
        check::values("seasonal.slow", &[self.slow])?;
        check::values("seasonal.middle", &[self.middle])?;
        check::values("seasonal.fast", &[self.fast])?;
        check::values("seasonal.correction", &[self.correction])?;
        check::sizes("seasonal.spread", &[self.spread])?;
        check::sizes("seasonal.coarse_spread", &[self.coarse_spread])
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        let floats = self.ring.len() + self.profile.len() + self.coarse.len() + self.week.len();
        4 * floats + self.coarse_seen.len()
    }

    /// The value `back` steps before the next one; `back` from one to the ring's length.
    #[inline(always)]
    fn back(&self, back: usize) -> f32 {
        let place = self.place as usize;
        let at = if place >= back { place - back } else { place + self.ring.len() - back };
        self.ring[at]
    }

    /// Lets `steps` pass, a multiple of the season and the week, of which nothing is known.
    pub(crate) fn jump(&mut self, steps: u64) {
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
        if cycles == 0 || season < 2 || season > self.profile.len() {
            return;
        }
        let cycle = Cycle::new(season, self.next);
        self.season = Some(cycle);
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
    #[inline(always)]
    pub(crate) fn learn(&mut self, value: Option<f32>, filled: f32) {
        let step = self.next;
        self.ring[self.place as usize] = filled;
        self.place = if self.place as usize + 1 == self.ring.len() { 0 } else { self.place + 1 };
        self.next += 1;
        let Some(cycle) = self.season else { return };
        self.season.iter_mut().for_each(Cycle::advance);
        let spot = cycle.at(1);
        let season = cycle.season() as u64;
        let age = step - self.begun;
        let first = age < season;
        if first {
            self.profile[spot.phase] = filled;
        }
        let Some(value) = value else { return };
        let per_step = 1.0 / season as f32;
        self.learn_coarse(spot, cycle, per_step, value);
        if first {
            return;
        }
        let level = self.slow;
        let profile = &mut self.profile[spot.phase];
        let off = value - level - *profile;
        let since = (age - season) as f32;
        self.spread += recent(since + 1.0) * (off.abs() - self.spread);
        let cut = CUT * self.spread;
        let kept = smaller(larger(off, -cut), cut);
        *profile += profile_rate(age as f32 * per_step) * kept;
        self.fast += FAST_LEVEL * (value - *profile - self.fast);
        self.slow += SLOW * per_step * kept;
        self.correction += 0.3 * (off - self.correction);
        self.learn_week(spot, cycle, per_step, value);
    }

    #[inline(always)]
    fn learn_coarse(&mut self, spot: Spot, cycle: Cycle, per_step: f32, value: f32) {
        let bin = cycle.part(spot, COARSE);
        let seen = self.coarse_seen[bin].saturating_add(1);
        self.coarse_seen[bin] = seen;
        let coarse = &mut self.coarse[bin];
        let off = value - self.slow - *coarse;
        self.middle += (off - self.middle) * per_step;
        self.coarse_spread +=
            recent((self.next - self.begun) as f32) * (off.abs() - self.coarse_spread);
        let cut = self.coarse_spread;
        let steady = COARSE_RATE * larger(COARSE.min(cycle.season()) as f32 * per_step, 0.0);
        *coarse += if seen < 4 {
            off / f32::from(seen)
        } else {
            let rate = if seen < 255 { larger(1.0 / f32::from(seen), steady) } else { steady };
            2.0 * rate * smaller(larger(off, -cut), cut)
        };
    }

    #[inline(always)]
    fn learn_week(&mut self, spot: Spot, cycle: Cycle, per_step: f32, value: f32) {
        if self.week.is_empty() {
            return;
        }
        let off = value - self.slow - self.smooth(spot, cycle);
        let bin = week_bin(spot, cycle);
        // A bin has so many steps.
        let rate = WEEK_RATE * smaller(DAY_BINS as f32 * per_step, 1.0);
        let cut = self.coarse_spread;
        let aside = off - self.week[bin];
        self.week[bin] += rate * smaller(larger(aside, -cut), cut);
    }

    /// The share of a deviation that is left after so many steps.
    pub(crate) fn left(ahead: usize) -> f32 {
        exp_below_one(LN_PERSIST * ahead as f32)
    }

    #[inline(always)]
    pub(crate) fn predict(&self, ahead: usize, left: f32, said: &mut Predictions) {
        if let Some(mean) = self.mean_of_cycles(ahead) {
            said[index::CYCLE] = mean;
        }
        let known = |cycle: &Cycle| self.next >= cycle.season() as u64;
        let Some(cycle) = self.season.filter(known) else {
            for k in index::OF_SEASON {
                said[k] = said[index::SLOW];
            }
            return;
        };
        let spot = cycle.at(ahead);
        let left = left * self.correction;
        let (profile, smooth) = (self.profile[spot.phase], self.slow + self.smooth(spot, cycle));
        let week = self.week.get(week_bin(spot, cycle)).copied().unwrap_or_default();
        said[index::SEASONAL_NAIVE] = self.cycle_ago(ahead, cycle.season(), 1);
        said[index::PROFILE] = self.slow + profile + left;
        said[index::WINTERS] = self.fast + profile;
        said[index::SMOOTH] = smooth + self.middle + left;
        said[index::WEEKLY] = smooth + week;
    }

    /// What was so many cycles before the step `ahead` (one is the latest that is known).
    #[inline(always)]
    fn cycle_ago(&self, ahead: usize, season: usize, cycles: usize) -> f32 {
        let passed = if ahead <= season { 0 } else { (ahead - 1) / season };
        self.back((passed + cycles) * season + 1 - ahead)
    }

    /// The mean of up to four cycles at the phase of the step `ahead`, in the season besides, else
    /// in the season where several of its cycles are remembered.
    #[inline(always)]
    fn mean_of_cycles(&self, ahead: usize) -> Option<f32> {
        let repeated = || self.season().filter(|season| 2 * season <= self.longest());
        let season = self.cycle.or_else(repeated)?;
        let known = self.next.min(self.longest() as u64) as usize;
        let (mut sum, mut cycles) = (0.0, 0);
        while cycles < 4 && (cycles + 1) * season <= known {
            cycles += 1;
            sum += self.cycle_ago(ahead, season, cycles);
        }
        (cycles > 0).then(|| sum / cycles as f32)
    }

    /// The coarse profile, by straight lines between the middles of its bins.
    #[inline(always)]
    fn smooth(&self, spot: Spot, cycle: Cycle) -> f32 {
        let season = cycle.season();
        if season <= COARSE {
            return self.coarse[spot.phase];
        }
        // In halves of a step of the coarse profile: how far the step's middle is into its bin, and
        // from which bin's middle on that is counted.
        let bin = cycle.part_of(spot.phase, COARSE);
        let within = 2 * (spot.phase * COARSE - bin * season) + COARSE;
        let early = within < season;
        let (from, low) =
            if early { (within + season, bin + COARSE - 1) } else { (within - season, bin) };
        let part = from as u32 as f32 * (0.5 / season as u32 as f32);
        let low = if low >= COARSE { low - COARSE } else { low };
        let high = if low + 1 == COARSE { 0 } else { low + 1 };
        let (low, high) = (self.coarse[low], self.coarse[high]);
        low + part * (high - low)
    }
}

/// The share of the latest in a mean of `rounds`: of about the last hundred at most.
#[inline(always)]
fn recent(rounds: f32) -> f32 {
    if rounds >= 100.0 { 0.01 } else { 1.0 / rounds }
}

/// The share of a new cycle in the profile, after so many cycles.
#[inline(always)]
fn profile_rate(cycles: f32) -> f32 {
    if cycles >= 13.0 { PROFILE } else { larger(1.0 / (cycles.floor() + 1.0), PROFILE) }
}

#[inline(always)]
fn week_bin(spot: Spot, cycle: Cycle) -> usize {
    DAY_BINS * spot.day + cycle.part_of(spot.phase, DAY_BINS)
}

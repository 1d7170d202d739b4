//! Finding the season of a series while it streams.
//!
//! The autocorrelation of the last steps is kept for every lag up to the longest season, with
//! forgetting. A season is the lag at which it peaks, once two cycles were seen: it must stand out
//! from the trough before it, be significant against Bartlett's bound, and no shorter lag may do
//! nearly as well (which keeps multiples of the season out).

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked, ensure};
use crate::lanes::Four;
use crate::num::{dot, larger, smaller};

/// Correlations are learnt of so many values at a time.
pub(crate) const BATCH: usize = 8;
/// So many lags are done at once.
const BLOCK: usize = 96;
/// Values further from the mean than this many mean deviations are cut.
const CUT: f32 = 3.0;
/// How far the peak must stand above the trough before it.
const PROMINENCE: f32 = 0.3;
/// The least autocorrelation of a season.
const LEAST: f32 = 0.2;
/// Shorter seasons are not told apart from noise.
const SHORTEST: usize = 4;
/// Where the calendar gives the season, only shorter ones are looked for, up to this.
const SHORT: usize = 96;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct SeasonFinder {
    /// Sum of products at each lag, from one.
    products: Box<[f32]>,
    /// The same at the season that the calendar gives, and at half of it.
    given: Option<(usize, [f32; 2])>,
    square: f32,
    seen: u64,
    forget: f32,
    slowest: f32,
    mean: f32,
    spread: f32,
}

impl SeasonFinder {
    /// Looks for seasons up to `longest`; `given` is one that is known and need only be confirmed.
    pub(crate) fn new(longest: usize, given: Option<usize>) -> Self {
        let lags = given.map_or(longest, |given| (given / 2).min(SHORT));
        Self {
            products: vec![0.0; lags].into(),
            given: given.map(|given| (given, [0.0; 2])),
            square: 0.0,
            seen: 0,
            forget: 1.0 - 1.0 / (6.0 * longest as f32),
            slowest: 0.5 / longest as f32,
            mean: 0.0,
            spread: 0.0,
        }
    }

    /// Learns `value`.
    #[inline(always)]
    pub(crate) fn learn(&mut self, value: f32) {
        self.seen += 1;
        let rounds = self.seen as f32;
        let rate = if rounds * self.slowest >= 1.0 { self.slowest } else { 1.0 / rounds };
        self.mean += rate * (value - self.mean);
        self.spread += rate * ((value - self.mean).abs() - self.spread);
    }

    /// Learns what the last `fresh` values, up to [`BATCH`], say of each lag; they and those before them are in
    /// `ring`, whose oldest is at `oldest`.
    ///
    /// Several values at once, so that each of the past is brought to the common scale once for all
    /// of them.
    pub(crate) fn correlate(&mut self, fresh: usize, ring: &[f32], oldest: usize) {
        if self.spread <= f32::MIN_POSITIVE {
            return;
        }
        let past =
            Past { ring, oldest, known: self.seen, mean: self.mean, unit: 1.0 / self.spread };
        let now: [f32; BATCH] = past.from(0);
        let (mut weighed, mut faded) = (now, 1.0);
        for value in &mut weighed[..fresh.min(BATCH)] {
            *value *= faded;
            faded *= self.forget;
        }
        weighed[fresh.min(BATCH)..].fill(0.0);
        self.square = faded * self.square + dot(&now, &weighed);
        let each = weighed.map(Four::all);
        for (block, products) in self.products.chunks_mut(BLOCK).enumerate() {
            let values: [f32; BLOCK + BATCH] = past.from(block * BLOCK + 1);
            let sum = |part: usize| {
                let window: &[f32; BATCH + 3] = values[4 * part..].first_chunk()?;
                let mut sum = Four::all(0.0);
                for (back, now) in each.iter().enumerate() {
                    sum = sum + *now * four(window, back);
                }
                Some(sum)
            };
            let (parts, rest) = products.as_chunks_mut::<4>();
            let whole = parts.len();
            for (part, product) in parts.iter_mut().enumerate() {
                let Some(sum) = sum(part) else { break };
                *product = (Four::new(*product) * faded + sum).array();
            }
            if let (false, Some(sum)) = (rest.is_empty(), sum(whole)) {
                for (product, sum) in rest.iter_mut().zip(sum.array()) {
                    *product = faded * *product + sum;
                }
            }
        }
        if let Some((season, products)) = &mut self.given {
            for (lag, product) in [*season, *season / 2].into_iter().zip(products) {
                *product = faded * *product + dot(&weighed, &past.from(lag));
            }
        }
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        self.mean *= by;
        self.spread *= by;
    }

    /// Whether it may be state of one that was made like `fresh`, after `step` steps.
    pub(crate) fn check(&self, fresh: &Self, step: u64) -> Checked {
        // What all squares of cut values can sum up to.
        let most = 1.01 * CUT * CUT / (1.0 - self.forget);
        ensure("finder.forget", self.forget == fresh.forget)?;
        ensure("finder.slowest", self.slowest == fresh.slowest)?;
        ensure("finder.seen", self.seen <= step)?;
        ensure("finder.products", self.products.len() == fresh.products.len())?;
        let season = |given: Option<(usize, [f32; 2])>| given.map(|given| given.0);
        ensure("finder.given", season(self.given) == season(fresh.given))?;
        check::within("finder.products", &self.products, -most, most)?;
        let given = self.given.map_or([0.0; 2], |given| given.1);
        check::within("finder.given", &given, -most, most)?;
        check::within("finder.square", &[self.square], 0.0, most)?;
        check::values("finder.mean", &[self.mean])?;
        check::sizes("finder.spread", &[self.spread])
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        4 * self.products.len()
    }

    fn correlation(&self, lag: usize) -> f32 {
        if lag == 0 || lag > self.products.len() {
            return 0.0;
        }
        self.normalised(self.products[lag - 1], lag)
    }

    fn normalised(&self, product: f32, lag: usize) -> f32 {
        if lag as u64 >= self.seen || self.square <= 0.0 {
            return 0.0;
        }
        let faded = self.faded();
        let of_lag = 1.0 - faded * self.forget.powf(-(lag as f32));
        product / self.square * (1.0 - faded) / of_lag
    }

    /// How much the first value still counts: with forgetting, n rounds count as
    /// (1 − λ^n) / (1 − λ).
    fn faded(&self) -> f32 {
        self.forget.powf(self.seen as f32)
    }

    /// True when `lag` is worth giving up the season `known` for.
    pub(crate) fn better(&self, lag: usize, known: usize) -> bool {
        let left = known % lag;
        if lag < known && left.min(lag - left) <= 1 {
            // The known one is a multiple of it, and says no more.
            return self.comb(lag) > self.comb(known) - 0.05;
        }
        let margin = if lag.abs_diff(known) <= 1 + known / 32 { 0.02 } else { 0.15 };
        self.comb(lag) > self.comb(known) + margin
    }

    /// True when the season that the calendar gives is one: its autocorrelation stands out from
    /// that at half of it, once two cycles were seen.
    pub(crate) fn confirms(&self) -> bool {
        let Some((season, [at_season, at_half])) = self.given else { return false };
        if self.seen < 2 * season as u64 {
            return false;
        }
        let here = self.normalised(at_season, season);
        here > LEAST.max(2.0 / self.pairs(season).sqrt())
            && here - self.normalised(at_half, season / 2) > PROMINENCE
    }

    /// Mean autocorrelation at a lag and its multiples, as far as they are known.
    fn comb(&self, lag: usize) -> f32 {
        let most = ((self.seen as usize).saturating_sub(SHORTEST)).min(self.products.len());
        let teeth = (most / lag).clamp(1, 4);
        (1..=teeth).map(|k| smaller(self.correlation(k * lag), 1.0)).sum::<f32>() / teeth as f32
    }

    /// The season, where one stands out.
    pub(crate) fn find(&self) -> Option<usize> {
        let most = ((self.seen as usize) / 2).min(self.products.len());
        if self.square <= 0.0 || most <= SHORTEST {
            return None;
        }
        let faded = self.faded();
        let (whole, growth) = ((1.0 - faded) / self.square, 1.0 / self.forget);
        let mut faded_of_lag = faded;
        // As `correlation`, the power of each lag from that of the one before.
        let mut next = |lag: usize| {
            faded_of_lag *= growth;
            let product = self.products.get(lag - 1).copied().unwrap_or_default();
            product * whole / larger(1.0 - faded_of_lag, f32::MIN_POSITIVE)
        };
        let mut trough = next(1);
        let mut before = trough;
        let mut here = next(2);
        let mut best: Option<(usize, f32)> = None;
        for lag in 2..=most {
            let after = next(lag + 1);
            trough = trough.min(here);
            let peak = lag >= SHORTEST && here >= before && here > after;
            let strong = here > LEAST.max(2.0 / self.pairs(lag).sqrt());
            // A longer season must be clearly better than a shorter one. Above one, which a lag of
            // which few pairs are known may reach, is no better than one.
            if peak
                && strong
                && here - trough > PROMINENCE
                && best.is_none_or(|(_, known)| smaller(here, 1.0) > known + 0.1)
            {
                best = Some((lag, smaller(here, 1.0)));
            }
            (before, here) = (here, after);
        }
        best.map(|(lag, _)| self.refine(lag))
    }

    /// The lag next to `lag` whose multiples agree best: one step off is a whole step after each
    /// cycle.
    fn refine(&self, lag: usize) -> usize {
        let mut best = lag;
        for near in [lag - 1, lag + 1] {
            if near >= SHORTEST && near <= self.products.len() && self.comb(near) > self.comb(best)
            {
                best = near;
            }
        }
        best
    }

    fn pairs(&self, lag: usize) -> f32 {
        (self.seen - lag as u64) as f32
    }
}

/// Values of the past on the common scale.
#[derive(Clone, Copy)]
struct Past<'a> {
    ring: &'a [f32],
    oldest: usize,
    known: u64,
    mean: f32,
    unit: f32,
}

impl Past<'_> {
    /// Those from `back` steps before the last one on, the nearest first; zero where none is known.
    fn from<const N: usize>(self, back: usize) -> [f32; N] {
        let mut values = [0.0; N];
        // Newest first: what was written before the ring's end was last passed comes after.
        let (late, early) = self.ring.split_at(self.oldest);
        let late = &late[..late.len() - back.min(late.len())];
        let near = late.len().min(N);
        let passed = back.saturating_sub(self.oldest).min(early.len());
        let early = &early[..early.len() - passed];
        let (of_late, of_early) = values.split_at_mut(near);
        let far = early.len().min(of_early.len());
        reverse(of_late, &late[late.len() - near..]);
        reverse(&mut of_early[..far], &early[early.len() - far..]);
        for value in &mut values {
            *value = smaller(larger((*value - self.mean) * self.unit, -CUT), CUT);
        }
        let known = usize::try_from(self.known).unwrap_or(usize::MAX).min(self.ring.len());
        values[known.saturating_sub(back).min(N)..].fill(0.0);
        values
    }
}

/// Copies from the last to the first.
fn reverse(to: &mut [f32], from: &[f32]) {
    for (to, from) in to.iter_mut().zip(from.iter().rev()) {
        *to = *from;
    }
}

/// Four values from `at` on.
#[inline]
fn four<const N: usize>(values: &[f32; N], at: usize) -> Four {
    Four::new(values[at..].first_chunk().copied().unwrap_or_default())
}

//! Finding the season of a series while it streams.
//!
//! The autocorrelation of the last steps is kept for every lag up to the longest season, with
//! forgetting. A season is the lag at which it peaks, once two cycles were seen: it must stand out
//! from the trough before it, be significant against Bartlett's bound, and no shorter lag may do
//! nearly as well (which keeps multiples of the season out).

use serde::{Deserialize, Serialize};

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

    /// Learns `value`, which follows those of `ring`, whose oldest is at `oldest`.
    pub(crate) fn learn(&mut self, value: f32, ring: &[f32], oldest: usize) {
        self.seen += 1;
        let rate = (1.0 / self.seen as f32).max(self.slowest);
        self.mean += rate * (value - self.mean);
        self.spread += rate * ((value - self.mean).abs() - self.spread);
        if self.spread <= f32::MIN_POSITIVE {
            return;
        }
        let (mean, unit) = (self.mean, 1.0 / self.spread);
        let now = ((value - mean) * unit).clamp(-CUT, CUT);
        self.square = self.forget * self.square + now * now;
        let known = (self.seen - 1).min(self.products.len() as u64) as usize;
        // Newest first: what was written before the ring's end was last passed comes after. Two
        // plain loops, so that several lags are done at once.
        let (late, early) = (&ring[..oldest], &ring[oldest..]);
        let (near, far) = self.products[..known].split_at_mut(known.min(late.len()));
        for (products, values) in [(near, late), (far, early)] {
            for (product, past) in products.iter_mut().zip(values.iter().rev()) {
                let past = ((past - mean) * unit).clamp(-CUT, CUT);
                *product = self.forget * *product + now * past;
            }
        }
        if let Some((season, products)) = &mut self.given {
            for (lag, product) in [*season, *season / 2].into_iter().zip(products) {
                if self.seen > lag as u64 {
                    let past = ring[(oldest + ring.len() - lag) % ring.len()];
                    let past = ((past - mean) * unit).clamp(-CUT, CUT);
                    *product = self.forget * *product + now * past;
                }
            }
        }
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale(&mut self, by: f32) {
        self.mean *= by;
        self.spread *= by;
    }

    /// Whether it is as large as `fresh`.
    pub(crate) fn fits(&self, fresh: &Self) -> bool {
        self.products.len() == fresh.products.len()
            && self.given.map(|given| given.0) == fresh.given.map(|given| given.0)
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
        // With forgetting, n rounds count as (1 − λ^n) / (1 − λ).
        let rounds = |n: f32| 1.0 - self.forget.powf(n);
        let all = rounds(self.seen as f32);
        let of_lag = rounds((self.seen - lag as u64) as f32);
        product / self.square * all / of_lag
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
        (1..=teeth).map(|k| self.correlation(k * lag)).sum::<f32>() / teeth as f32
    }

    /// The season, where one stands out.
    pub(crate) fn find(&self) -> Option<usize> {
        let most = ((self.seen as usize) / 2).min(self.products.len());
        if self.square <= 0.0 || most <= SHORTEST {
            return None;
        }
        let mut trough: f32 = self.correlation(1);
        let mut before = trough;
        let mut best: Option<(usize, f32)> = None;
        for lag in 2..=most {
            let here = self.correlation(lag);
            trough = trough.min(here);
            let peak = lag >= SHORTEST && here >= before && here > self.correlation(lag + 1);
            let strong = here > LEAST.max(2.0 / self.pairs(lag).sqrt());
            // A longer season must be clearly better than a shorter one.
            if peak
                && strong
                && here - trough > PROMINENCE
                && best.is_none_or(|(_, known)| here > known + 0.1)
            {
                best = Some((lag, here));
            }
            before = here;
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

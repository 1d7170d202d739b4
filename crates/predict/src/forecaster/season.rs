//! Which season a forecaster goes by.

use crate::config::{ForecasterConfig, SeasonSpec};
use crate::node::NODES;
use crate::season::BATCH;
use crate::spread::Spread;

use super::Forecaster;

/// A day, in nanoseconds.
const DAY: u128 = 86_400 * 1_000_000_000;
/// A season is looked for at each so manyth step, a multiple of [`BATCH`]; at each batch as long as
/// little is known, which is when it matters.
const LOOK_LATER: u64 = 64;
/// Little is known up to this step.
const YOUNG: u64 = 768;
/// The season that horizons are set for as long as none is known.
const UNKNOWN: usize = 144;

impl Forecaster {
    /// Whether a season is looked for after this step.
    #[inline(always)]
    pub(super) fn looks_for_season(&self) -> bool {
        let whole = self.step.is_multiple_of(BATCH as u64);
        self.config.season == SeasonSpec::Auto && (whole || self.step <= YOUNG)
    }

    #[inline(never)]
    pub(super) fn find_season(&mut self) {
        let whole = self.step.is_multiple_of(BATCH as u64);
        let young = self.step <= YOUNG;
        let (ring, oldest) = self.experts.seasonal.ring();
        // While the mean and the scale still move, each value is taken by those of its time.
        self.finder.correlate(if young { 1 } else { BATCH }, ring, oldest);
        if !whole || (!young && !self.step.is_multiple_of(LOOK_LATER)) {
            return;
        }
        let found = self.finder.find();
        if let Some(day) = self.day() {
            // The calendar's season stays; a shorter one that is found besides has its own expert.
            self.found = if self.finder.confirms() { Some(day) } else { found };
            self.experts.seasonal.set_cycle(found);
            return;
        }
        let Some(found) = found else { return };
        let known = self.experts.seasonal.season();
        if known == Some(found) || known.is_some_and(|known| !self.finder.better(found, known)) {
            return;
        }
        self.found = Some(found);
        self.experts.seasonal.set_season(found);
        self.spread = Spread::new();
        for (place, ahead) in horizons(found).into_iter().enumerate() {
            if self.nodes[place].ahead() == ahead {
                self.nodes[place].doubt();
            } else {
                self.nodes[place].move_to(place, ahead);
            }
        }
    }

    /// A day in steps, where it is a season that there is memory for.
    pub(crate) fn day(&self) -> Option<usize> {
        day_of(&self.config)
    }

    /// The season that was found or given, in steps.
    pub const fn season(&self) -> Option<usize> {
        self.found
    }

    /// The horizons for which weights and tails are learnt, in steps.
    pub fn tracked(&self) -> [usize; NODES] {
        std::array::from_fn(|place| self.nodes[place].ahead())
    }
}

/// What horizons are set for as long as no season is known.
pub(super) fn scale(config: &ForecasterConfig) -> usize {
    config.max_season.min(UNKNOWN)
}

/// A day in steps, where it is a season that fits.
pub(super) fn day_of(config: &ForecasterConfig) -> Option<usize> {
    let interval = config.interval.as_nanos();
    let steps = usize::try_from((DAY + interval / 2) / interval).ok()?;
    (12..=config.max_season).contains(&steps).then_some(steps)
}

/// The tracked horizons for a season: 1, 4, 12, a sixth and a whole of it, made distinct.
pub(super) fn horizons(season: usize) -> [usize; NODES] {
    let mut all = [1, 4, 12, (season / 6).max(1), season];
    all.sort_unstable();
    for k in 1..NODES {
        all[k] = all[k].max(all[k - 1] + 1);
    }
    all
}

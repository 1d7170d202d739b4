//! Where a request goes, where it could go to several: devices of a host, later hosts.
//!
//! A strategy picks among [`Bin`]s, and neither promises nor remembers anything. The names are
//! those of bin packing: D. S. Johnson, *Near-Optimal Bin Packing Algorithms* (MIT, 1973), and for
//! several dimensions R. Panigrahy et al., *Heuristics for Vector Bin Packing* (Microsoft
//! Research, 2011).
//!
//! ```
//! use plimsoll_core_types::{Bytes, ResourceVector};
//! use plimsoll_pool::ledger::placement::{BestFit, Bin, FirstFit, Placement, WorstFit};
//!
//! let memory = |gib| ResourceVector::new().with_memory(Bytes::from_gib(gib));
//! let bins = [8, 3, 5].map(|free| Bin { limit: memory(8), promised: memory(8 - free) });
//! assert_eq!(FirstFit.place(&memory(2), &bins), Some(0));
//! assert_eq!(BestFit.place(&memory(2), &bins), Some(1));
//! assert_eq!(WorstFit.place(&memory(2), &bins), Some(0));
//! assert_eq!(BestFit.place(&memory(9), &bins), None);
//! ```

use std::fmt;

use plimsoll_core_types::{Bytes, DeviceIndex, Dimension, ResourceVector};

use super::Ledger;

/// Something that a request can be placed in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bin {
    /// All that it has.
    pub limit: ResourceVector,
    /// What of it is promised.
    pub promised: ResourceVector,
}

impl Bin {
    /// What is left.
    pub fn free(&self) -> ResourceVector {
        self.limit.saturating_sub(&self.promised)
    }

    /// Whether there is room for `need`.
    pub fn fits(&self, need: &ResourceVector) -> bool {
        need.fits_in(&self.free())
    }

    /// The bin with `need` in it.
    fn with(&self, need: &ResourceVector) -> Self {
        Self { limit: self.limit, promised: self.promised.saturating_add(need) }
    }

    /// The mean share of each of its dimensions that is free.
    fn slack(&self) -> f64 {
        let (mut sum, mut count) = (0.0, 0_u32);
        for (dimension, limit) in self.limit.iter() {
            sum += self.free().get(dimension) as f64 / limit as f64;
            count += 1;
        }
        sum / f64::from(count.max(1))
    }

    /// The share of its tightest dimension that is promised.
    fn dominant(&self) -> f64 {
        self.promised.dominant_share(&self.limit).map_or(0.0, |(_, share)| share.get())
    }
}

/// Picks where a request goes.
pub trait Placement: Send + Sync + fmt::Debug {
    /// Which of `bins` to put `need` into; none where it fits in none.
    fn place(&self, need: &ResourceVector, bins: &[Bin]) -> Option<usize>;
}

/// The first that has room. Fills bins in order, and leaves the last ones whole.
#[derive(Clone, Copy, Debug, Default)]
pub struct FirstFit;

/// The one that has least left afterwards, over all dimensions. Leaves large gaps for large
/// requests.
#[derive(Clone, Copy, Debug, Default)]
pub struct BestFit;

/// The one that has most left afterwards. Spreads load, and leaves everybody room to grow.
#[derive(Clone, Copy, Debug, Default)]
pub struct WorstFit;

/// The one whose dimensions are filled most evenly by it: the tightest dimension is least ahead of
/// the others afterwards. Strands least where requests want different things, such as much memory
/// and little CPU beside the opposite. Among equals, the fullest.
#[derive(Clone, Copy, Debug, Default)]
pub struct DominantFit;

impl Placement for FirstFit {
    fn place(&self, need: &ResourceVector, bins: &[Bin]) -> Option<usize> {
        bins.iter().position(|bin| bin.fits(need))
    }
}

impl Placement for BestFit {
    fn place(&self, need: &ResourceVector, bins: &[Bin]) -> Option<usize> {
        least(need, bins, Bin::slack)
    }
}

impl Placement for WorstFit {
    fn place(&self, need: &ResourceVector, bins: &[Bin]) -> Option<usize> {
        least(need, bins, |after| -after.slack())
    }
}

impl Placement for DominantFit {
    fn place(&self, need: &ResourceVector, bins: &[Bin]) -> Option<usize> {
        // How far the tightest dimension is ahead of the mean: what is left of the others there
        // can't be used once it is full. A small weight on what is left breaks ties.
        least(need, bins, |after| after.dominant() - (1.0 - after.slack()) + after.slack() * 1e-3)
    }
}

/// The bin with room whose state afterwards costs least; the first among equals.
fn least(need: &ResourceVector, bins: &[Bin], cost: impl Fn(&Bin) -> f64) -> Option<usize> {
    let fitting = bins.iter().enumerate().filter(|(_, bin)| bin.fits(need));
    let costs = fitting.map(|(index, bin)| (index, cost(&bin.with(need))));
    let best = costs.reduce(|best, next| if next.1 < best.1 { next } else { best });
    best.map(|(index, _)| index)
}

impl Ledger {
    /// `amount` with `memory` of whichever accelerator `strategy` picks, among those that have
    /// room for it now; none where no accelerator has. The rest of `amount` is not looked at.
    pub fn place(
        &self,
        amount: &ResourceVector,
        memory: Bytes,
        strategy: &dyn Placement,
    ) -> Option<(DeviceIndex, ResourceVector)> {
        let devices: Vec<_> = DeviceIndex::all()
            .filter(|device| !self.limit.accelerator(*device).is_zero())
            .collect();
        let bins: Vec<_> = devices
            .iter()
            .map(|device| {
                let only = |whole: &ResourceVector| {
                    ResourceVector::new()
                        .with(Dimension::Memory, whole.get(Dimension::Accelerator(*device)))
                };
                Bin { limit: only(&self.limit), promised: only(&self.promised) }
            })
            .collect();
        let need = ResourceVector::new().with_memory(memory);
        let device = devices[strategy.place(&need, &bins)?];
        Some((device, amount.with_accelerator(device, memory)))
    }
}

#[cfg(test)]
mod tests;

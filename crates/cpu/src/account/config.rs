//! What accounting may cost.

use plimsoll_core_types::Ratio;

/// What accounting may cost. Every value is a valid one.
#[derive(Clone, Debug, PartialEq)]
pub struct AccountConfig {
    /// What measuring is to cost, as a part of the CPU time that is measured. Default 1%. More is
    /// more exact over short times.
    pub overhead: Ratio,
    /// What it may cost where polls are so uneven that more have to be looked at. Default 5%.
    pub most_overhead: Ratio,
    /// The longest mean distance between two measured polls of a class. Default 1024; 0 is as 1,
    /// which measures all.
    pub most_interval: u32,
    /// How many classes have accounts of their own. Default 4096.
    pub most_classes: usize,
}

impl Default for AccountConfig {
    fn default() -> Self {
        Self {
            overhead: Ratio::saturating(0.01),
            most_overhead: Ratio::saturating(0.05),
            most_interval: 1024,
            most_classes: 4096,
        }
    }
}

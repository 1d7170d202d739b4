//! How many replicas: what people use today, and what production uses.

mod forecasting;
mod reactive;
mod vpa;

pub use forecasting::{Forecasting, ForecastingConfig};
pub use reactive::Reactive;
pub use vpa::Vpa;

use super::{PoolView, Sizer};

/// Always as many as the peak demands. Where that is known only in hindsight, it is what an
/// operator would have provided who knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticPeak {
    size: usize,
}

impl StaticPeak {
    /// Always `size`.
    pub const fn new(size: usize) -> Self {
        Self { size }
    }
}

impl Sizer for StaticPeak {
    fn size(&mut self, _: &PoolView<'_>) -> usize {
        self.size
    }
}

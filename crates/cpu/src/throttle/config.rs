//! How a throttle is set.

use std::time::Duration;

use plimsoll_core_types::Millicores;

/// How a [`Throttle`](super::Throttle) is set. Checked when it is made.
#[derive(Clone, Debug, PartialEq)]
pub struct ThrottleConfig {
    /// CPU time per time that all classes together may use. Default 1 core.
    ///
    /// Set it below what the host really has to spare. Where cores are scarcer than this, nobody's
    /// balance is ever used up, and the executor alone decides who runs: a class with many tasks
    /// then gets more than its weight. [`Throttle::set_rate`](super::Throttle::set_rate) changes it
    /// while things run, for instance after [`HostCpu::effective`](crate::HostCpu::effective).
    pub rate: Millicores,
    /// How much CPU time a class can save up while it needs none, and use at once later. Default
    /// 20 ms. Waits are rounded up to a millisecond, so a class can only use its part to the full
    /// where this is several milliseconds for each core of it.
    pub burst: Duration,
    /// How many classes there may be. Default 1024.
    pub most_classes: usize,
}

impl Default for ThrottleConfig {
    fn default() -> Self {
        Self {
            rate: Millicores::from_cores(1),
            burst: Duration::from_millis(20),
            most_classes: 1024,
        }
    }
}

/// Why a throttle or a class of it can't be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ThrottleError {
    /// Nothing could ever run.
    #[error("burst is 0; it must be above 0")]
    NoBurst,
    /// A weight that is no weight.
    #[error("weight is {weight}; it must be finite and above 0")]
    Weight {
        /// What was given.
        weight: f64,
    },
    /// There are as many classes as there may be.
    #[error("there are {most} classes already, as many as most_classes allows")]
    TooManyClasses {
        /// How many there may be.
        most: usize,
    },
}

//! How a [`CpuService`](crate::CpuService) works.

use std::time::Duration;

use crate::account::AccountConfig;
use crate::balance::BalanceConfig;
use crate::threads::PlanConfig;

/// How a [`CpuService`](crate::CpuService) works. Every value is a valid one.
#[derive(Clone, Debug, PartialEq)]
pub struct CpuConfig {
    /// What accounting futures may cost.
    pub account: AccountConfig,
    /// How many processes may be watched. Default 1024.
    pub most_processes: usize,
    /// How threads are planned.
    pub threads: PlanConfig,
    /// How workers are balanced.
    pub balance: BalanceConfig,
    /// How many task classes are accounted apart. Default 4096; what comes beyond them is
    /// accounted together, and the status says how much.
    pub most_classes: usize,
    /// Time constant of the shares that the status shows. Default 10 s.
    pub shares_over: Duration,
}

impl Default for CpuConfig {
    fn default() -> Self {
        Self {
            account: AccountConfig::default(),
            most_processes: 1024,
            threads: PlanConfig::default(),
            balance: BalanceConfig::default(),
            most_classes: 4096,
            shares_over: Duration::from_secs(10),
        }
    }
}

//! What this host has, and what the demo takes of it.

use std::sync::Arc;

use plimsoll_core_types::{Bytes, CapacityProbe as _, Clock, Millicores, ResourceVector};
use plimsoll_cpu::HostCpu;
use plimsoll_memory::HostMemory;

use super::catalog::least_declared;
use super::{DemoArgs, DemoError};
use crate::output::line;

/// The host as measured at the start, and the budget taken out of it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) memory: Arc<HostMemory>,
    pub(super) cpu: Arc<HostCpu>,
    pub(super) budget: ResourceVector,
}

impl Host {
    /// Measures the host, and checks that the budget that was asked for is there.
    pub(super) fn measure(args: &DemoArgs, clock: &dyn Clock) -> Result<Self, DemoError> {
        let (memory, cpu) = (Arc::new(HostMemory::system()), Arc::new(HostCpu::system()));
        let now = clock.now();
        let reading = memory.sample(now)?;
        let effective = cpu.effective(now).cores;
        let (capacity, used) = (reading.capacity.memory(), reading.used.memory());
        line(&format!(
            "host: {capacity} memory within this process's limits, {used} of it used; {effective} effective"
        ));
        for note in &reading.notes {
            line(&format!("      {}: {}", note.source, note.problem));
        }
        let memory_budget = check_memory(args.budget, capacity, capacity.saturating_sub(used))?;
        let cores = check_cores(args.cores, effective)?;
        line(&format!("line: {memory_budget} and {cores} for all models together"));
        let budget = ResourceVector::new().with_memory(memory_budget).with_cpu(cores);
        Ok(Self { memory, cpu, budget })
    }
}

fn check_memory(given: Bytes, capacity: Bytes, free: Bytes) -> Result<Bytes, DemoError> {
    let least = least_declared();
    if given < least {
        return Err(DemoError::BudgetTooSmall { given, least });
    }
    if given > free {
        return Err(DemoError::BudgetTooLarge { given, capacity, free });
    }
    Ok(given)
}

fn check_cores(given: Option<Millicores>, effective: Millicores) -> Result<Millicores, DemoError> {
    let cores = given.unwrap_or(effective);
    let least = Millicores::new(100).min(effective);
    if cores < least || cores > effective {
        return Err(DemoError::Cores { given: cores, effective });
    }
    Ok(cores)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_must_hold_the_smallest_model_and_be_there() {
        let check = |mib, expected: &str| {
            let (capacity, free) = (Bytes::from_gib(2), Bytes::from_gib(1));
            let error = check_memory(Bytes::from_mib(mib), capacity, free).unwrap_err();
            assert!(error.is_usage());
            assert_eq!(error.to_string(), expected);
        };
        check(
            8,
            "--budget 8 MiB is too small: the smallest model needs 20.8 MiB; use at least 20.8 MiB",
        );
        check(
            4096,
            "--budget 4 GiB is more than this host has: 2 GiB, of which 1 GiB are free now; use at \
             most 1 GiB",
        );
    }

    #[test]
    fn cores_must_be_there() {
        let effective = Millicores::from_cores(2);
        assert_eq!(check_cores(None, effective).unwrap(), effective);
        assert!(check_cores(Some(Millicores::from_cores(3)), effective).is_err());
        assert!(check_cores(Some(Millicores::ZERO), effective).is_err());
    }
}

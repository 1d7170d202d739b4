//! What strategies must keep to, and what each is for.

use plimsoll_core_types::{Bytes, Millicores};
use proptest::prelude::*;

use super::*;
use crate::ledger::LedgerConfig;

const STRATEGIES: [&dyn Placement; 4] = [&FirstFit, &BestFit, &WorstFit, &DominantFit];

fn amount(cpu: u64, memory: u64) -> ResourceVector {
    ResourceVector::new().with_cpu(Millicores::new(cpu)).with_memory(Bytes::new(memory))
}

fn bins(count: usize) -> Vec<Bin> {
    vec![Bin { limit: amount(100, 100), promised: ResourceVector::ZERO }; count]
}

/// Places what fits, in order, and says how much could be.
fn pack(strategy: &dyn Placement, needs: &[ResourceVector], bins: &mut [Bin]) -> usize {
    let mut placed = 0;
    for need in needs {
        if let Some(index) = strategy.place(need, bins) {
            assert!(bins[index].fits(need), "{strategy:?}");
            bins[index] = bins[index].with(need);
            placed += 1;
        } else {
            assert!(!bins.iter().any(|bin| bin.fits(need)), "{strategy:?} found no room");
        }
    }
    placed
}

proptest! {
    #[test]
    fn nothing_is_overfilled_and_room_is_found(
        needs in proptest::collection::vec((0..60u64, 1..60u64), 1..60),
        count in 1..6usize,
    ) {
        let needs: Vec<_> = needs.into_iter().map(|(cpu, memory)| amount(cpu, memory)).collect();
        for strategy in STRATEGIES {
            let mut bins = bins(count);
            pack(strategy, &needs, &mut bins);
            prop_assert!(bins.iter().all(|bin| bin.promised.fits_in(&bin.limit)));
        }
    }
}

#[test]
fn requests_that_complement_each_other_are_put_together() {
    // Two that want CPU, then two that want memory: together they fill two bins, apart they
    // need three.
    let needs = [amount(70, 20), amount(20, 70), amount(70, 20), amount(20, 70)];
    let placed = |strategy: &dyn Placement| pack(strategy, &needs, &mut bins(2));
    assert_eq!(placed(&DominantFit), 4);
    assert_eq!(placed(&WorstFit), 4);
    let skewed = [amount(45, 10), amount(45, 10), amount(10, 45), amount(10, 45), amount(40, 40)];
    let mut filled = bins(2);
    assert_eq!(pack(&DominantFit, &skewed, &mut filled), 4 + 1);
}

#[test]
fn best_fit_keeps_the_large_gap_and_worst_fit_spreads() {
    let mut bins = bins(3);
    bins[1].promised = amount(60, 60);
    assert_eq!(BestFit.place(&amount(30, 30), &bins), Some(1));
    assert_eq!(WorstFit.place(&amount(30, 30), &bins), Some(0));
    assert_eq!(FirstFit.place(&amount(30, 30), &bins), Some(0));
    for strategy in STRATEGIES {
        assert_eq!(strategy.place(&amount(101, 1), &bins), None);
        assert_eq!(strategy.place(&amount(1, 1), &[]), None);
    }
}

#[test]
fn a_ledger_places_on_the_device_that_the_strategy_picks() {
    let device = |index| DeviceIndex::new(index).unwrap();
    let limit = ResourceVector::new()
        .with_accelerator(device(0), Bytes::new(100))
        .with_accelerator(device(3), Bytes::new(100));
    let mut ledger = Ledger::new(limit, LedgerConfig::default()).unwrap();
    let host = amount(1, 1);
    let held = ResourceVector::new().with_accelerator(device(3), Bytes::new(50));
    let request = plimsoll_core_types::ResourceRequest::new(
        plimsoll_core_types::ConsumerId::new("a").unwrap(),
        held,
    );
    ledger.request(request.unwrap(), plimsoll_core_types::Timestamp::ZERO).unwrap();
    let on = |strategy: &dyn Placement| ledger.place(&host, Bytes::new(40), strategy).unwrap();
    assert_eq!(on(&FirstFit), (device(0), host.with_accelerator(device(0), Bytes::new(40))));
    assert_eq!(on(&BestFit).0, device(3));
    assert_eq!(on(&WorstFit).0, device(0));
    assert_eq!(ledger.place(&host, Bytes::new(101), &FirstFit), None);
}

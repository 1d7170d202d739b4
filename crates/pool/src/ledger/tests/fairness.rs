//! Shares against a reference that is computed apart, and starvation in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// A tenant's tasks: what each takes, the tenant's weight.
#[derive(Clone, Debug)]
struct Demand {
    cpu: u64,
    mib: u64,
    weight: f64,
}

fn amount(cpu: u64, mib: u64) -> ResourceVector {
    mem(mib).with_cpu(Millicores::new(cpu))
}

/// Progressive filling as the paper has it (algorithm 1): the tenant with the smallest dominant
/// share by weight gets its next task, until that one has no room. Ties go to the first.
fn reference(limit: (u64, u64), demands: &[Demand]) -> Vec<usize> {
    let mut tasks = vec![0_usize; demands.len()];
    let mut used = (0, 0);
    loop {
        let share = |index: usize| {
            let Demand { cpu, mib, weight } = demands[index];
            let count = tasks[index] as f64;
            let of = |part: u64, whole: u64| count * part as f64 / whole as f64;
            of(cpu, limit.0).max(of(mib, limit.1)) / weight
        };
        let next =
            (0..demands.len()).reduce(|one, two| if share(two) < share(one) { two } else { one });
        let Some(next) = next else { return tasks };
        let (cpu, mib) = (used.0 + demands[next].cpu, used.1 + demands[next].mib);
        if cpu > limit.0 || mib > limit.1 {
            return tasks;
        }
        used = (cpu, mib);
        tasks[next] += 1;
    }
}

/// What the ledger gives when all of it comes free at once and everybody waits for more than
/// there is.
fn shares(limit: (u64, u64), demands: &[Demand]) -> Vec<usize> {
    let tenant = |index: usize| TenantId::new(&format!("t{index:02}")).unwrap();
    let tenants = demands.iter().enumerate().map(|(index, demand)| {
        (tenant(index), TenantConfig { weight: demand.weight, ..TenantConfig::default() })
    });
    // With strict order, the walk stops for everybody at the first that does not fit, as in the
    // paper: both dimensions are lacked by everybody who needs both.
    let config = LedgerConfig {
        tenants: tenants.collect(),
        max_bypass: 0,
        max_listed: usize::MAX,
        ..LedgerConfig::default()
    };
    let whole = amount(limit.0, limit.1);
    let mut ledger = Ledger::new(whole, config).unwrap();
    let all = granted(&mut ledger, ask("all", whole));
    for (index, demand) in demands.iter().enumerate() {
        let most = (limit.0 / demand.cpu).min(limit.1 / demand.mib) + 1;
        for _ in 0..most {
            waits(
                &mut ledger,
                ask("task", amount(demand.cpu, demand.mib)).with_tenant(tenant(index)),
            );
        }
    }
    ledger.release(all, at(1.0)).unwrap();
    let mut tasks: BTreeMap<TenantId, usize> = BTreeMap::new();
    for lease in ledger.status(at(1.0)).leases {
        *tasks.entry(lease.tenant).or_default() += 1;
    }
    (0..demands.len()).map(|index| tasks.get(&tenant(index)).copied().unwrap_or(0)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: plimsoll_testkit::scale(48) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Up to the first tenant that has no room, the ledger and the paper agree task by task. After
    /// that the ledger goes on with whoever still fits without taking what the first lacks.
    #[test]
    fn shares_are_those_of_the_paper(
        demands in proptest::collection::vec((3..40u64, 3..40u64, 1..4u32), 1..5),
    ) {
        let demands: Vec<_> = demands
            .into_iter()
            .map(|(cpu, mib, weight)| Demand { cpu, mib, weight: f64::from(weight) })
            .collect();
        let limit = (200, 200);
        let (expected, got) = (reference(limit, &demands), shares(limit, &demands));
        for (index, tasks) in expected.iter().enumerate() {
            prop_assert!(got[index] >= *tasks, "{demands:?}: {got:?}, the paper says {expected:?}");
        }
        let used = got.iter().zip(&demands).fold((0, 0), |used, (count, demand)| {
            (used.0 + *count as u64 * demand.cpu, used.1 + *count as u64 * demand.mib)
        });
        prop_assert!(used.0 <= limit.0 && used.1 <= limit.1, "{used:?} of {limit:?}");
    }
}

#[test]
fn weights_scale_shares() {
    let demand = |weight| Demand { cpu: 10, mib: 10, weight };
    let demands = [demand(1.0), demand(3.0)];
    assert_eq!(reference((400, 400), &demands), [10, 30]);
    assert_eq!(shares((400, 400), &demands), [10, 30]);
}

/// One tenant floods: whoever else comes is served as if the flood were one competitor.
#[test]
fn a_flood_of_one_tenant_starves_nobody() {
    let of = |tenant: &str| ask(tenant, mem(10)).with_tenant(TenantId::new(tenant).unwrap());
    let config = LedgerConfig { max_waiting_each: 200, ..LedgerConfig::default() };
    let mut ledger = Ledger::new(mem(100), config).unwrap();
    let mut ends: Vec<(u64, LeaseId)> = Vec::new();
    let mut quiet: BTreeMap<TicketId, u64> = BTreeMap::new();
    let mut waited = Vec::new();
    for second in 0..2_000_u64 {
        let now = Timestamp::from_nanos(second * 1_000_000_000);
        let (over, running): (Vec<_>, Vec<_>) = ends.iter().partition(|(end, _)| *end <= second);
        ends = running;
        for (_, lease) in over {
            ledger.release(lease, now).unwrap();
        }
        // Five a second, where one a second can be served.
        for _ in 0..5 {
            if let Ok(Outcome::Granted(lease)) = ledger.request(of("flood"), now) {
                ends.push((second + 10, lease));
            }
        }
        if second % 20 == 0 {
            match ledger.request(of("quiet"), now).unwrap() {
                Outcome::Granted(lease) => {
                    ends.push((second + 10, lease));
                    waited.push(0);
                }
                Outcome::Waits(ticket) => {
                    quiet.insert(ticket, second);
                }
            }
        }
        while let Some(event) = ledger.poll_event() {
            let Event::Granted { ticket, lease, .. } = event else { panic!("{event:?}") };
            ends.push((second + 10, lease));
            if let Some(since) = quiet.remove(&ticket) {
                waited.push(second - since);
            }
        }
    }
    let longest = waited.iter().max().unwrap();
    assert!(waited.len() + quiet.len() == 100 && quiet.len() <= 1, "{} wait still", quiet.len());
    assert!(*longest <= 10, "one waited {longest} s: longer than the next release");
}

/// One big request among many small ones that always fit: it is passed a bounded number of times,
/// then what it lacks is kept for it.
#[test]
fn a_big_one_among_many_small_ones_gets_its_turn() {
    let config = LedgerConfig { max_bypass: 16, ..LedgerConfig::default() };
    let mut ledger = Ledger::new(mem(100), config).unwrap();
    let mut ends: Vec<(u64, LeaseId)> = Vec::new();
    let (mut big, mut passed, mut served_at) = (None, 0, None);
    for second in 0..500_u64 {
        let now = Timestamp::from_nanos(second * 1_000_000_000);
        let (over, running): (Vec<_>, Vec<_>) = ends.iter().partition(|(end, _)| *end <= second);
        ends = running;
        for (_, lease) in over {
            ledger.release(lease, now).unwrap();
        }
        // Two a second for 5 s each is all that there is.
        for _ in 0..2 {
            if let Ok(Outcome::Granted(lease)) = ledger.request(ask("small", mem(10)), now) {
                ends.push((second + 5, lease));
                passed += u32::from(big.is_some());
            }
        }
        if second == 50 {
            let Outcome::Waits(ticket) = ledger.request(ask("big", mem(90)), now).unwrap() else {
                panic!("there is no room");
            };
            big = Some(ticket);
        }
        while let Some(event) = ledger.poll_event() {
            let Event::Granted { ticket, lease, .. } = event else { panic!("{event:?}") };
            ends.push((second + 5, lease));
            if big == Some(ticket) {
                (served_at, big) = (Some(second), None);
            } else {
                passed += u32::from(big.is_some());
            }
        }
    }
    let served_at = served_at.expect("it is served");
    assert!(served_at <= 50 + 20, "at {served_at} s");
    assert!(passed <= 16, "passed {passed} times");
}

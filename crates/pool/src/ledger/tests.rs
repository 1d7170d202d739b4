//! What a ledger must never do, and what it must do in the end.

mod fairness;
mod model;
mod taking_back;

use std::time::Duration;

use plimsoll_core_types::{
    AllocateError, Bytes, ConsumerId, LeaseId, Millicores, Priority, Reason, ResourceRequest,
    ResourceVector, TenantId, TicketId, Timestamp,
};

use super::{Event, Ledger, LedgerConfig, Outcome, TenantConfig};

fn mem(mib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib))
}

fn name(name: &str) -> ConsumerId {
    ConsumerId::new(name).unwrap()
}

pub(super) fn ask(consumer: &str, amount: ResourceVector) -> ResourceRequest {
    ResourceRequest::new(name(consumer), amount).unwrap()
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

fn ledger(limit: ResourceVector) -> Ledger {
    Ledger::new(limit, LedgerConfig::default()).unwrap()
}

fn granted(ledger: &mut Ledger, request: ResourceRequest) -> LeaseId {
    match ledger.request(request, at(0.0)).unwrap() {
        Outcome::Granted(lease) => lease,
        Outcome::Waits(ticket) => panic!("{ticket} waits"),
    }
}

fn waits(ledger: &mut Ledger, request: ResourceRequest) -> TicketId {
    match ledger.request(request, at(0.0)).unwrap() {
        Outcome::Waits(ticket) => ticket,
        Outcome::Granted(lease) => panic!("{lease} was granted"),
    }
}

/// Who was granted something since this was last asked, in order.
fn grants(ledger: &mut Ledger) -> Vec<(TicketId, LeaseId)> {
    let mut grants = Vec::new();
    while let Some(event) = ledger.poll_event() {
        if let Event::Granted { ticket, lease, .. } = event {
            grants.push((ticket, lease));
        }
    }
    grants
}

fn tickets(ledger: &mut Ledger) -> Vec<TicketId> {
    grants(ledger).into_iter().map(|(ticket, _)| ticket).collect()
}

#[test]
fn what_can_never_fit_is_refused_with_the_numbers() {
    let mut ledger = ledger(mem(100));
    let error = ledger.request(ask("big", mem(101)), at(0.0)).unwrap_err();
    let text = error.to_string();
    assert_eq!(text, "big can never fit: memory asks 101 MiB, the limit is 100 MiB");
    let gpu = ResourceVector::new().with_cpu(Millicores::new(1)).with_memory(Bytes::from_mib(1));
    assert!(matches!(
        ledger.request(ask("cpu", gpu), at(0.0)),
        Err(AllocateError::NeverFits { .. })
    ));
    assert_eq!(ledger.status(at(0.0)).refused, 2);
}

#[test]
fn within_a_class_the_first_to_come_goes_first() {
    let mut ledger = ledger(mem(100));
    let held = granted(&mut ledger, ask("a", mem(100)));
    let line: Vec<_> = (0..5).map(|_| waits(&mut ledger, ask("b", mem(20)))).collect();
    ledger.release(held, at(1.0)).unwrap();
    assert_eq!(tickets(&mut ledger), line);
}

#[test]
fn a_higher_class_goes_first_until_the_lower_has_aged() {
    let mut ledger = ledger(mem(100));
    let held = granted(&mut ledger, ask("a", mem(100)));
    let low = waits(&mut ledger, ask("low", mem(100)).with_priority(Priority::Low));
    let high = waits(&mut ledger, ask("high", mem(100)).with_priority(Priority::High));
    ledger.release(held, at(1.0)).unwrap();
    let first = grants(&mut ledger);
    assert_eq!(first[0].0, high);
    // Low has waited for two ageing times by now, and so stands with the new high one, before it.
    let later = at(61.0);
    let newer = ask("newer", mem(100)).with_priority(Priority::High);
    assert!(matches!(ledger.request(newer, later), Ok(Outcome::Waits(_))));
    ledger.release(first[0].1, later).unwrap();
    assert_eq!(tickets(&mut ledger), [low]);
}

#[test]
fn small_ones_pass_a_big_one_only_so_often() {
    let config = LedgerConfig { max_bypass: 3, ..LedgerConfig::default() };
    let mut ledger = Ledger::new(mem(100), config).unwrap();
    let mut held = granted(&mut ledger, ask("first", mem(60)));
    let big = waits(&mut ledger, ask("big", mem(80)));
    for _ in 0..3 {
        let small = granted(&mut ledger, ask("small", mem(40)));
        ledger.release(small, at(1.0)).unwrap();
    }
    let small = waits(&mut ledger, ask("small", mem(40)));
    assert!(ledger.resize(held, &mem(61), at(1.0)).is_err(), "growth takes nothing kept either");
    ledger.release(held, at(2.0)).unwrap();
    let order = grants(&mut ledger);
    assert_eq!(order[0].0, big);
    held = order[0].1;
    ledger.release(held, at(3.0)).unwrap();
    assert_eq!(tickets(&mut ledger), [small]);
}

#[test]
fn a_blocked_one_blocks_nobody_who_does_not_need_what_it_needs() {
    let config = LedgerConfig { max_bypass: 0, ..LedgerConfig::default() };
    let limit = mem(100).with_cpu(Millicores::from_cores(4));
    let mut ledger = Ledger::new(limit, config).unwrap();
    granted(&mut ledger, ask("a", mem(60)));
    waits(&mut ledger, ask("big", mem(80)));
    waits(&mut ledger, ask("small", mem(1)));
    granted(&mut ledger, ask("compute", ResourceVector::new().with_cpu(Millicores::new(500))));
}

#[test]
fn what_is_freed_for_somebody_is_kept_for_it() {
    let mut ledger = ledger(mem(100));
    let (one, two) =
        (granted(&mut ledger, ask("one", mem(50))), granted(&mut ledger, ask("two", mem(50))));
    let wanted = waits(&mut ledger, ask("wanted", mem(90)));
    for lease in [one, two] {
        ledger.begin_reclaim(lease, Some(name("wanted")), at(0.0)).unwrap();
    }
    assert_eq!(ledger.status(at(0.0)).reclaiming, mem(100));
    ledger.release(one, at(1.0)).unwrap();
    // Fifty are free, and are not for the thief, although it would fit and may pass.
    let thief = waits(&mut ledger, ask("thief", mem(40)));
    assert_eq!(tickets(&mut ledger), []);
    ledger.release(two, at(2.0)).unwrap();
    assert_eq!(tickets(&mut ledger), [wanted]);
    assert!(ledger.reason(thief, at(2.0)).is_some());
}

#[test]
fn what_is_kept_is_free_again_when_nobody_comes_for_it() {
    let mut ledger = ledger(mem(100));
    let one = granted(&mut ledger, ask("one", mem(100)));
    ledger.begin_reclaim(one, Some(name("nobody")), at(0.0)).unwrap();
    ledger.release(one, at(1.0)).unwrap();
    let other = waits(&mut ledger, ask("other", mem(40)));
    assert_eq!(ledger.next_wakeup(), Some(at(11.0)));
    ledger.expire(at(11.0));
    assert_eq!(tickets(&mut ledger), [other]);

    // Whoever it was kept for has given up waiting.
    let mut ledger = self::ledger(mem(100));
    let one = granted(&mut ledger, ask("one", mem(60)));
    let gone = waits(&mut ledger, ask("gone", mem(90)));
    ledger.begin_reclaim(one, Some(name("gone")), at(0.0)).unwrap();
    ledger.release(one, at(0.5)).unwrap();
    assert_eq!(tickets(&mut ledger), [gone]);
}

#[test]
fn a_deadline_ends_the_wait_and_says_what_was_lacking() {
    let mut ledger = ledger(mem(100));
    granted(&mut ledger, ask("a", mem(70)));
    let late = waits(&mut ledger, ask("late", mem(50)).with_deadline(at(2.0)));
    ledger.expire(at(1.9));
    assert_eq!(ledger.poll_event(), None);
    ledger.expire(at(2.0));
    let Some(Event::Refused { ticket, error }) = ledger.poll_event() else { panic!() };
    assert_eq!(ticket, late);
    let text = "late waited 2s until its deadline; memory: asks 50 MiB, 30 MiB free";
    assert_eq!(error.to_string(), text);
    assert!(!ledger.cancel(late, at(3.0)), "it waits no more");
}

#[test]
fn a_lease_that_has_expired_is_gone_for_good() {
    let mut ledger = ledger(mem(100));
    let lease = granted(&mut ledger, ask("a", mem(70)).with_ttl(Duration::from_secs(5)));
    assert_eq!(ledger.renew(lease, Duration::from_secs(5), at(4.0)), Ok(at(9.0)));
    let next = waits(&mut ledger, ask("b", mem(70)));
    assert!(ledger.renew(lease, Duration::from_secs(5), at(9.0)).is_err());
    assert!(ledger.resize(lease, &mem(1), at(9.0)).is_err());
    assert!(ledger.release(lease, at(9.0)).is_err());
    let events: Vec<_> = std::iter::from_fn(|| ledger.poll_event()).collect();
    assert!(matches!(events[0], Event::Expired { lease: of, .. } if of == lease));
    assert!(matches!(events[1], Event::Granted { ticket, .. } if ticket == next));
    assert_eq!(ledger.promised(), &mem(70));
    let unlimited = granted(&mut ledger, ask("c", mem(1)));
    assert!(ledger.renew(unlimited, Duration::from_secs(1), at(9.0)).is_err());
}

#[test]
fn a_lowered_limit_leaves_a_debt_that_is_paid_first() {
    let mut ledger = ledger(mem(100));
    let leases: Vec<_> = (0..4).map(|_| granted(&mut ledger, ask("a", mem(25)))).collect();
    let small = waits(&mut ledger, ask("small", mem(20)));
    let large = waits(&mut ledger, ask("large", mem(60)));
    ledger.set_limit(mem(50), at(1.0));
    let Some(Event::Refused { ticket, error }) = ledger.poll_event() else { panic!() };
    assert_eq!(ticket, large);
    assert!(matches!(error, AllocateError::NeverFits { .. }));
    for lease in &leases[..2] {
        ledger.release(*lease, at(2.0)).unwrap();
        assert_eq!(tickets(&mut ledger), []);
    }
    ledger.release(leases[2], at(3.0)).unwrap();
    assert_eq!(tickets(&mut ledger), [small]);
    assert_eq!(ledger.promised(), &mem(45));
}

#[test]
fn a_lease_grows_and_shrinks_in_place() {
    let mut ledger = ledger(mem(100));
    let lease = granted(&mut ledger, ask("a", mem(60)));
    granted(&mut ledger, ask("b", mem(20)));
    let error = ledger.resize(lease, &mem(81), at(0.0)).unwrap_err();
    assert!(error.to_string().contains("can't grow to 81 MiB of memory: 20 MiB more are free"));
    ledger.resize(lease, &mem(80), at(0.0)).unwrap();
    let next = waits(&mut ledger, ask("c", mem(50)));
    ledger.resize(lease, &mem(30), at(0.0)).unwrap();
    assert_eq!(tickets(&mut ledger), [next]);
    assert!(ledger.resize(lease, &ResourceVector::ZERO, at(0.0)).is_err());
}

#[test]
fn tenants_share_by_dominant_resource() {
    // The example of the paper: 9 cores and 18 GB; A's tasks take 1 core and 4 GB, B's 3 and 1.
    let limit =
        ResourceVector::new().with_cpu(Millicores::from_cores(9)).with_memory(Bytes::from_gib(18));
    let mut ledger = self::ledger(limit);
    let all = granted(&mut ledger, ask("all", limit));
    let task = |tenant: &str, cores, gib| {
        let amount = ResourceVector::new()
            .with_cpu(Millicores::from_cores(cores))
            .with_memory(Bytes::from_gib(gib));
        ask(tenant, amount).with_tenant(TenantId::new(tenant).unwrap())
    };
    for _ in 0..10 {
        waits(&mut ledger, task("a", 1, 4));
    }
    for _ in 0..10 {
        waits(&mut ledger, task("b", 3, 1));
    }
    ledger.release(all, at(1.0)).unwrap();
    let status = ledger.status(at(1.0));
    let of = |tenant: &str| status.leases.iter().filter(|l| l.tenant.as_str() == tenant).count();
    assert_eq!((of("a"), of("b")), (3, 2));
}

#[test]
fn quota_is_lent_and_taken_back_and_limits_hold() {
    let tenant = |quota, limit| TenantConfig { quota, limit, ..TenantConfig::default() };
    let tenants = [
        (TenantId::new("owner").unwrap(), tenant(mem(60), None)),
        (TenantId::new("capped").unwrap(), tenant(ResourceVector::ZERO, Some(mem(30)))),
    ];
    let config = LedgerConfig { tenants: tenants.into(), ..LedgerConfig::default() };
    let mut ledger = Ledger::new(mem(100), config).unwrap();
    let of = |tenant: &str, amount| ask(tenant, amount).with_tenant(TenantId::new(tenant).unwrap());
    let borrowed: Vec<_> = (0..4).map(|_| granted(&mut ledger, of("guest", mem(25)))).collect();
    let guest = waits(&mut ledger, of("guest", mem(25)));
    let owner = waits(&mut ledger, of("owner", mem(25)));
    ledger.release(borrowed[0], at(1.0)).unwrap();
    assert_eq!(
        tickets(&mut ledger),
        [owner],
        "within its quota it goes first, though it came last"
    );
    ledger.release(borrowed[1], at(1.0)).unwrap();
    assert_eq!(tickets(&mut ledger), [guest]);

    for lease in &borrowed[2..] {
        ledger.release(*lease, at(2.0)).unwrap();
    }
    assert!(ledger.request(of("capped", mem(31)), at(2.0)).is_err());
    granted(&mut ledger, of("capped", mem(20)));
    waits(&mut ledger, of("capped", mem(20)));
    granted(&mut ledger, of("guest", mem(10)));
}

#[test]
fn bad_configs_name_their_field() {
    let zero = LedgerConfig { ageing: Duration::ZERO, ..LedgerConfig::default() };
    let error = Ledger::new(mem(1), zero).unwrap_err();
    assert_eq!(error.to_string(), "ageing is 0; it must be above 0");
    let tenant = TenantConfig { weight: f64::NAN, ..TenantConfig::default() };
    let tenants = [(TenantId::DEFAULT, tenant)].into();
    let error = Ledger::new(mem(1), LedgerConfig { tenants, ..LedgerConfig::default() });
    assert!(error.unwrap_err().to_string().contains("weight of tenant default is NaN"));
    assert!(
        Ledger::new(mem(1), LedgerConfig { max_waiting: 0, ..LedgerConfig::default() }).is_err()
    );
}

#[test]
fn the_line_has_an_end_and_positions() {
    let config = LedgerConfig { max_waiting: 2, ..LedgerConfig::default() };
    let mut ledger = Ledger::new(mem(10), config).unwrap();
    granted(&mut ledger, ask("a", mem(10)));
    waits(&mut ledger, ask("b", mem(5)));
    let second = waits(&mut ledger, ask("c", mem(5)));
    let full = ledger.request(ask("d", mem(5)), at(0.0)).unwrap_err();
    assert!(matches!(full, AllocateError::LineFull { waiting: 2, .. }));
    let each = LedgerConfig { max_waiting_each: 1, ..LedgerConfig::default() };
    let mut of_each = Ledger::new(mem(10), each).unwrap();
    granted(&mut of_each, ask("a", mem(10)));
    waits(&mut of_each, ask("b", mem(5)));
    let full = of_each.request(ask("c", mem(5)), at(0.0)).unwrap_err();
    assert!(matches!(full, AllocateError::LineFull { waiting: 1, .. }));
    waits(&mut of_each, ask("d", mem(5)).with_tenant(TenantId::new("other").unwrap()));
    let Some(Reason::Waits { position, .. }) = ledger.reason(second, at(0.0)) else { panic!() };
    assert_eq!(position, 2);
    assert_eq!(ledger.status(at(0.0)).waiters[1].position, 2);
    ledger.close();
    assert!(matches!(
        ledger.poll_event(),
        Some(Event::Refused { error: AllocateError::Closed { .. }, .. })
    ));
    assert!(matches!(ledger.request(ask("e", mem(1)), at(0.0)), Err(AllocateError::Closed { .. })));
}

#[test]
fn the_time_is_asked_for_only_where_something_hangs_on_it() {
    let mut ledger = ledger(mem(10));
    let lazily = |ledger: &mut Ledger, request, now: f64| {
        let mut asked = false;
        let outcome = ledger.request_lazily(request, || {
            asked = true;
            at(now)
        });
        (outcome.unwrap(), asked)
    };
    ledger.expire(at(5.0));
    let (Outcome::Granted(first), false) = lazily(&mut ledger, ask("a", mem(1)), 9.0) else {
        panic!("it fits, whenever");
    };
    assert_eq!(ledger.status(at(9.0)).leases[0].since, at(5.0), "when it was last told");
    // However many are granted: one in 64 asks.
    let mut count = 0;
    for step in 0..256 {
        let (outcome, asked) = lazily(&mut ledger, ask("b", mem(1)), f64::from(10 + step));
        let Outcome::Granted(lease) = outcome else { panic!("there is room") };
        let since = ledger.status(at(0.0)).leases.last().map(|lease| lease.since);
        let earliest = if step < 63 { 5.0 } else { f64::from(10 + step - 63) };
        assert!(since >= Some(at(earliest)), "{since:?} at {step}");
        ledger.release_untimed(lease).unwrap().unwrap();
        count += u32::from(asked);
    }
    assert_eq!(count, 4);
    // What ends by itself ends by the present time, and while there is such, all are timed.
    let short = ask("c", mem(1)).with_ttl(Duration::from_secs(1));
    assert!(lazily(&mut ledger, short, 300.0).1);
    assert_eq!(ledger.next_wakeup(), Some(at(301.0)));
    assert!(lazily(&mut ledger, ask("d", mem(1)), 300.5).1);
    ledger.expire(at(301.0));
    assert!(!lazily(&mut ledger, ask("e", mem(1)), 302.0).1);
    // One that has to wait does so from now.
    let (Outcome::Waits(ticket), true) = lazily(&mut ledger, ask("f", mem(9)), 303.0) else {
        panic!("there is no room");
    };
    assert_eq!(ledger.status(at(303.0)).waiters[0].since, at(303.0));
    ledger.release(first, at(304.0)).unwrap();
    assert!(ledger.cancel(ticket, at(304.0)));
}

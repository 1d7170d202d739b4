//! Preemption, pressure, and when a turn comes.

use plimsoll_core_types::{Dimension, PressureLevel, Priority, Ratio};

use super::super::Preempt;
use super::*;

const GRACE: Duration = Duration::from_secs(10);

fn preempting(limit: ResourceVector, preempt: Preempt) -> Ledger {
    let config = LedgerConfig { preempt: Some(preempt), ..LedgerConfig::default() };
    Ledger::new(limit, config).unwrap()
}

fn events(ledger: &mut Ledger) -> Vec<Event> {
    std::iter::from_fn(|| ledger.poll_event()).collect()
}

fn asked(events: &[Event]) -> Vec<LeaseId> {
    let asked = events.iter().filter_map(|event| match event {
        Event::Asked { lease, .. } => Some(*lease),
        _ => None,
    });
    asked.collect()
}

#[test]
fn the_holder_is_asked_first_and_then_its_lease_is_ended() {
    let mut ledger = ledger(mem(100));
    let held = granted(&mut ledger, ask("holder", mem(80)));
    let wanted = waits(&mut ledger, ask("wanted", mem(90)));
    ledger.preempt(held, Some(name("wanted")), GRACE, at(1.0)).unwrap();
    let asked = events(&mut ledger);
    assert!(matches!(
        &asked[..],
        [Event::Asked { lease, beneficiary: Some(to), deadline, .. }]
            if *lease == held && *to == name("wanted") && *deadline == at(11.0)
    ));
    // It can't grow or be renewed, but it is still its holder's.
    assert!(ledger.resize(held, &mem(90), at(2.0)).is_err());
    assert_eq!(ledger.status(at(2.0)).reclaiming, mem(80));
    // A second asker changes neither the deadline nor for whom it is.
    ledger.preempt(held, Some(name("thief")), Duration::from_secs(1), at(3.0)).unwrap();
    assert_eq!(ledger.next_wakeup(), Some(at(11.0)));
    ledger.expire(at(10.9));
    assert_eq!(events(&mut ledger), []);
    ledger.expire(at(11.0));
    let ended = events(&mut ledger);
    assert!(matches!(&ended[0], Event::Revoked { lease, .. } if *lease == held), "{ended:?}");
    assert!(matches!(&ended[1], Event::Granted { ticket, .. } if *ticket == wanted));
    assert!(ledger.release(held, at(12.0)).is_err(), "what was revoked does not come back twice");
    assert_eq!(ledger.promised(), &mem(90));
}

#[test]
fn a_holder_that_gives_back_in_time_is_not_revoked() {
    let mut ledger = ledger(mem(100));
    let held = granted(&mut ledger, ask("holder", mem(80)));
    let wanted = waits(&mut ledger, ask("wanted", mem(90)));
    ledger.preempt(held, Some(name("wanted")), GRACE, at(1.0)).unwrap();
    ledger.release(held, at(5.0)).unwrap();
    let told = events(&mut ledger);
    assert!(matches!(&told[1], Event::Granted { ticket, .. } if *ticket == wanted));
    assert_eq!(ledger.next_wakeup(), None);
    ledger.expire(at(20.0));
    assert_eq!(events(&mut ledger), []);
}

#[test]
fn as_few_as_make_room_are_asked_the_lowest_class_and_the_youngest_first() {
    let after = Duration::from_secs(1);
    let mut ledger = preempting(mem(100), Preempt { after, ..Preempt::default() });
    let low = |name, mib| ask(name, mem(mib)).with_priority(Priority::Low);
    let best = |name, mib| ask(name, mem(mib)).with_priority(Priority::BestEffort);
    let _first = granted(&mut ledger, low("a", 30));
    let small = granted(&mut ledger, best("b", 5));
    let large = granted(&mut ledger, best("c", 40));
    let peer = granted(&mut ledger, ask("peer", mem(25)));
    let wanted = waits(&mut ledger, ask("wanted", mem(35)));
    ledger.expire(at(0.9));
    assert_eq!(events(&mut ledger), []);
    assert_eq!(ledger.next_wakeup(), Some(at(1.0)));
    ledger.expire(at(1.0));
    // The large one alone suffices, so the small one of its class is left alone.
    assert_eq!(asked(&events(&mut ledger)), [large]);
    // Nobody else is asked while that is on its way.
    ledger.expire(at(5.0));
    assert_eq!(events(&mut ledger), []);
    ledger.expire(at(11.0));
    let told = events(&mut ledger);
    assert!(matches!(&told[1], Event::Granted { ticket, .. } if *ticket == wanted), "{told:?}");
    for lease in [small, peer] {
        ledger.release(lease, at(12.0)).unwrap();
    }
}

#[test]
fn nobody_is_asked_in_vain() {
    let mut ledger = preempting(mem(100), Preempt::default());
    let _peer = granted(&mut ledger, ask("peer", mem(60)));
    let _low = granted(&mut ledger, ask("low", mem(30)).with_priority(Priority::Low));
    let wanted = waits(&mut ledger, ask("wanted", mem(50)));
    // What the lower one has is not enough.
    assert_eq!(ledger.victims(wanted, &Preempt::default()), None);
    ledger.expire(at(100.0));
    assert_eq!(events(&mut ledger), []);
}

#[test]
fn quota_that_was_lent_is_called_back() {
    let tenant = |name: &str| TenantId::new(name).unwrap();
    let owner = TenantConfig { quota: mem(60), ..TenantConfig::default() };
    let config = LedgerConfig {
        tenants: [(tenant("owner"), owner)].into(),
        preempt: Some(Preempt::default()),
        ..LedgerConfig::default()
    };
    let mut ledger = Ledger::new(mem(100), config).unwrap();
    let of = |who: &str, mib| ask(who, mem(mib)).with_tenant(tenant(who));
    let guests: Vec<_> = (0..4).map(|_| granted(&mut ledger, of("guest", 25))).collect();
    let first = waits(&mut ledger, of("owner", 50));
    ledger.expire(at(1.0));
    assert_eq!(asked(&events(&mut ledger)).len(), 2, "two of them make room for fifty");
    ledger.expire(at(11.0));
    assert!(
        events(&mut ledger)
            .iter()
            .any(|event| matches!(event, Event::Granted { ticket, .. } if *ticket == first))
    );
    // Beyond its quota it can wait.
    let second = waits(&mut ledger, of("owner", 20));
    ledger.expire(at(20.0));
    assert_eq!(ledger.victims(second, &Preempt::default()), None);
    assert_eq!(asked(&events(&mut ledger)), []);
    assert!(guests.iter().filter(|lease| ledger.release(**lease, at(21.0)).is_ok()).count() == 2);
}

#[test]
fn pressure_rises_and_falls_with_hysteresis() {
    let mut ledger = ledger(mem(100));
    let mut before = PressureLevel::Calm;
    let mut level = |ledger: &Ledger| {
        before = ledger.pressure(before).level;
        before
    };
    assert_eq!(level(&ledger), PressureLevel::Calm);
    let lease = granted(&mut ledger, ask("a", mem(79)));
    assert_eq!(level(&ledger), PressureLevel::Calm);
    for (mib, expected) in [
        (80, PressureLevel::Elevated),
        (76, PressureLevel::Elevated),
        (74, PressureLevel::Calm),
        (95, PressureLevel::High),
        (91, PressureLevel::High),
        (89, PressureLevel::Elevated),
    ] {
        ledger.resize(lease, &mem(mib), at(0.0)).unwrap();
        assert_eq!(level(&ledger), expected, "{mib}");
    }
    let ticket = waits(&mut ledger, ask("b", mem(50)));
    assert_eq!(level(&ledger), PressureLevel::Critical);
    ledger.cancel(ticket, at(0.0));
    ledger.set_limit(mem(80), at(0.0));
    let pressure = ledger.pressure(PressureLevel::Calm);
    assert_eq!(pressure.level, PressureLevel::Critical, "more is promised than there is");
    assert_eq!(pressure.dimension, Some(Dimension::Memory));
    assert!(pressure.promised > Ratio::ONE);
}

#[test]
fn a_turn_is_foretold_only_where_it_is_known() {
    let mut ledger = ledger(mem(100));
    let ttl = |seconds| Duration::from_secs(seconds);
    let open = granted(&mut ledger, ask("open", mem(40)));
    granted(&mut ledger, ask("short", mem(30)).with_ttl(ttl(10)));
    granted(&mut ledger, ask("long", mem(30)).with_ttl(ttl(20)));
    let first = waits(&mut ledger, ask("first", mem(30)).with_ttl(ttl(5)));
    let second = waits(&mut ledger, ask("second", mem(60)).with_ttl(ttl(5)));
    let third = waits(&mut ledger, ask("third", mem(61)));
    assert_eq!(ledger.eta(first, at(0.0)), Some(at(10.0)));
    // It needs what the first one will have, and what the long one has.
    assert_eq!(ledger.eta(second, at(0.0)), Some(at(20.0)));
    // It needs something of the open one, whose end nobody knows.
    assert_eq!(ledger.eta(third, at(0.0)), None);
    ledger.preempt(open, None, GRACE, at(1.0)).unwrap();
    assert_eq!(ledger.eta(third, at(1.0)), Some(at(20.0)));
    // And so it comes.
    for seconds in 1..=20 {
        ledger.expire(at(f64::from(seconds)));
    }
    let order = tickets(&mut ledger);
    assert_eq!(order, [first, second, third]);
    assert_eq!(ledger.eta(third, at(20.0)), None, "it waits no more");
}

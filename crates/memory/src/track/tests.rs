use plimsoll_core_types::{AllocationEvent, DeviceIndex};

use super::*;

fn name(text: &str) -> ConsumerId {
    ConsumerId::new(text).unwrap()
}

fn at(second: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(second)
}

fn event(consumer: &str, event: AllocationEvent, mib: u64, second: u64) -> MemoryAllocation {
    MemoryAllocation {
        consumer: name(consumer),
        kind: MemoryKind::Anonymous,
        event,
        bytes: Bytes::from_mib(mib),
        at: at(second),
    }
}

#[test]
fn current_peak_rate_and_age_are_told() {
    let mut tracker = Tracker::default();
    tracker.record(&event("a", AllocationEvent::Taken, 10, 0));
    assert_eq!(tracker.usage(&name("a"), at(0)).unwrap().rate, 0.0);
    for second in 1..=300 {
        tracker.record(&event("a", AllocationEvent::Taken, 1, second));
        tracker.usage(&name("a"), at(second));
    }
    let rising = tracker.usage(&name("a"), at(300)).unwrap();
    assert_eq!((rising.held, rising.peak), (Bytes::from_mib(310), Bytes::from_mib(310)));
    assert!((rising.rate / f64::from(1 << 20) - 1.0).abs() < 0.01, "{}", rising.rate);
    assert_eq!(rising.oldest, Some(Duration::from_mins(5)));
    tracker.record(&event("a", AllocationEvent::GivenBack, 300, 301));
    let after = tracker.usage(&name("a"), at(301)).unwrap();
    assert_eq!((after.held, after.peak), (Bytes::from_mib(10), Bytes::from_mib(310)));
    assert!(after.oldest.unwrap() < Duration::from_secs(20));
    assert!(tracker.usage(&name("b"), at(301)).is_none());
}

#[test]
fn measured_goes_before_tracked_and_what_nobody_accounts_for_has_its_line() {
    let mut tracker = Tracker::default();
    tracker.record(&event("a", AllocationEvent::Taken, 100, 0));
    tracker.record(&event("a", AllocationEvent::Measured, 80, 1));
    tracker.record(&event("b", AllocationEvent::Measured, 50, 1));
    let device = MemoryKind::Accelerator(DeviceIndex::new(0).unwrap());
    tracker.record(&MemoryAllocation {
        kind: device,
        ..event("b", AllocationEvent::Measured, 4000, 1)
    });
    let report = tracker.report(Bytes::from_mib(200), at(2));
    assert_eq!(report.accounted, Bytes::from_mib(130), "an accelerator's is not the host's");
    assert_eq!(report.unaccounted, Bytes::from_mib(70));
    assert_eq!(report.consumers[&name("b")].held, Bytes::from_mib(4050));
    let kind = report.consumers[&name("a")].kinds[0];
    assert_eq!((kind.tracked, kind.measured), (Bytes::from_mib(100), Some(Bytes::from_mib(80))));
    let report = tracker.report(Bytes::from_mib(100), at(3));
    assert_eq!((report.unaccounted, report.overaccounted), (Bytes::ZERO, Bytes::from_mib(30)));
}

#[test]
fn giving_back_more_than_was_taken_is_kept_as_such() {
    let mut tracker = Tracker::default();
    tracker.record(&event("a", AllocationEvent::Taken, 5, 0));
    tracker.record(&event("a", AllocationEvent::GivenBack, 8, 0));
    let usage = tracker.usage(&name("a"), at(0)).unwrap();
    assert_eq!((usage.held, usage.kinds[0].excess), (Bytes::ZERO, Bytes::from_mib(3)));
}

#[test]
fn a_leak_is_named_with_its_site() {
    let mut tracker = Tracker::default();
    for second in 0..1200 {
        for (site, mib) in [("sessions", second / 10), ("buffers", second % 7)] {
            let event = event("server", AllocationEvent::Measured, 0, second);
            let all = MemoryAllocation { bytes: Bytes::from_mib(mib), ..event };
            tracker.record_at(Some(site), &all);
        }
        tracker.record(&event(
            "server",
            AllocationEvent::Measured,
            second / 10 + second % 7,
            second,
        ));
        tracker.record(&event("cache", AllocationEvent::Measured, 300 + second % 50, second));
    }
    let leaks = tracker.leaks(at(1200));
    let named: Vec<_> =
        leaks.iter().map(|leak| (leak.consumer.as_str(), leak.site.as_deref())).collect();
    assert_eq!(named, [("server", Some("sessions"))], "{leaks:#?}");
    assert!((leaks[0].rate() / f64::from(1 << 20) - 0.1).abs() < 0.01);
    assert!(leaks[0].oldest.unwrap() > Duration::from_mins(8));
}

#[test]
fn an_idle_consumer_makes_room_and_a_full_book_turns_away() {
    let mut tracker = Tracker::new(TrackConfig { consumers: 2, ..TrackConfig::default() });
    tracker.record(&event("a", AllocationEvent::Taken, 1, 0));
    tracker.record(&event("b", AllocationEvent::Taken, 1, 1));
    tracker.record(&event("c", AllocationEvent::Taken, 1, 2));
    assert_eq!(tracker.turned_away(), 1);
    tracker.record(&event("a", AllocationEvent::GivenBack, 1, 3));
    tracker.record(&event("c", AllocationEvent::Taken, 1, 4));
    assert!(tracker.usage(&name("c"), at(4)).is_some());
    tracker.forget(&name("c"));
    assert_eq!(tracker.accounted(), Bytes::from_mib(1));
}

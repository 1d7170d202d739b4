use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, Ratio, Timestamp};
use proptest::prelude::*;

use super::*;

fn model(name: &str) -> ConsumerId {
    ConsumerId::new(name).unwrap()
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(seconds)
}

const DECLARED: Bytes = Bytes::from_mib(1300);

fn observe(footprints: &mut Footprints, mib: u64, times: u64, from: u64) {
    for second in 0..times {
        footprints.observe(&model("a"), DECLARED, Bytes::from_mib(mib), at(from + second));
    }
}

fn believed(footprints: &Footprints) -> Option<u64> {
    footprints.believed(&model("a")).map(|learned| learned.bytes.get() >> 20)
}

#[test]
fn a_handful_of_measurements_replaces_what_was_declared() {
    let mut footprints = Footprints::default();
    observe(&mut footprints, 1000, 4, 0);
    assert_eq!(believed(&footprints), None);
    observe(&mut footprints, 1000, 1, 4);
    let learned = footprints.believed(&model("a")).unwrap();
    let share = learned.bytes.as_f64() / Bytes::from_mib(1000).as_f64();
    assert!((1.05..1.0606).contains(&share), "margin and at most one bucket: {share}");
    assert_eq!((learned.samples, learned.lives), (5, 1));
    let text = learned.reason().to_string();
    assert!(text.contains("5 samples") && text.contains("believed 1.3 GiB"), "{text}");
}

#[test]
fn an_unmeasured_peak_is_no_measurement() {
    let mut footprints = Footprints::default();
    observe(&mut footprints, 0, 100, 0);
    assert_eq!(believed(&footprints), None);
}

#[test]
fn a_rising_peak_counts_once_and_at_once() {
    let mut footprints = Footprints::default();
    observe(&mut footprints, 500, 50, 0);
    observe(&mut footprints, 1000, 1, 50);
    assert!(believed(&footprints).unwrap() >= 1050, "the life's sample moved with its peak");
    assert_eq!(footprints.believed(&model("a")).unwrap().lives, 1);
}

#[test]
fn one_large_life_among_many_fades() {
    let half_life = Duration::from_hours(24);
    let config = FootprintConfig {
        coverage: Ratio::saturating(0.95),
        half_life,
        ..FootprintConfig::default()
    };
    let mut footprints = Footprints::new(config);
    observe(&mut footprints, 2000, 5, 0);
    for life in 0..200 {
        // A lower peak is another life; each takes an hour.
        observe(&mut footprints, 600 - life % 2, 2, 3600 * (life + 1));
    }
    let now = believed(&footprints).unwrap();
    assert!((629..642).contains(&now), "{now}");
}

#[test]
fn running_out_is_believed_at_once_and_for_a_while() {
    let mut footprints = Footprints::default();
    footprints.ran_out(&model("a"), Bytes::from_mib(1000), Shortage::Killed, at(0));
    assert_eq!(believed(&footprints), Some(1200));
    assert_eq!(footprints.believed(&model("a")).unwrap().basis, Basis::RanOut);
    footprints.ran_out(&model("a"), Bytes::from_mib(100), Shortage::Killed, at(1));
    assert_eq!(believed(&footprints), Some(1200), "never less than before");
    footprints.ran_out(&model("a"), Bytes::from_mib(1200), Shortage::LoadFailed, at(2));
    assert_eq!(believed(&footprints), Some(1440));
    let mut small = Footprints::default();
    small.ran_out(&model("a"), Bytes::from_mib(10), Shortage::Killed, at(0));
    assert_eq!(believed(&small), Some(110), "at least 100 MiB more");
}

#[test]
fn running_out_beyond_what_was_measured_takes_the_higher() {
    let mut footprints = Footprints::default();
    observe(&mut footprints, 1000, 10, 0);
    let before = believed(&footprints).unwrap();
    footprints.ran_out(&model("a"), Bytes::from_mib(800), Shortage::Killed, at(20));
    assert!(believed(&footprints).unwrap() >= 1200, "it used 1000 when it was killed");
    assert!(before < 1200);
}

#[test]
fn configurations_do_not_speak_for_each_other() {
    let mut footprints = Footprints::default();
    let long = Configuration::of([("context", "131072")]);
    for second in 0..9 {
        footprints.observe_as(&model("a"), long, DECLARED, Bytes::from_gib(9), at(second));
    }
    assert_eq!(footprints.believed(&model("a")), None);
    assert!(footprints.believed_as(&model("a"), long).is_some());
    assert_eq!(footprints.iter().count(), 1);
    footprints.forget(&model("a"));
    assert_eq!(footprints.iter().count(), 0);
}

#[test]
fn what_was_learned_survives_a_restart() {
    let mut before = Footprints::default();
    observe(&mut before, 1000, 10, 0);
    let learned = before.believed(&model("a")).unwrap();
    let mut after = Footprints::default();
    after.restore(&model("a"), Configuration::DEFAULT, learned, at(0));
    let again = after.believed(&model("a")).unwrap();
    assert_eq!((again.samples, again.declared), (learned.samples, learned.declared));
    let drift = again.bytes.as_f64() / learned.bytes.as_f64();
    assert!((0.99..1.011).contains(&drift), "at most one bucket: {drift}");
}

#[test]
fn the_longest_unheard_of_makes_room() {
    let config = FootprintConfig { consumers: 3, samples: 1, ..FootprintConfig::default() };
    let mut footprints = Footprints::new(config.checked().unwrap());
    for (second, name) in ["a", "b", "c", "a", "d"].into_iter().enumerate() {
        let now = at(second as u64);
        footprints.observe(&model(name), DECLARED, Bytes::from_mib(10), now);
    }
    let known = |name| footprints.believed(&model(name)).is_some();
    assert!(known("a") && known("c") && known("d") && !known("b"));
}

#[test]
fn configs_that_contradict_themselves_are_named() {
    let check = |config: FootprintConfig, field: &str| {
        let error = config.checked().unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    };
    let fine = FootprintConfig::default();
    check(FootprintConfig { coverage: Ratio::ZERO, ..fine }, "coverage");
    check(FootprintConfig { bump: Ratio::saturating(0.5), ..fine }, "bump");
    check(FootprintConfig { window: Duration::ZERO, ..fine }, "window");
    check(FootprintConfig { half_life: Duration::ZERO, ..fine }, "half_life");
    check(FootprintConfig { consumers: 0, ..fine }, "consumers");
}

proptest! {
    #[test]
    fn never_below_the_peak_of_the_life_that_runs(
        peaks in prop::collection::vec((1_u64..1 << 40, 0_u64..100_000), 1..100),
    ) {
        let config = FootprintConfig { samples: 1, ..FootprintConfig::default() };
        let mut footprints = Footprints::new(config);
        let mut now = 0;
        for (peak, wait) in peaks {
            now += wait;
            footprints.observe(&model("a"), DECLARED, Bytes::new(peak), at(now));
            let learned = footprints.believed(&model("a")).unwrap();
            prop_assert!(learned.bytes >= Bytes::new(peak));
            prop_assert!(learned.peak >= Bytes::new(peak));
        }
    }
}

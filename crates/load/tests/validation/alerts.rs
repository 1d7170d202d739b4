//! Synthetic incidents: how long until somebody is told, how often for nothing, and how often in vain
//! again.

use std::time::Duration;

use plimsoll_core_types::{Alert, Better, Ratio, Row, Severity, Timestamp};
use plimsoll_load::alert::{AlertConfig, Alerts, Good, Objective};
use plimsoll_testkit::report;

const TICK: u64 = 5;
const HOUR: u64 = 3600;
/// Ordinary days before anything happens, which fill the windows.
const BEFORE: u64 = 4 * 24 * HOUR;
const SLOW: Duration = Duration::from_millis(300);
/// Of ordinary requests, so many are bad: a third of what the objective on errors allows.
const ORDINARY: f64 = 0.0003;

/// Draws how many of `count` happen when each does with probability `share`.
struct Draws(u64);

impl Draws {
    fn unit(&mut self) -> f64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn of(&mut self, count: u64, share: f64) -> u64 {
        (0..count).filter(|_| self.unit() < share).count() as u64
    }
}

fn alerts() -> Alerts {
    let objective = |good, target| Objective {
        subject: "api".to_owned(),
        good,
        target: Ratio::saturating(target),
    };
    let objectives = vec![objective(Good::Answered, 0.999), objective(Good::Within(SLOW), 0.95)];
    Alerts::new(&AlertConfig { objectives, ..AlertConfig::default() }, Vec::new()).unwrap()
}

/// Which share of requests is bad so long after the incident began.
type Shape = fn(u64) -> f64;

#[derive(Clone, Copy)]
struct Incident {
    name: &'static str,
    failing: Shape,
    slow: Shape,
    lasts: u64,
    /// Requests a tick.
    traffic: u64,
}

/// What was told: when after the incident began, and what.
fn told(incident: &Incident, after: u64) -> Vec<(f64, Alert)> {
    let alerts = alerts();
    let mut draws = Draws(7);
    let mut told = Vec::new();
    let end = BEFORE + incident.lasts + after;
    for tick in 1..=end / TICK {
        let second = tick * TICK;
        let within = (BEFORE..BEFORE + incident.lasts).contains(&second);
        let since = second.saturating_sub(BEFORE);
        let share = |shape: Shape| if within { shape(since) } else { ORDINARY };
        let bad = draws.of(incident.traffic, share(incident.failing));
        let slow = draws.of(incident.traffic - bad, share(incident.slow));
        for request in 0..incident.traffic {
            let latency = if request < bad + slow { SLOW * 2 } else { SLOW / 2 };
            alerts.record(latency, request >= bad);
        }
        let now = Timestamp::from_nanos(second * 1_000_000_000);
        let since = second as f64 - BEFORE as f64;
        told.extend(alerts.observe(now).into_iter().map(|alert| (since, alert)));
    }
    told
}

const fn ordinary(_: u64) -> f64 {
    ORDINARY
}

const fn incident(name: &'static str, failing: Shape, lasts: u64) -> Incident {
    Incident { name, failing, slow: ordinary, lasts, traffic: 50 }
}

/// The incident is told of once, when it must be at the earliest and hardly later; answers with
/// when, in seconds.
fn check(incident: &Incident, severity: Severity, earliest: f64) {
    let at = raised_once(incident, severity);
    let row = Row::new("load.alert_detection", at, "s", Better::Lower)
        .label("incident", incident.name)
        .goal(earliest * 1.1 + 70.0)
        .peer("earliest", earliest);
    report(&row);
    assert!(row.reached() == Some(true) && at >= earliest * 0.8, "{row:?}");
}

/// When it was told of, which must be once, and be over once.
fn raised_once(incident: &Incident, severity: Severity) -> f64 {
    let told = told(incident, 3 * 24 * HOUR);
    let raised =
        told.iter().filter(|(_, alert)| alert.ended.is_none() && alert.severity == severity);
    let Some((at, _)) = raised.clone().next() else { panic!("{}: {told:?}", incident.name) };
    assert_eq!(raised.count(), 1, "it flaps: {told:?}");
    let ended = told.iter().filter(|(_, alert)| alert.ended.is_some()).count();
    assert!(ended == 1 && told.len() <= 4, "{}: {told:?}", incident.name);
    *at
}

/// The budget is 0.1% of requests, a rule's earliest moment that at which as many have failed as
/// its rate allows in its long window.
#[test]
fn incidents_are_told_of_once_and_in_time() {
    check(&incident("outage", |_| 1.0, 600), Severity::Critical, 14.4e-3 * 3600.0);
    check(&incident("20% fail", |_| 0.2, HOUR), Severity::Critical, 14.4e-3 * 3600.0 / 0.2);
    check(&incident("5% fail", |_| 0.05, HOUR), Severity::Critical, 14.4e-3 * 3600.0 / 0.05);
    check(&incident("1% fail", |_| 0.01, 8 * HOUR), Severity::Critical, 6e-3 * 21600.0 / 0.01);
    // Ordinary failures have spent a third of this rule's rate before.
    let slowly = incident("0.3% fail", |_| 0.003, 72 * HOUR);
    check(&slowly, Severity::Warning, (1e-3 - ORDINARY) * 259_200.0 / (0.003 - ORDINARY));
    let slow =
        Incident { failing: ordinary, slow: |_| 0.9, ..incident("90% slow", ordinary, 2 * HOUR) };
    check(&slow, Severity::Critical, 14.4 * 0.05 * 3600.0 / 0.9);
    // On for five minutes, off for five: half as bad as while it is on.
    let flaps: Shape = |since| if since % 600 < 300 { 0.1 } else { ORDINARY };
    check(&incident("10% fail by turns", flaps, 3 * HOUR), Severity::Critical, 900.0);
}

/// The share that fails is just what the second rule allows, so that chance decides each minute
/// whether it holds.
#[test]
fn nothing_flaps_at_the_threshold() {
    raised_once(&incident("at the threshold", |_| 0.006, 72 * HOUR), Severity::Critical);
}

#[test]
fn nobody_is_told_of_what_is_ordinary() {
    let mut false_alarms = 0;
    let quiet = [
        incident("an ordinary week", ordinary, 7 * 24 * HOUR),
        incident("10% fail for a minute", |_| 0.1, 60),
        incident(
            "ups and downs",
            |since| if since / HOUR % 24 < 12 { 0.0008 } else { 0.0002 },
            7 * 24 * HOUR,
        ),
        // A request each five seconds, of which half a dozen fail in ten minutes.
        Incident {
            traffic: 1,
            ..incident("few requests", |since| if since < 30 { 1.0 } else { 0.0 }, HOUR)
        },
    ];
    for incident in quiet {
        let told = told(&incident, HOUR);
        assert!(told.is_empty(), "{}: {told:?}", incident.name);
        false_alarms += told.len();
    }
    let row = Row::new("load.alert_false_alarms", false_alarms as f64, "alerts", Better::Lower);
    report(&row.goal(0.0));
}

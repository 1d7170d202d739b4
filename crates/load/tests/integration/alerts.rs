//! Where alerts go, and what they point to.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Alert, Ratio, Severity, Timestamp};
use plimsoll_load::alert::{
    AlertConfig, AlertConfigError, Alerts, BURN_RULES, BurnRule, CallbackSink, Good, Objective,
    TracingSink,
};

fn objective(good: Good, target: f64) -> Objective {
    Objective { subject: "api".to_owned(), good, target: Ratio::saturating(target) }
}

fn config() -> AlertConfig {
    let objectives = vec![
        objective(Good::Answered, 0.999),
        objective(Good::Within(Duration::from_secs(1)), 0.95),
    ];
    AlertConfig { objectives, ..AlertConfig::default() }
}

fn at(seconds: u64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

#[test]
fn sinks_hear_of_what_is_raised_changes_and_ends_and_of_nothing_else() {
    let heard = Arc::new(Mutex::new(Vec::<Alert>::new()));
    let notes = Arc::clone(&heard);
    let callback = CallbackSink::new(move |alert: &Alert| notes.lock().push(alert.clone()));
    let alerts = Alerts::new(&config(), vec![Arc::new(callback), Arc::new(TracingSink)]).unwrap();
    for tick in 0..24 * 720 {
        for request in 0..20 {
            alerts.record(Duration::from_millis(5), tick >= 12 || request > 9);
        }
        alerts.observe(at(tick * 5));
    }
    let heard = heard.lock();
    let severities: Vec<_> =
        heard.iter().map(|alert| (alert.severity, alert.ended.is_some())).collect();
    let expected =
        [(Severity::Critical, false), (Severity::Warning, false), (Severity::Warning, true)];
    assert_eq!(severities, expected, "{heard:?}");
    assert!(heard.iter().all(|alert| alert.since == heard[0].since), "{heard:?}");
    assert!(alerts.up().is_empty());
}

#[test]
fn what_fails_is_no_matter_of_latency() {
    let alerts = Alerts::new(&config(), Vec::new()).unwrap();
    for _ in 0..100 {
        alerts.record(Duration::from_secs(9), false);
    }
    let names: Vec<_> = alerts.observe(at(5)).into_iter().map(|alert| alert.name).collect();
    assert_eq!(names, ["error_budget_burn"]);
}

#[test]
fn every_alert_points_to_a_heading_of_the_docs() {
    let docs = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations/alerts.md");
    let Ok(docs) = std::fs::read_to_string(docs) else {
        plimsoll_testkit::skip("every_alert_points_to_a_heading_of_the_docs", "no docs");
        return;
    };
    for runbook in ["error-budget-burn", "latency-budget-burn", "load-saturation"] {
        assert!(docs.contains(&format!("\n## {runbook}\n")), "{runbook}");
    }
}

#[test]
fn what_can_not_work_is_refused_with_what_is_allowed() {
    let check = |change: fn(&mut AlertConfig), expected: &str| {
        let mut config = config();
        change(&mut config);
        let error = Alerts::new(&config, Vec::new()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        |config| config.objectives[0].target = Ratio::ONE,
        "objective \"api\" has a target of 1; it must be less than 1",
    );
    check(
        |config| config.rules = vec![BurnRule { rate: 0.0, ..BURN_RULES[0] }],
        "rule 0 has rate 0; allowed is above 0",
    );
    check(
        |config| config.rules = vec![BurnRule { long: BURN_RULES[0].short, ..BURN_RULES[0] }],
        "rule 0 has long 300; allowed is longer than short, at most 90 days",
    );
    check(|config| config.rules = vec![BURN_RULES[0]; 9], "9 rules; at most 8 are allowed");
    let error = AlertConfigError::TooMany { what: "objectives", given: 65, most: 64 };
    let mut many = config();
    many.objectives = vec![objective(Good::Answered, 0.9); 65];
    assert_eq!(Alerts::new(&many, Vec::new()).unwrap_err(), error);
}

#[cfg(feature = "webhook")]
mod webhook {
    use plimsoll_core_types::AlertSink as _;
    use plimsoll_load::alert::{HttpPost, Webhook, WebhookConfig};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    fn alert(name: &str) -> Alert {
        Alert {
            name: name.to_owned(),
            subject: "api".to_owned(),
            severity: Severity::Critical,
            cause: "1 of 2".to_owned(),
            runbook: "error-budget-burn".to_owned(),
            since: at(1),
            ended: None,
        }
    }

    /// Answers each of `statuses` to one request, and gives back the bodies.
    async fn listener(listener: TcpListener, statuses: &[u16]) -> Vec<String> {
        let mut bodies = Vec::new();
        for status in statuses {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = String::new();
            while !request.ends_with('}') {
                let mut part = [0; 4096];
                let read = stream.read(&mut part).await.unwrap();
                request.push_str(std::str::from_utf8(&part[..read]).unwrap());
            }
            let answer = format!("HTTP/1.1 {status} x\r\ncontent-length: 0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
            bodies.push(request.split_once("\r\n\r\n").unwrap().1.to_owned());
        }
        bodies
    }

    #[tokio::test]
    async fn alerts_arrive_in_order_and_are_tried_again() {
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = socket.local_addr().unwrap().to_string();
        let post = HttpPost::new(&authority, "/alerts", Duration::from_secs(5)).unwrap();
        let backoff = Duration::from_millis(1);
        let webhook = Webhook::spawn(post, WebhookConfig { backoff, ..WebhookConfig::default() });
        webhook.alert(&alert("first"));
        webhook.alert(&alert("second"));
        let bodies = listener(socket, &[500, 204, 200]).await;
        let names = bodies.iter().map(|body| serde_json::from_str::<Alert>(body).unwrap().name);
        assert_eq!(names.collect::<Vec<_>>(), ["first", "first", "second"]);
        while webhook.delivered() < 2 {
            tokio::task::yield_now().await;
        }
        assert_eq!(webhook.dropped(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_takes_is_counted_and_the_queue_is_bounded() {
        // A port that was free just now, and that nobody listens on.
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let authority = socket.local_addr().unwrap().to_string();
        drop(socket);
        let post = HttpPost::new(&authority, "/", Duration::from_secs(1)).unwrap();
        let webhook = Webhook::spawn(post, WebhookConfig { queue: 2, ..WebhookConfig::default() });
        for _ in 0..5 {
            webhook.alert(&alert("lost"));
        }
        assert_eq!(webhook.dropped(), 3);
        tokio::time::sleep(Duration::from_mins(2)).await;
        assert_eq!((webhook.delivered(), webhook.dropped()), (0, 5));
    }

    #[test]
    fn an_address_that_would_break_the_request_is_refused() {
        for (authority, path) in
            [("nowhere", "/"), ("a:1", "x"), ("a:1", "/ HTTP/1.1"), ("a\r\n:1", "/")]
        {
            assert!(HttpPost::new(authority, path, Duration::from_secs(1)).is_err());
        }
    }
}

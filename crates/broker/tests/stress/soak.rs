//! Mixed work for long: memory stays where it is.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core_types::{Better, Row};
use plimsoll_testkit::{report, scale, seed};
use rustix::process::Signal;
use serde_json::json;

use crate::outside::{Answer, Broker, Place, Random, call, pause};

/// How often memory is read.
const EVERY: Duration = Duration::from_millis(250);
/// What may be kept more at the end than after a third of the time, at most: what happened of
/// late is kept up to a number, and freed memory is not given back to the byte.
const MOST: f64 = 4e6;

const CONFIG: &str = r#"
[host]
memory = "112Mi"
[server]
state = "state"
requests = 8
queue = 16
[models.a]
embedded = "24Mi"
[models.b]
embedded = "32Mi"
[models.c]
embedded = "40Mi"
[models.giant]
embedded = "900Mi"
"#;

/// Memory that the process has written to, in bytes.
fn anonymous(broker: &Broker) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", broker.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * 1024
}

/// One thing that some client does.
fn act(address: SocketAddr, random: &mut Random) -> Answer {
    let embed = |model: &str| {
        let body = json!({ "model": model, "input": "a few words" }).to_string();
        call(address, "POST", "/v1/embeddings", &body)
    };
    match random.below(100) {
        0..45 => embed("a"),
        45..65 => embed("b"),
        65..69 => embed("c"),
        69..72 => embed("giant"),
        72..74 => embed("nobody"),
        74..76 => call(address, "POST", "/v1/embeddings", "nonsense"),
        76..80 => {
            // A client that gives up before there is an answer.
            let body = json!({ "model": "c", "input": "x" }).to_string();
            let head = format!(
                "POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n{body}",
                body.len()
            );
            if let Ok(mut stream) = std::net::TcpStream::connect(address) {
                let _ = std::io::Write::write_all(&mut stream, head.as_bytes());
                pause(random.milliseconds(20));
            }
            Answer::Broken
        }
        80..88 => {
            let body = json!({ "name": "job", "memory": "4Mi", "ttl_seconds": 30 }).to_string();
            let taken = call(address, "POST", "/v1/leases", &body);
            let Answer::Whole(201, lease) = &taken else { return taken };
            let path = format!("/v1/leases/{}", lease["id"].as_str().unwrap());
            call(address, "POST", &format!("{path}/renew"), "");
            call(address, "DELETE", &path, "")
        }
        88..91 => call(address, "GET", "/running", ""),
        91..93 => call(address, "GET", "/metrics", ""),
        93..95 => call(address, "GET", "/api/status", ""),
        95..97 => call(address, "GET", "/api/why/a", ""),
        97..98 => call(address, "POST", "/api/models/unload/a", ""),
        _ => call(address, "GET", "/v1/models", ""),
    }
}

fn median(samples: &[u64]) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).map_or(0.0, |sample| *sample as f64)
}

#[test]
fn memory_is_flat_under_mixed_work() {
    let start = seed("soak", 11);
    let seconds = scale(10);
    let place = Place::new(CONFIG);
    let mut broker = place.start();
    let address = broker.address;
    let stop = Arc::new(AtomicBool::new(false));
    let (done, wrong) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..4)
        .map(|number| {
            let (stop, done, wrong) = (Arc::clone(&stop), Arc::clone(&done), Arc::clone(&wrong));
            std::thread::spawn(move || {
                let mut random = Random(start + number);
                while !stop.load(Ordering::Relaxed) {
                    let answer = act(address, &mut random);
                    done.fetch_add(1, Ordering::Relaxed);
                    if matches!(answer, Answer::Nonsense(_) | Answer::Whole(500 | 502, _)) {
                        println!("{answer:?}");
                        wrong.fetch_add(1, Ordering::Relaxed);
                    }
                    pause(random.milliseconds(10));
                }
            })
        })
        .collect();
    let looks = seconds * 1000 / usize::try_from(EVERY.as_millis()).unwrap();
    let mut samples = Vec::with_capacity(looks);
    for look in 0..looks {
        pause(EVERY);
        samples.push(anonymous(&broker));
        if look % 40 == 39 {
            broker.signal(Signal::HUP);
        }
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.join().unwrap();
    }
    let status = broker.get("/api/status");
    broker.signal(Signal::TERM);
    assert_eq!(broker.ended(), Some(0));
    assert!(place.engines().is_empty() && place.guards().is_empty(), "something is left over");
    let tenth = (looks / 10).max(1);
    let (early, late) = (&samples[looks / 3..looks / 3 + tenth], &samples[looks - tenth..]);
    let growth = (median(late) - median(early)).max(0.0);
    println!(
        "{seconds} s, {} requests: {:.1} MB after a third, {:.1} MB at the end",
        done.load(Ordering::Relaxed),
        median(early) / 1e6,
        median(late) / 1e6
    );
    let row = Row::new("broker.soak_growth_bytes", growth, "bytes", Better::Lower).goal(MOST);
    report(&row.label("seconds", &seconds.to_string()));
    assert_eq!(wrong.load(Ordering::Relaxed), 0, "answers that are none");
    assert_eq!(status["invariants_broken"], 0, "{status}");
    assert!(growth <= MOST, "it grew by {growth} bytes: {samples:?}");
}

//! `kill -9` of the broker, at random moments, again and again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use plimsoll_core_types::{Better, Row};
use plimsoll_testkit::{report, scale, seed};
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::outside::{Answer, Broker, Place, Random, call, pause, signal_to, wait_for};

/// How long engines wait for another broker.
const GRACE: Duration = Duration::from_millis(1500);
/// The line, in bytes: two of the three models fit beside a lease.
const LINE: u64 = 112 << 20;

const CONFIG: &str = r#"
[host]
memory = "112Mi"
[server]
state = "state"
adopt_grace = "1500ms"
[models.a]
embedded = "24Mi"
[models.b]
embedded = "32Mi"
[models.c]
embedded = "40Mi"
"#;

/// What a client knows of the leases that it has asked for.
#[derive(Debug, Default)]
struct Known {
    /// Given, and said to be durable.
    held: BTreeSet<String>,
    /// Given back, and said so.
    released: BTreeSet<String>,
    /// Asked for, or asked to be taken back, without an answer: they may be there or not.
    open: BTreeSet<String>,
    takes_without_answer: usize,
}

/// What was found wrong, and what was seen.
#[derive(Debug, Default)]
struct Findings {
    violations: Vec<String>,
    ready_at_kill: usize,
    kept: usize,
    answers: BTreeMap<String, usize>,
}

impl Findings {
    fn check(&mut self, run: usize, holds: bool, what: impl FnOnce() -> String) {
        if !holds {
            self.violations.push(format!("run {run}: {}", what()));
        }
    }

    /// Every request is answered, cleanly refused, or broken off by the kill.
    fn note_answer(&mut self, run: usize, answer: &Answer, killed: bool) {
        let (name, fine) = match answer {
            Answer::Whole(200, _) => ("200".to_owned(), true),
            Answer::Whole(status @ (429 | 503), body) => {
                (status.to_string(), body["error"]["message"].is_string())
            }
            Answer::Whole(status, _) => (status.to_string(), false),
            Answer::Broken => ("broken".to_owned(), killed),
            Answer::Nonsense(_) => ("nonsense".to_owned(), false),
        };
        *self.answers.entry(name).or_default() += 1;
        self.check(run, fine, || format!("an answer that is none: {answer:?}"));
    }
}

/// Takes leases and gives them back, until the broker is gone.
fn tenant(address: SocketAddr, holder: u32, mut known: Known, stop: &AtomicBool) -> Known {
    while !stop.load(Ordering::Relaxed) {
        if let Some(id) = known.held.pop_first() {
            match call(address, "DELETE", &format!("/v1/leases/{id}"), "") {
                Answer::Whole(200, _) => drop(known.released.insert(id)),
                _ => drop(known.open.insert(id)),
            }
            continue;
        }
        let body = json!({ "name": "held", "memory": "8Mi", "ttl_seconds": 3600, "pid": holder });
        match call(address, "POST", "/v1/leases", &body.to_string()) {
            Answer::Whole(201, lease) if lease["durable"] == true => {
                known.held.insert(lease["id"].as_str().unwrap().to_owned());
            }
            Answer::Whole(503, _) => pause(Duration::from_millis(5)),
            _ => known.takes_without_answer += 1,
        }
    }
    known
}

/// What a broker that has just started says, beside what runs and what was promised.
fn inspect(run: usize, place: &Place, broker: &Broker, known: &mut Known, found: &mut Findings) {
    let list = broker.get("/v1/leases");
    let leases = list["leases"].as_array().unwrap();
    let sum: u64 = leases.iter().filter_map(|lease| lease["amount"]["memory"].as_u64()).sum();
    let promised = list["promised"]["memory"].as_u64().unwrap_or(0);
    found.check(run, sum == promised && promised <= LINE, || format!("the sum is wrong: {list}"));

    let ids: Vec<&str> = leases.iter().filter_map(|lease| lease["id"].as_str()).collect();
    let unique: BTreeSet<&str> = ids.iter().copied().collect();
    found.check(run, ids.len() == unique.len(), || format!("a lease twice: {list}"));
    for id in &known.held {
        found.check(run, unique.contains(id.as_str()), || format!("{id} was lost: {list}"));
    }
    for id in &known.released {
        found.check(run, !unique.contains(id.as_str()), || format!("{id} came back: {list}"));
    }
    let strange: Vec<_> = unique
        .iter()
        .filter(|id| !known.held.contains(**id) && !known.open.contains(**id))
        .collect();
    found.check(run, strange.len() <= known.takes_without_answer, || {
        format!("leases that nobody has asked for: {strange:?}")
    });

    known.held = unique.iter().map(|id| (*id).to_owned()).collect();
    known.open.clear();
    known.takes_without_answer = 0;

    // An engine that has ended a moment ago is started anew under the lease that it has.
    let look = || (models_with_a_lease(broker), place.engines(), broker.ready());
    let (seen, same) = wait_for(Duration::from_secs(15), look, |(models, engines, ready)| {
        let mut running: Vec<_> = engines.values().cloned().collect();
        running.sort_unstable();
        *models == running && ready == engines
    });
    found.check(run, same, || format!("leases, engines and what it says: {seen:?}"));
}

/// One name for each lease that a model has.
fn models_with_a_lease(broker: &Broker) -> Vec<String> {
    let list = broker.get("/v1/leases");
    let leases = list["leases"].as_array().unwrap();
    let models = leases.iter().filter(|lease| lease["id"].is_null());
    let mut models: Vec<_> =
        models.filter_map(|lease| Some(lease["name"].as_str()?.to_owned())).collect();
    models.sort_unstable();
    models
}

/// Requests of every kind at once, and a kill amid them.
fn work_and_kill(
    run: usize,
    broker: Broker,
    holder: u32,
    known: &mut Known,
    random: &mut Random,
    found: &mut Findings,
) -> BTreeMap<u32, String> {
    let address = broker.address;
    let stop = Arc::new(AtomicBool::new(false));
    let (stops, taken) = (Arc::clone(&stop), std::mem::take(known));
    let tenant = std::thread::spawn(move || tenant(address, holder, taken, &stops));
    let ask = |model: &str| {
        let body = json!({ "model": model, "input": "x" }).to_string();
        std::thread::spawn(move || call(address, "POST", "/v1/embeddings", &body))
    };
    let clients: Vec<_> = ["a", "b", "c", "a"].map(ask).into();
    pause(random.milliseconds(500));
    let ready = broker.ready();
    if let Answer::Whole(200, list) = broker.call("GET", "/v1/leases", "") {
        let promised = list["promised"]["memory"].as_u64().unwrap_or(0);
        found.check(run, promised <= LINE, || format!("past it: {list}"));
    }
    pause(random.milliseconds(20));
    broker.kill();
    stop.store(true, Ordering::Relaxed);
    *known = tenant.join().unwrap();
    for client in clients {
        found.note_answer(run, &client.join().unwrap(), true);
    }
    ready
}

/// What happens between a kill and the next start.
fn meanwhile(
    run: usize,
    place: &Place,
    ready: &BTreeMap<u32, String>,
    random: &mut Random,
    found: &mut Findings,
) {
    match random.below(8) {
        // Nobody comes back in time.
        0 => {
            let gone = || (place.engines(), place.guards());
            let late = GRACE + Duration::from_secs(3);
            let (left, ended) = wait_for(late, gone, |(e, g)| e.is_empty() && g.is_empty());
            found.check(run, ended, || format!("outlived their grace: {left:?}"));
        }
        // An engine ends as well.
        1 => {
            if let Some(pid) = place.engines().keys().next() {
                signal_to(*pid, Signal::KILL);
            }
        }
        // A guard does.
        2 => {
            if let Some(pid) = place.guards().first() {
                signal_to(*pid, Signal::KILL);
            }
        }
        // A broker is killed while it starts.
        3 => {
            let mut early = place.spawn();
            pause(random.milliseconds(60));
            early.kill().unwrap();
            early.wait().unwrap();
        }
        _ => {
            found.ready_at_kill += ready.len();
            let engines = place.engines();
            found.kept += ready.keys().filter(|pid| engines.contains_key(pid)).count();
        }
    }
}

#[test]
fn a_broker_that_is_killed_at_any_moment_counts_nothing_twice_and_leaves_no_orphan() {
    let mut random = Random(seed("kill9", 7));
    let place = Place::new(CONFIG);
    let mut holder = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let (mut known, mut found) = (Known::default(), Findings::default());
    let runs = scale(20);
    for run in 0..runs {
        let broker = place.start();
        inspect(run, &place, &broker, &mut known, &mut found);
        let ready = work_and_kill(run, broker, holder.id(), &mut known, &mut random, &mut found);
        meanwhile(run, &place, &ready, &mut random, &mut found);
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let mut broker = place.start();
    let held =
        |list: &Value| list["leases"].as_array().map(|all| all.iter().any(|l| l["id"].is_string()));
    let list = broker.get("/v1/leases");
    found.check(runs, held(&list) == Some(false), || format!("its holder has ended: {list}"));
    for model in ["a", "b", "c"] {
        let body = json!({ "model": model, "input": "x" }).to_string();
        let answer = broker.call("POST", "/v1/embeddings", &body);
        found.note_answer(runs, &answer, false);
    }
    broker.signal(Signal::TERM);
    found.check(runs, broker.ended() == Some(0), || "it did not stop by itself".to_owned());
    let left = (place.engines(), place.guards());
    found.check(runs, left.0.is_empty() && left.1.is_empty(), || format!("left over: {left:?}"));
    let violations = found.violations.len();
    let sockets = std::fs::read_dir(place.path.join("state/engines")).unwrap().count();
    println!(
        "{runs} kills, {violations} violations; {} of {} engines that served were kept; answers {:?}; {sockets} sockets left",
        found.kept, found.ready_at_kill, found.answers
    );
    report(&Row::new("broker.kill9_runs", runs as f64, "count", Better::Higher).goal(200.0));
    report(
        &Row::new("broker.kill9_violations", violations as f64, "count", Better::Lower).goal(0.0),
    );
    assert_eq!(violations, 0, "{:#?}", found.violations);
    assert!(found.kept * 2 >= found.ready_at_kill, "engines are not kept: {found:?}");
}

//! Engines that outlive their broker: taken over by the next one, or ended after a grace.

use std::io::{BufRead as _, BufReader};
use std::path::Path;

use rustix::process::{Pid, Signal, kill_process};

use crate::fake;
use crate::harness::{Broker, eventually, head, processes_in};

fn config(place: &Path, grace: &str, more: &str) -> String {
    format!(
        "[host]\nmemory = \"200Mi\"\n[server]\nstate = \"state\"\nadopt_grace = \"{grace}\"\n\
         [models.a]\nembedded = \"24Mi\"\n\
         [models.fake]\ncommand = {}\nmemory = \"64Mi\"\nslots = 4\nfolder = {:?}\n{more}",
        fake::command(),
        place.display().to_string()
    )
}

/// The process of `model`, as the broker tells it.
fn pid_of(broker: &Broker, model: &str) -> Option<u32> {
    let running = broker.get("/running").json();
    let rows = running["running"].as_array().unwrap();
    let row = rows.iter().find(|row| row["model"] == model)?;
    u32::try_from(row["engine"]["pid"].as_u64()?).ok()
}

/// What the leases of all models come to, and how many there are.
fn leases(broker: &Broker) -> (usize, u64) {
    let list = broker.get("/v1/leases").json();
    let count = list["leases"].as_array().unwrap().len();
    (count, list["promised"]["memory"].as_u64().unwrap_or(0))
}

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

fn alive(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    !stat.is_empty() && !stat.contains(") Z ")
}

#[test]
fn live_engines_are_adopted_by_the_next_broker_and_counted_once() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&config(folder.path(), "30s", ""));
    assert_eq!((broker.embed("a").status, broker.embed("fake").status), (200, 200));
    let before = (pid_of(&broker, "a"), pid_of(&broker, "fake"));
    assert!(before.0.is_some() && before.1.is_some());
    let mut broker = broker.kill_and_restart();
    let after = broker.eventually(
        "both serve again",
        |broker| (pid_of(broker, "a"), pid_of(broker, "fake")),
        |(a, fake)| a.is_some() && fake.is_some(),
    );
    assert_eq!(after, before, "the same processes");
    assert_eq!(leases(&broker).0, 2, "each is counted once");
    assert_eq!(broker.embed("a").header("x-plimsoll-source"), Some("warm"));
    assert_eq!(broker.embed("fake").header("x-plimsoll-source"), Some("warm"));
    let why = broker.get("/api/why/a").json();
    assert!(why["events"].as_array().unwrap().iter().any(|e| e["kind"] == "adopted"), "{why}");
    assert_eq!(broker.get("/api/status").json()["invariants_broken"], 0);
    // Adopted engines give way, and are ended, as others do.
    assert_eq!(broker.post("/api/models/unload/fake", "").json()["unloaded"][0], "fake");
    eventually("its process is gone", || processes_in(folder.path()), Vec::is_empty);
    broker.signal(Signal::TERM);
    assert_eq!(broker.ended(), Some(0));
    assert!(!alive(before.0.unwrap()), "a graceful stop leaves nothing behind");
    let sockets = std::fs::read_dir(broker.path("state/engines")).unwrap().count();
    assert_eq!(sockets, 0);
}

#[test]
fn an_engine_that_loads_when_its_broker_is_killed_goes_on_loading() {
    let folder = tempfile::tempdir().unwrap();
    let more = "env = { FAKE_LOAD_MS = \"3000\" }\n";
    let broker = Broker::start(&config(folder.path(), "30s", more));
    let waits = broker.send("POST", "/v1/embeddings", &[], r#"{"model":"fake","input":"x"}"#);
    let before = eventually("it starts", || processes_in(folder.path()), |found| !found.is_empty());
    let broker = broker.kill_and_restart();
    drop(waits);
    assert_eq!(broker.embed("fake").status, 200);
    assert_eq!(pid_of(&broker, "fake").as_ref(), before.first());
    assert_eq!(processes_in(folder.path()), before);
}

#[test]
fn what_the_config_does_not_want_any_more_is_ended_before_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let more = format!("env = {{ FAKE_MEMORY = \"{}\" }}\n", 60 << 20);
    let broker = Broker::start(&config(folder.path(), "30s", &more));
    assert_eq!((broker.embed("a").status, broker.embed("fake").status), (200, 200));
    let a = pid_of(&broker, "a").unwrap();
    // The one model is another now, and for the other one there is no room.
    let text = format!(
        "[host]\nmemory = \"50Mi\"\n[server]\nstate = \"state\"\n[models.a]\nembedded = \"20Mi\"\n\
         [models.fake]\ncommand = {}\nmemory = \"45Mi\"\nslots = 4\nfolder = {:?}\n{more}",
        fake::command(),
        folder.path().display().to_string()
    );
    std::fs::write(broker.path("plimsoll.toml"), text).unwrap();
    let broker = broker.kill_and_restart();
    assert_eq!(leases(&broker), (0, 0));
    assert!(!alive(a));
    assert_eq!(processes_in(folder.path()), Vec::<u32>::new());
    assert_eq!(broker.embed("a").status, 200);
}

/// An orphan: nobody comes back, and the engine ends with all that it has started, even what has
/// left its group and its session.
#[test]
fn an_orphan_ends_after_its_grace_with_all_that_it_has_started() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let script = format!(
        "setsid sleep 1000 & exec {}",
        fake::command().trim_matches(['[', ']']).replace(',', " ")
    );
    let text = format!(
        "[server]\nstate = \"state\"\nadopt_grace = \"1s\"\n[models.fake]\n\
         command = [\"sh\", \"-c\", {script:?}]\nmemory = \"64Mi\"\nfolder = {:?}\n",
        place.display().to_string()
    );
    let broker = Broker::start(&text);
    assert_eq!(broker.embed("fake").status, 200);
    assert_eq!(processes_in(&place).len(), 2, "the engine, and what it has started");
    signal(broker.pid(), Signal::KILL);
    eventually("everything is gone", || processes_in(&place), Vec::is_empty);
    eventually(
        "its socket is gone",
        || std::fs::read_dir(broker.path("state/engines")).unwrap().count(),
        |count| *count == 0,
    );
}

#[test]
fn without_a_grace_engines_end_with_their_broker() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&config(folder.path(), "0s", ""));
    assert_eq!((broker.embed("a").status, broker.embed("fake").status), (200, 200));
    let a = pid_of(&broker, "a").unwrap();
    signal(broker.pid(), Signal::KILL);
    eventually("the engine is gone", || processes_in(folder.path()), Vec::is_empty);
    eventually("the other one is", || alive(a), |alive| !alive);
}

#[test]
fn an_engine_whose_guard_ends_is_ended_and_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&config(folder.path(), "30s", ""));
    assert_eq!(broker.embed("fake").status, 200);
    let before = pid_of(&broker, "fake").unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{before}/stat")).unwrap();
    let guard = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(1).unwrap();
    signal(guard.parse().unwrap(), Signal::KILL);
    eventually("the engine is gone", || alive(before), |alive| !alive);
    assert_eq!(broker.embed("fake").status, 200);
    assert_ne!(pid_of(&broker, "fake"), Some(before));
    assert_eq!(leases(&broker).0, 1);
}

#[test]
fn an_engine_that_hangs_is_not_adopted_but_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let broker = Broker::start(&config(folder.path(), "60s", ""));
    assert_eq!(broker.embed("fake").status, 200);
    let before = pid_of(&broker, "fake").unwrap();
    signal(before, Signal::STOP);
    let broker = broker.kill_and_restart();
    assert_eq!(broker.embed("fake").status, 200, "another one is started under the same lease");
    assert_ne!(pid_of(&broker, "fake"), Some(before));
    assert!(!alive(before));
    assert_eq!(leases(&broker).0, 1);
}

fn streaming(broker: &Broker) -> BufReader<std::net::TcpStream> {
    let body = r#"{"model":"fake","stream":true,"stream_events":20,"pause_ms":100}"#;
    let mut reader = BufReader::new(broker.send("POST", "/v1/completions", &[], body));
    head(&mut reader);
    reader
}

#[test]
fn one_interrupt_lets_a_stream_end() {
    let folder = tempfile::tempdir().unwrap();
    let mut broker = Broker::start(&config(folder.path(), "30s", ""));
    let reader = streaming(&broker);
    broker.signal(Signal::INT);
    broker.until(&["stopping"]);
    let events = reader.lines().map_while(Result::ok).filter(|line| line.contains("data:")).count();
    assert_eq!(events, 20, "the stream came to its end");
    assert_eq!(broker.ended(), Some(0));
    assert_eq!(processes_in(folder.path()), Vec::<u32>::new());
}

#[test]
fn two_interrupts_end_everything_at_once() {
    for grace in ["30s", "0s"] {
        let folder = tempfile::tempdir().unwrap();
        let mut broker = Broker::start(&config(folder.path(), grace, ""));
        let reader = streaming(&broker);
        broker.signal(Signal::INT);
        broker.until(&["stopping"]);
        broker.signal(Signal::INT);
        assert_eq!(broker.ended(), Some(130), "grace {grace}");
        let events = reader.lines().map_while(Result::ok).filter(|line| line.contains("data:"));
        assert!(events.count() < 20, "the stream was broken off");
        eventually("no engine is left", || processes_in(folder.path()), Vec::is_empty);
    }
}

/// A load that is under way is not waited for: it ends with the broker, before its grace.
#[test]
fn a_stop_while_a_model_loads_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let more = "env = { FAKE_LOAD_MS = \"60000\" }\n";
    let text =
        config(folder.path(), "50s", more).replace("state =", "drain_within = \"1s\"\nstate =");
    let mut broker = Broker::start(&text);
    let _waits = broker.send("POST", "/v1/embeddings", &[], r#"{"model":"fake","input":"x"}"#);
    eventually("it starts", || processes_in(folder.path()), |found| !found.is_empty());
    broker.signal(Signal::TERM);
    assert_eq!(broker.ended(), Some(0));
    eventually("nothing is left", || processes_in(folder.path()), Vec::is_empty);
}

/// A disk that is full: leases are given all the same, and it is said that they would be lost.
#[test]
fn a_full_disk_is_told_and_stops_nothing() {
    let disk = tempfile::tempdir().unwrap();
    let mounted = std::process::Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
        .arg(disk.path())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        plimsoll_testkit::skip("a_full_disk_is_told_and_stops_nothing", "nothing can be mounted");
        return;
    }
    let _mounted = Mounted(disk.path().to_owned());
    let text = format!(
        "[host]\nmemory = \"100Mi\"\n[server]\nstate = {:?}\n[models.a]\nembedded = \"24Mi\"\n",
        disk.path().display().to_string()
    );
    let broker = Broker::start(&text);
    let take = |name: &str| {
        let body = serde_json::json!({ "name": name, "memory": "64Ki", "ttl_seconds": 600 });
        broker.post("/v1/leases", &body.to_string())
    };
    let first = take("first");
    assert_eq!((first.status, first.json()["durable"].as_bool()), (201, Some(true)));
    let fill = disk.path().join("fill");
    let _ = std::fs::write(&fill, vec![1_u8; 8 << 20]);
    // What the database has set aside for itself lasts for a while.
    let long = "x".repeat(100);
    let refused = (0..200).map(|n| take(&format!("{n}-{long}"))).find(|given| {
        assert_eq!(given.status, 201, "{given:?}");
        given.json()["durable"] == false
    });
    assert!(refused.is_some(), "the disk was never full");
    let health = broker.get("/health").json();
    assert_eq!(health["state"], "degraded", "{health}");
    assert!(health["store"].is_string(), "{health}");
    assert!(broker.get("/metrics").text.contains("plimsoll_store_failing 1"));
    assert_eq!(broker.embed("a").status, 200, "requests are served all the same");
    std::fs::remove_file(&fill).unwrap();
    broker.eventually("it is well again", |b| b.get("/health").json(), |h| h["state"] == "ready");
    let given = broker.get("/v1/leases").json();
    let given = given["leases"].as_array().unwrap().iter().filter(|l| l["id"].is_string()).count();
    broker.post("/api/models/unload", "");
    let broker = broker.kill_and_restart();
    assert_eq!(leases(&broker).0, given, "what was refused was written later");
}

/// A file system that is taken away at the end.
struct Mounted(std::path::PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

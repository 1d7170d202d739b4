//! An engine that does as it is told: this test binary, started again by the broker.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use serde_json::{Value, json};

/// The `command` of a model that this binary serves.
pub(crate) fn command() -> String {
    let own = std::env::current_exe().unwrap();
    let own = own.to_str().unwrap();
    serde_json::to_string(&[own, "fake::serves", "--exact", "--ignored", "--nocapture"]).unwrap()
}

/// The same, to be run by a test.
pub(crate) fn command_line() -> std::process::Command {
    let mut command = std::process::Command::new(std::env::current_exe().unwrap());
    command.args(["fake::serves", "--exact", "--ignored", "--nocapture"]);
    command
}

/// Not a test: an engine, on the port that the broker has chosen.
///
/// `FAKE_LOAD_MS` is how long it loads; `FAKE_MEMORY` bytes are written to at the start;
/// `FAKE_TELLS` is a file that it appends to.
#[test]
#[ignore = "an engine that other tests start"]
fn serves() {
    let Ok(port) = std::env::var("PORT") else { return };
    let number = |name| std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    let bytes = usize::try_from(number("FAKE_MEMORY")).unwrap();
    pause(number("FAKE_LOAD_MS"));
    let mut held = vec![0_u8; bytes];
    held.iter_mut().step_by(4096).for_each(|byte| *byte = 1);
    std::hint::black_box(&held);
    let listener = TcpListener::bind(format!("127.0.0.1:{port}")).unwrap();
    for stream in listener.incoming() {
        std::thread::spawn(move || {
            let _ = connection(stream.unwrap());
        });
    }
}

fn tell(text: &str) {
    if let Ok(path) = std::env::var("FAKE_TELLS") {
        let mut file = std::fs::OpenOptions::new().append(true).create(true).open(path).unwrap();
        writeln!(file, "{text}").unwrap();
    }
}

fn connection(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut out = stream;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        let path = line.split_whitespace().nth(1).unwrap_or("/").to_owned();
        let mut headers = HashMap::new();
        loop {
            let mut header = String::new();
            reader.read_line(&mut header)?;
            let Some((name, value)) = header.trim().split_once(": ") else { break };
            headers.insert(name.to_lowercase(), value.to_owned());
        }
        let length = headers.get("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        if path == "/health" {
            answer(&mut out, &json!({ "state": "ready" }))?;
        } else if let Some(count) = body["stream_events"].as_u64() {
            stream_events(&mut out, count, body["pause_ms"].as_u64().unwrap_or(0))?;
        } else {
            pause(body["pause_ms"].as_u64().unwrap_or(0));
            let threads = std::env::var("OMP_NUM_THREADS").unwrap_or_default();
            let authorized = headers.contains_key("authorization");
            let said =
                json!({ "path": path, "body": body, "threads": threads, "authorized": authorized });
            answer(&mut out, &said)?;
        }
    }
}

fn answer(out: &mut TcpStream, body: &Value) -> std::io::Result<()> {
    let text = body.to_string();
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{text}",
        text.len()
    )
}

fn stream_events(out: &mut TcpStream, count: u64, pause_ms: u64) -> std::io::Result<()> {
    write!(
        out,
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    )?;
    for number in 0..count {
        let event = format!("data: {{\"n\":{number}}}\n\n");
        if write!(out, "{:x}\r\n{event}\r\n", event.len()).is_err() {
            tell(&format!("client gone after {number}"));
            return Err(std::io::Error::other("gone"));
        }
        pause(pause_ms);
    }
    tell("whole");
    write!(out, "0\r\n\r\n")
}

fn pause(ms: u64) {
    let (_kept, never) = std::sync::mpsc::channel::<()>();
    let _ = never.recv_timeout(Duration::from_millis(ms));
}

//! The demo.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use plimsoll_core_types::Report;

fn plimsoll(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> Output {
    plimsoll(args).output().expect("the binary runs")
}

/// The exit code, and everything on standard error.
fn complaint(args: &[&str]) -> (Option<i32>, String) {
    let output = run(args);
    (output.status.code(), String::from_utf8(output.stderr).expect("text"))
}

#[test]
fn bad_input_is_one_line_that_says_what_is_allowed() {
    let check = |args: &[&str], parts: &[&str]| {
        let (code, said) = complaint(args);
        assert_eq!(code, Some(2), "{args:?}: {said}");
        assert_eq!(said.trim_end().lines().count(), 1, "{args:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?} lacks {part:?}: {said}");
        }
    };
    check(&["demo", "--budgett", "1Gi"], &["--budgett", "--budget"]);
    check(&["demo", "--budget", "4Gx"], &["4Gx", "--budget", "Gi"]);
    check(&["demo", "--budget", "8MiB"], &["--budget 8 MiB", "at least"]);
    check(&["demo", "--budget", "900Ti"], &["--budget 900 TiB", "at most"]);
    check(&["demo", "--cores", "4000"], &["--cores", "100m to"]);
    check(&["demo", "--seconds", "5"], &["--seconds", "10..=600"]);
    check(&["demo", "--seed", "x"], &["--seed", "x"]);
    check(&["fly"], &["fly"]);
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    check(&["demo", "--port", &port], &["--port", &port, "in use", "0 for a free one"]);
}

#[test]
fn help_says_what_there_is() {
    let output = run(&["demo", "--help"]);
    assert!(output.status.success());
    let text = String::from_utf8(output.stdout).unwrap();
    for flag in ["--budget", "--cores", "--seconds", "--seed", "--json"] {
        assert!(text.contains(flag), "{flag}: {text}");
    }
}

#[test]
fn the_demo_holds_the_line_and_says_so() {
    let seed = "70001000";
    let output = run(&["demo", "--seconds", "14", "--budget", "256MiB", "--seed", seed, "--json"]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}");
    let report: Report = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let row = |name: &str| {
        let found = report.rows.iter().find(|row| row.name == format!("demo.{name}"));
        found.unwrap_or_else(|| panic!("no row demo.{name} in {text}")).clone()
    };
    assert!(row("requests").value > 300.0);
    assert_eq!(row("errors").value, 0.0, "{text}");
    assert_eq!(row("invariants_broken").value, 0.0, "{text}");
    assert!(row("refused").value > 0.0, "what can never fit is refused: {text}");
    assert!(row("loads").value >= 6.0, "{text}");
    assert!(row("evictions").value >= 1.0, "{text}");
    assert!(row("peak_promised_bytes").value <= row("limit_bytes").value);
    assert!(row("peak_measured_bytes").value <= row("limit_bytes").value);
    let warm = row("warm_hit_rate");
    assert!(warm.value > 0.5 && warm.value > warm.peers["one-at-a-time"], "{text}");
    for peer in ["lru-count", "one-at-a-time"] {
        assert!(row("loads").peers.contains_key(peer), "{peer}: {text}");
    }
    assert_eq!(engines_of(seed), Vec::<String>::new());
}

/// A demo that has at least one engine running.
fn demo_with_engines(seed: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = plimsoll(&["demo", "--seconds", "30", "--budget", "192MiB", "--seed", seed])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(" ready ") {
        line.clear();
        assert!(out.read_line(&mut line).unwrap() > 0, "it ended before an engine was ready");
    }
    assert_ne!(engines_of(seed), Vec::<String>::new());
    (child, out)
}

fn signal(child: &Child, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(child.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

#[test]
fn an_interrupt_ends_every_engine() {
    let seed = "70002000";
    let (mut child, mut out) = demo_with_engines(seed);
    signal(&child, rustix::process::Signal::INT);
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut out, &mut rest).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest}");
    assert_eq!(engines_of(seed), Vec::<String>::new());
}

#[cfg(target_os = "linux")]
#[test]
fn engines_die_with_a_broker_that_is_killed() {
    let seed = "70003000";
    let (mut child, out) = demo_with_engines(seed);
    child.kill().unwrap();
    child.wait().unwrap();
    drop(out);
    // The kernel kills them when their parent ends; that they are gone shows a moment later.
    let (_gone, never) = std::sync::mpsc::channel::<()>();
    for _ in 0..100 {
        if engines_of(seed).is_empty() {
            return;
        }
        let _ = never.recv_timeout(Duration::from_millis(50));
    }
    panic!("still running: {:?}", engines_of(seed));
}

/// The command lines of engines whose weights come from a demo of this seed.
fn engines_of(seed: &str) -> Vec<String> {
    let prefix = &seed[..seed.len() - 1];
    let mut found = Vec::new();
    let Ok(processes) = std::fs::read_dir("/proc") else { return found };
    for process in processes.flatten() {
        let Ok(bytes) = std::fs::read(process.path().join("cmdline")) else { continue };
        let text = String::from_utf8_lossy(&bytes).replace('\0', " ");
        if text.contains(" engine --model ") && text.contains(&format!("--seed {prefix}")) {
            found.push(text);
        }
    }
    found
}

//! `run`: with a broker, and without.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::process::Signal;

use crate::harness::{Broker, eventually, output, plimsoll};

/// A `run` that shares the ledger in `folder`.
fn alone(folder: &Path, args: &[&str]) -> Command {
    let mut command = plimsoll(&["run", "--no-daemon", "--state"]);
    command.arg(folder).args(args);
    command
}

fn ledger(folder: &Path) -> serde_json::Value {
    let text = std::fs::read_to_string(folder.join("ledger.json")).unwrap_or_default();
    serde_json::from_str(&text).unwrap_or_default()
}

fn holders(folder: &Path) -> usize {
    ledger(folder)["leases"].as_array().map_or(0, Vec::len)
}

/// A `run` that holds `memory` until its standard input is closed, and has begun.
fn holding(folder: &Path, name: &str, memory: &str) -> Child {
    let args = ["--budget", "100Mi", "--name", name, "--memory", memory, "--", "cat"];
    let child = alone(folder, &args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    eventually(
        "it holds its lease",
        || ledger(folder).to_string(),
        |text| {
            text.split("waiters").next().unwrap_or_default().contains(name)
                || serde_json::from_str::<serde_json::Value>(text).unwrap()["leases"]
                    .to_string()
                    .contains(name)
        },
    );
    child
}

#[test]
fn the_exit_code_and_the_threads_are_the_commands() {
    let folder = tempfile::tempdir().unwrap();
    let check = |args: &[&str], code: i32, part: &str| {
        let (ended, out, err) = output(&mut alone(folder.path(), args));
        assert_eq!(ended, Some(code), "{args:?}: {out}{err}");
        assert!(out.contains(part) || err.contains(part), "{part:?} is not in {out}{err}");
    };
    let job = ["--name", "job", "--memory", "8Mi"];
    let with = |rest: &[&'static str]| -> Vec<&str> { job.iter().chain(rest).copied().collect() };
    check(&with(&["--", "sh", "-c", "exit 7"]), 7, "");
    check(&with(&["--", "sh", "-c", "kill -9 $$"]), 137, "");
    check(&with(&["--cpu", "1", "--", "sh", "-c", "echo n=$OMP_NUM_THREADS"]), 0, "n=1");
    check(&with(&["--cpu", "1", "--", "echo", "t={threads}"]), 0, "t=1");
    check(&with(&["--", "nosuchprogram"]), 127, "nosuchprogram");
    check(&["--name", "job", "--memory", "900Ti", "--", "true"], 1, "can never fit");
    check(&["--name", "job", "--memory", "x", "--", "true"], 2, "x");
    assert_eq!(holders(folder.path()), 0);
}

#[test]
fn those_who_do_not_fit_wait_in_line_and_say_for_what() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = holding(folder.path(), "first", "70Mi");
    let args =
        ["--budget", "100Mi", "--name", "no", "--memory", "50Mi", "--wait", "300ms", "--", "true"];
    let (code, _, err) = output(&mut alone(folder.path(), &args));
    assert_eq!(code, Some(75), "{err}");
    assert!(err.contains("waits at position 1: memory: asks 50 MiB, 30 MiB free"), "{err}");
    let args = ["--budget", "100Mi", "--name", "second", "--memory", "50Mi", "--", "echo", "ran"];
    let second =
        alone(folder.path(), &args).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually(
        "it waits",
        || ledger(folder.path())["waiters"].to_string(),
        |text| text.contains("second"),
    );
    drop(first.stdin.take());
    assert!(first.wait().unwrap().success());
    let output = second.wait_with_output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), "ran");
    assert_eq!(holders(folder.path()), 0);
}

#[test]
fn a_run_that_is_killed_takes_its_command_along_and_leaves_no_lease() {
    let folder = tempfile::tempdir().unwrap();
    let mut first = holding(folder.path(), "killed", "70Mi");
    first.kill().unwrap();
    first.wait().unwrap();
    let args =
        ["--budget", "100Mi", "--name", "next", "--memory", "70Mi", "--wait", "20s", "--", "true"];
    let (code, _, err) = output(&mut alone(folder.path(), &args));
    assert_eq!(code, Some(0), "{err}");
}

#[test]
fn what_was_measured_is_what_auto_asks_for_next() {
    let folder = tempfile::tempdir().unwrap();
    let program = "import time\nx = bytearray(40 << 20)\ntime.sleep(1.5)\n";
    let python = Command::new("python3").arg("--version").output();
    if python.is_err() {
        plimsoll_testkit::skip(
            "what_was_measured_is_what_auto_asks_for_next",
            "there is no python3",
        );
        return;
    }
    let args = ["--name", "learner", "--memory", "200Mi", "--", "python3", "-c", program];
    assert_eq!(output(&mut alone(folder.path(), &args)).0, Some(0));
    let learned = ledger(folder.path())["learned"][0][1]["bytes"].as_u64().unwrap();
    assert!((40 << 20..80 << 20).contains(&learned), "{learned}");
    let args = ["--name", "learner", "--", "sh", "-c", "echo got=$PLIMSOLL_LEASED_MEMORY_BYTES"];
    let (_, out, _) = output(&mut alone(folder.path(), &args));
    assert_eq!(out.trim(), format!("got={learned}"));
}

#[test]
fn a_broker_is_asked_where_one_runs() {
    let broker = Broker::start("[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"12Mi\"\n");
    let url = format!("http://{}", broker.address);
    let with = |name: &str, memory: &str, command: &[&str]| {
        let mut run = plimsoll(&["run", "--url", &url, "--name", name, "--memory", memory, "--"]);
        run.args(command);
        run
    };
    let mut first = with("first", "70Mi", &["sh", "-c", "echo begun; cat"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Waiting for it must not end what it reads from.
    let _input = first.stdin.take();
    let mut line = String::new();
    BufReader::new(first.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "begun\n");
    let leases = broker.get("/v1/leases").json();
    assert_eq!(leases["leases"][0]["name"], "first", "{leases}");
    let second = with("second", "60Mi", &["sh", "-c", "exit 5"]).spawn().unwrap();
    broker.eventually(
        "it waits",
        |b| b.get("/v1/leases").json(),
        |list| list["waiters"][0]["name"] == "second",
    );
    let pid = rustix::process::Pid::from_raw(first.id().cast_signed()).unwrap();
    rustix::process::kill_process(pid, Signal::TERM).unwrap();
    assert_eq!(first.wait().unwrap().code(), Some(143), "the signal is passed on");
    assert_eq!(second.wait_with_output().unwrap().status.code(), Some(5));
    broker.eventually(
        "nothing is held",
        |b| b.get("/v1/leases").json(),
        |list| list["leases"].as_array().is_some_and(Vec::is_empty),
    );
}

//! The example client in Python, as somebody would use it.

use std::path::Path;
use std::process::Command;

use crate::harness::{Broker, output};

pub(crate) const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/lease.py");

/// Python with the example; none, and a line that says so, where there is no Python.
pub(crate) fn python(test: &str, url: &str) -> Option<Command> {
    if !Command::new("python3").arg("--version").output().is_ok_and(|out| out.status.success()) {
        plimsoll_testkit::skip(test, "python3 is not installed");
        return None;
    }
    let mut python = Command::new("python3");
    python.arg(EXAMPLE).env("PLIMSOLL_URL", url).env_remove("PLIMSOLL_TOKEN");
    python.env_remove("PLIMSOLL_CA");
    Some(python)
}

#[test]
fn the_python_example_holds_a_lease_while_its_command_runs() {
    let broker = Broker::start("[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"16Mi\"\n");
    let url = format!("http://{}", broker.address);
    let test = "the_python_example_holds_a_lease_while_its_command_runs";
    let Some(mut python) = python(test, &url) else { return };
    // The command asks who holds what; a short time to live makes it live by its renewals.
    let asks = "import os, time, urllib.request as u; time.sleep(1.5); \
         print(os.environ['OMP_NUM_THREADS'], u.urlopen(os.environ['PLIMSOLL_URL'] + '/v1/leases')\
         .read().decode())";
    python.args(["--name", "job", "--memory", "40Mi", "--cpu", "2", "--ttl", "0.6"]);
    let (code, said, errors) = output(python.args(["--", "python3", "-c", asks]));
    assert_eq!(code, Some(0), "{errors}");
    let (threads, list) = said.split_once(' ').unwrap();
    let list: serde_json::Value = serde_json::from_str(list).unwrap();
    assert_eq!((threads, &list["leases"][0]["name"]), ("2", &"job".into()), "{said}");
    assert_eq!(list["leases"][0]["amount"]["memory"], 40 << 20);
    let after = broker.get("/v1/leases").json();
    assert_eq!(after["leases"].as_array().unwrap().len(), 0, "given back: {after}");
}

#[test]
fn the_python_example_says_why_there_is_no_lease() {
    let broker = Broker::start("[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"16Mi\"\n");
    let test = "the_python_example_says_why_there_is_no_lease";
    let url = format!("http://{}", broker.address);
    let check = |url: &str, args: &[&str], status: i32, part: &str| {
        let Some(mut python) = python(test, url) else { return };
        let (code, _, errors) = output(python.args(args).args(["--", "true"]));
        assert_eq!(code, Some(status), "{errors}");
        assert!(errors.contains(part), "{part}: {errors}");
    };
    check(&url, &["--name", "job", "--memory", "9Gi"], 75, "the limit is 100 MiB");
    check(&url, &["--name", "job", "--memory", "nonsense"], 75, "nonsense");
    check("http://127.0.0.1:9", &["--name", "job", "--memory", "1Mi"], 69, "plimsoll serve");
    assert!(Path::new(EXAMPLE).is_file());
}

/// What the command of the example ends with is what the example ends with.
#[test]
fn the_python_example_passes_on_the_exit_code() {
    let broker = Broker::start("[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"16Mi\"\n");
    let url = format!("http://{}", broker.address);
    let Some(mut python) = python("the_python_example_passes_on_the_exit_code", &url) else {
        return;
    };
    let (code, ..) = output(python.args([
        "--name",
        "job",
        "--memory",
        "8Mi",
        "--",
        "python3",
        "-c",
        "raise SystemExit(3)",
    ]));
    assert_eq!(code, Some(3));
}

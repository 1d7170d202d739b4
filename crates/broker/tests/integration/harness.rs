//! A broker in a folder of its own, and a client of it.

use std::io::{BufRead as _, BufReader};
use std::net::TcpStream;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

pub(crate) use crate::common::{Answer, plimsoll};
use crate::common::{PATIENCE, Served, receive, send, serve, wait_for};

/// How often it is looked again whether something has happened.
const EVERY: Duration = Duration::from_millis(50);

pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A running broker. Killed when it is dropped.
pub(crate) struct Broker {
    served: Served,
    pub(crate) folder: tempfile::TempDir,
}

impl Deref for Broker {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.served
    }
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines();
        lines.filter_map(|line| line.split_once(": ")).find(|(key, _)| *key == name).map(|(_, v)| v)
    }
}

impl Broker {
    /// A broker of the config `text`, on a free port.
    pub(crate) fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plimsoll.toml"), text).unwrap();
        Self::start_in(folder)
    }

    pub(crate) fn start_in(folder: tempfile::TempDir) -> Self {
        Self::started(serve(&[]), folder).unwrap()
    }

    /// The same as [`start`](Self::start), on one core; none where that can't be had.
    pub(crate) fn start_on_one_core(text: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plimsoll.toml"), text).unwrap();
        let serve = serve(&[]);
        let mut command = Command::new("taskset");
        command.args(["-c", "0"]).arg(serve.get_program()).args(serve.get_args());
        Self::started(command, folder)
    }

    /// None where there is no such program.
    fn started(mut command: Command, folder: tempfile::TempDir) -> Option<Self> {
        let served = Served::start(command.current_dir(folder.path()))?;
        Some(Self { served, folder })
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.served.ended()
    }

    /// Kills it as the kernel would, and starts another in its folder.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.served.kill();
        Self::start_in(self.folder)
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[], "")
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> Answer {
        self.ask("POST", path, &[], body)
    }

    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let answer = receive(self.send(method, path, headers, body));
        answer.unwrap_or_else(|| panic!("{method} {path} was not answered as a whole"))
    }

    /// Sends a request, and reads none of the answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        send(self.address, method, path, headers, body).unwrap()
    }

    /// Asks `model` for an embedding.
    pub(crate) fn embed(&self, model: &str) -> Answer {
        self.post("/v1/embeddings", &format!("{{\"model\":\"{model}\",\"input\":\"noon\"}}"))
    }

    /// The models that run, by name and state.
    pub(crate) fn running(&self) -> Vec<(String, String)> {
        let running = self.get("/running").json();
        let row = |row: &Value| {
            Some((row["model"].as_str()?.to_owned(), row["state"].as_str()?.to_owned()))
        };
        running["running"].as_array().unwrap().iter().filter_map(row).collect()
    }

    /// Asks again and again until `holds`.
    pub(crate) fn eventually<T: std::fmt::Debug>(
        &self,
        what: &str,
        look: impl Fn(&Self) -> T,
        holds: impl Fn(&T) -> bool,
    ) -> T {
        eventually(what, || look(self), holds)
    }
}

/// Looks again and again until `holds`.
pub(crate) fn eventually<T: std::fmt::Debug>(
    what: &str,
    look: impl Fn() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let (seen, held) = wait_for(EVERY, PATIENCE, look, holds);
    assert!(held, "not in time: {what}; last seen {seen:?}");
    seen
}

/// The head of an answer, in small letters.
pub(crate) fn head(reader: &mut BufReader<TcpStream>) -> String {
    let mut head = String::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).unwrap();
        if line.trim().is_empty() {
            return head.to_lowercase();
        }
        head.push_str(&line);
    }
}

/// Processes whose working folder is `folder`, as those of a model with that `folder`.
pub(crate) fn processes_in(folder: &Path) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    let living = |pid: &u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        !stat.is_empty() && !stat.contains(") Z ")
    };
    entries
        .flatten()
        .filter(|entry| std::fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder))
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(living)
        .collect()
}

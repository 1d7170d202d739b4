//! A broker in a folder of its own, and a client of it.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use serde_json::Value;

/// How long anything may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn plimsoll(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_plimsoll"));
    command.args(args).stdin(Stdio::null());
    for name in ["URL", "CA", "TOKEN", "STATE", "MEMORY", "CONFIG", "LISTEN", "CPU"] {
        command.env_remove(format!("PLIMSOLL_{name}"));
    }
    command
}

pub(crate) fn output(command: &mut Command) -> (Option<i32>, String, String) {
    let Output { status, stdout, stderr } = command.output().expect("the binary runs");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

/// A running broker. Killed when it is dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
    pub(crate) folder: tempfile::TempDir,
    lines: Receiver<String>,
}

/// An answer, with its headers in small letters.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
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
        let command = plimsoll(&["serve", "--listen", "127.0.0.1:0"]);
        Self::started(command, folder).unwrap()
    }

    /// The same as [`start`](Self::start), on one core; none where that can't be had.
    pub(crate) fn start_on_one_core(text: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("plimsoll.toml"), text).unwrap();
        let mut command = Command::new("taskset");
        command.args(["-c", "0", env!("CARGO_BIN_EXE_plimsoll")]);
        command.args(["serve", "--listen", "127.0.0.1:0"]).stdin(Stdio::null());
        Self::started(command, folder)
    }

    /// None where there is no such program.
    fn started(mut command: Command, folder: tempfile::TempDir) -> Option<Self> {
        let command = command.current_dir(folder.path()).stdout(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let out = BufReader::new(child.stdout.take().unwrap());
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                let _ = sender.send(line);
            }
        });
        let mut address = None;
        while address.is_none() {
            let line: String = lines.recv_timeout(PATIENCE).expect("the broker says where it is");
            let rest = line.split_once("://").map(|(_, rest)| rest);
            address = rest.and_then(|rest| rest.split('/').next()?.parse().ok());
        }
        Some(Self { child, address: address.unwrap(), folder, lines })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Waits for a printed line that holds every one of `parts`.
    pub(crate) fn until(&self, parts: &[&str]) -> String {
        let mut seen = Vec::new();
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if parts.iter().all(|part| line.contains(part)) => return line,
                Ok(line) => seen.push(line),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    panic!("no line with {parts:?} in {seen:#?}")
                }
            }
        }
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(self.child.id().cast_signed()).unwrap();
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits for its end.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }

    /// Kills it as the kernel would, and starts another in its folder.
    pub(crate) fn kill_and_restart(mut self) -> Self {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let folder = std::mem::replace(&mut self.folder, tempfile::tempdir().unwrap());
        Self::start_in(folder)
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
        let mut reader = BufReader::new(self.send(method, path, headers, body));
        let head = head(&mut reader);
        let status = head.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0);
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        if head.contains("transfer-encoding: chunked") {
            text = text.split("\r\n").skip(1).step_by(2).collect();
        }
        Answer { status, head, text }
    }

    /// Sends a request, and reads none of the answer.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let extra: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let extra = extra.concat();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n{extra}\r\n{body}",
            body.len()
        )
        .unwrap();
        stream
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

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Looks again and again until `holds`.
pub(crate) fn eventually<T: std::fmt::Debug>(
    what: &str,
    look: impl Fn() -> T,
    holds: impl Fn(&T) -> bool,
) -> T {
    let (_kept, never) = channel::<()>();
    let mut seen = look();
    for _ in 0..600 {
        if holds(&seen) {
            return seen;
        }
        let _ = never.recv_timeout(Duration::from_millis(50));
        seen = look();
    }
    panic!("not in time: {what}; last seen {seen:?}");
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

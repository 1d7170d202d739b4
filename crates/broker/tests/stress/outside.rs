//! A broker as others see it: what it answers, and what runs on its behalf.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use serde_json::Value;

/// A folder with a config, in which one broker after another runs.
pub(crate) struct Place {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// A running broker. Killed when it is dropped.
pub(crate) struct Broker {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// What came back on a request.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Answer {
    /// A whole answer.
    Whole(u16, Value),
    /// The connection was refused, or broke before the answer was whole.
    Broken,
    /// What came back as a whole is no answer.
    Nonsense(String),
}

impl Place {
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap();
        std::fs::write(path.join("plimsoll.toml"), config).unwrap();
        Self { _folder: folder, path }
    }

    pub(crate) fn spawn(&self) -> Child {
        Command::new(env!("CARGO_BIN_EXE_plimsoll"))
            .args(["serve", "--listen", "127.0.0.1:0", "--quiet"])
            .current_dir(&self.path)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap()
    }

    pub(crate) fn start(&self) -> Broker {
        let mut child = self.spawn();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("http://") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "the broker did not start");
        }
        // It prints no more than a few lines with --quiet, which the pipe holds.
        child.stdout = Some(out.into_inner());
        let rest = line.split_once("http://").unwrap().1;
        Broker { child, address: rest.split('/').next().unwrap().parse().unwrap() }
    }

    /// Engines that some broker has started here, with what they serve.
    pub(crate) fn engines(&self) -> BTreeMap<u32, String> {
        let mut found = BTreeMap::new();
        for (pid, words) in processes() {
            let here = std::fs::read_link(format!("/proc/{pid}/cwd"));
            if here.is_ok_and(|cwd| cwd == self.path)
                && let Some((_, rest)) = words.split_once(" engine --model ")
                && !words.contains(" guard --place ")
            {
                found.insert(pid, rest.split(' ').next().unwrap_or_default().to_owned());
            }
        }
        found
    }

    /// Guards that some broker has started here.
    pub(crate) fn guards(&self) -> Vec<u32> {
        let folder = format!(" guard --place {}/", self.path.display());
        let ours = |(pid, words): (u32, String)| words.contains(&folder).then_some(pid);
        processes().into_iter().filter_map(ours).collect()
    }
}

/// Everything that runs, with its command line.
fn processes() -> Vec<(u32, String)> {
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let alive = |pid: u32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        let state = stat.rsplit_once(") ")?.1.chars().next()?;
        let words = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let words = String::from_utf8_lossy(&words).replace('\0', " ");
        (!matches!(state, 'Z' | 'X')).then_some((pid, words))
    };
    pids.filter_map(alive).collect()
}

impl Broker {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        call(self.address, method, path, body)
    }

    /// What it answers to a question that it must answer.
    pub(crate) fn get(&self, path: &str) -> Value {
        match self.call("GET", path, "") {
            Answer::Whole(200, value) => value,
            other => panic!("{path}: {other:?}"),
        }
    }

    /// Processes of engines that it says are ready, by model.
    pub(crate) fn ready(&self) -> BTreeMap<u32, String> {
        let Answer::Whole(200, running) = self.call("GET", "/running", "") else {
            return BTreeMap::new();
        };
        let rows = running["running"].as_array().cloned().unwrap_or_default();
        let row = |row: &Value| {
            let pid = u32::try_from(row["engine"]["pid"].as_u64()?).ok()?;
            Some((pid, row["model"].as_str()?.to_owned()))
        };
        rows.iter().filter_map(row).collect()
    }

    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        signal_to(self.pid(), signal);
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.child.wait().unwrap().code()
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn signal_to(pid: u32, signal: rustix::process::Signal) {
    if let Some(pid) = rustix::process::Pid::from_raw(pid.cast_signed()) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

pub(crate) fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let Ok(mut stream) = TcpStream::connect(address) else { return Answer::Broken };
    let _ = stream.set_read_timeout(Some(Duration::from_mins(1)));
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n\r\n"
    );
    if stream.write_all(format!("{head}{body}").as_bytes()).is_err() {
        return Answer::Broken;
    }
    let mut bytes = Vec::new();
    // A connection that is reset has given what it has given.
    let _ = stream.read_to_end(&mut bytes);
    whole(&String::from_utf8_lossy(&bytes))
}

fn whole(text: &str) -> Answer {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return Answer::Broken };
    let head = head.to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length = length.and_then(|length| length.trim().parse::<usize>().ok());
    if length.is_some_and(|length| body.len() < length) {
        return Answer::Broken;
    }
    let body = if head.contains("transfer-encoding: chunked") {
        if !body.ends_with("0\r\n\r\n") {
            return Answer::Broken;
        }
        body.split("\r\n").skip(1).step_by(2).collect()
    } else {
        body.to_owned()
    };
    let status = head.split_whitespace().nth(1).and_then(|status| status.parse().ok());
    match (status, serde_json::from_str(&body)) {
        (Some(status), Ok(value)) => Answer::Whole(status, value),
        (Some(status), Err(_)) if head.contains("text/") => Answer::Whole(status, Value::Null),
        _ => Answer::Nonsense(text.to_owned()),
    }
}

pub(crate) fn pause(time: Duration) {
    let (_kept, never) = channel::<()>();
    let _ = never.recv_timeout(time);
}

/// Looks until `holds`, for `within`; what was seen last, and whether it held.
pub(crate) fn wait_for<T>(
    within: Duration,
    look: impl Fn() -> T,
    holds: impl Fn(&T) -> bool,
) -> (T, bool) {
    const EVERY: Duration = Duration::from_millis(20);
    let mut left = within.as_millis() / EVERY.as_millis();
    loop {
        let seen = look();
        if holds(&seen) || left == 0 {
            let held = holds(&seen);
            return (seen, held);
        }
        left -= 1;
        pause(EVERY);
    }
}

/// A plain generator of random numbers (Knuth's MMIX constants).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end
    }

    pub(crate) fn milliseconds(&mut self, end: u64) -> Duration {
        Duration::from_millis(self.below(end))
    }
}

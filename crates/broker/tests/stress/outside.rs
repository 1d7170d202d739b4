//! A broker as others see it: what it answers, and what runs on its behalf.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Deref;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::Duration;

use serde_json::Value;

use crate::common::{self, Served, receive, send, serve};
pub(crate) use crate::common::{pause, signal_to};

/// A folder with a config, in which one broker after another runs.
pub(crate) struct Place {
    _folder: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

/// A running broker. Killed when it is dropped.
pub(crate) struct Broker(Served);

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

    fn command(&self) -> Command {
        let mut command = serve(&["--quiet"]);
        command.current_dir(&self.path);
        command
    }

    /// One whose start is not waited for.
    pub(crate) fn spawn(&self) -> Child {
        self.command().stdout(std::process::Stdio::null()).spawn().unwrap()
    }

    pub(crate) fn start(&self) -> Broker {
        Broker(Served::start(&mut self.command()).unwrap())
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

impl Deref for Broker {
    type Target = Served;

    fn deref(&self) -> &Served {
        &self.0
    }
}

impl Broker {
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
        self.0.kill();
    }

    pub(crate) fn ended(&mut self) -> Option<i32> {
        self.0.ended()
    }
}

pub(crate) fn call(address: SocketAddr, method: &str, path: &str, body: &str) -> Answer {
    let sent = send(address, method, path, &[], body);
    let Some(answer) = sent.ok().and_then(receive) else { return Answer::Broken };
    let common::Answer { status, head, text } = &answer;
    match serde_json::from_str(text) {
        Ok(value) if *status > 0 => Answer::Whole(*status, value),
        Err(_) if *status > 0 && head.contains("text/") => Answer::Whole(*status, Value::Null),
        _ => Answer::Nonsense(format!("{answer:?}")),
    }
}

/// Looks until `holds`, for `within`; what was seen last, and whether it held.
pub(crate) fn wait_for<T>(
    within: Duration,
    look: impl Fn() -> T,
    holds: impl Fn(&T) -> bool,
) -> (T, bool) {
    common::wait_for(Duration::from_millis(20), within, look, holds)
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

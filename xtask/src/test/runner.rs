//! Runs one command with its output in a log, and says now and then that it still runs.

use std::fs::OpenOptions;
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Well,
    Badly,
}

/// Runs `command`, appending all that it prints to `log`.
#[expect(clippy::disallowed_methods, reason = "a tool of its own, which reads no core's clock")]
pub(super) fn run(mut command: Command, log: &Path, name: &str) -> Result<(Ended, Duration)> {
    let open = || OpenOptions::new().append(true).open(log);
    let (out, err) = (open()?, open()?);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(err)
        .spawn()
        .with_context(|| format!("running {command:?}"))?;
    let start = Instant::now();
    let (done, ended) = channel();
    let waiter = std::thread::spawn(move || {
        // Nobody listens any more only where this program ends.
        let _ = done.send(child.wait());
    });
    let status = loop {
        match ended.recv_timeout(Duration::from_secs(1)) {
            Ok(status) => break status.context("waiting for a command")?,
            Err(RecvTimeoutError::Timeout) => progress(name, start.elapsed()),
            Err(RecvTimeoutError::Disconnected) => anyhow::bail!("the waiting thread has gone"),
        }
    };
    // It has sent its only message.
    let _ = waiter.join();
    let ended = if status.success() { Ended::Well } else { Ended::Badly };
    Ok((ended, start.elapsed()))
}

/// Appends complaints to `log`; there being any is a bad end.
pub(super) fn note(log: &Path, complaints: &[String]) -> Result<Ended> {
    let mut file = OpenOptions::new().append(true).open(log)?;
    for complaint in complaints {
        writeln!(file, "{complaint}")?;
    }
    Ok(if complaints.is_empty() { Ended::Well } else { Ended::Badly })
}

/// Shows on a terminal that the phase still runs.
fn progress(name: &str, elapsed: Duration) {
    let mut out = std::io::stdout().lock();
    if out.is_terminal() {
        let _ = write!(out, "\r{name:<12} …        {:>7.0} s", elapsed.as_secs_f64());
        let _ = out.flush();
    }
}

/// Takes the progress away again.
pub(super) fn clear() {
    let _ = write!(std::io::stdout().lock(), "\r\x1b[K");
}

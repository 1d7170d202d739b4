//! An engine's process: launched, waited for, killed. It never outlives its handle.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use plimsoll_core_types::ModelId;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::spec::{EngineCommand, ModelSpec};
use crate::http::call_once;

/// How long an engine may take to say which port it listens on.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(10);
/// How often a loading engine is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);
/// How long it may take to answer that.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Why an engine did not come up.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LaunchError {
    /// The process could not be made.
    #[error("{model}: its process could not be started: {source}")]
    Spawn { model: ModelId, source: std::io::Error },
    /// It did not say where it listens.
    #[error("{model}: it did not say where it listens: {cause}")]
    Announce { model: ModelId, cause: String },
    /// It ended while it loaded.
    #[error("{model}: it ended while it loaded, {status}")]
    Ended { model: ModelId, status: ExitStatus },
    /// It was not ready in time.
    #[error("{model}: it was not ready within {within:?}")]
    Late { model: ModelId, within: Duration },
}

/// A running process. Killed on drop.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    model: ModelId,
    child: Child,
    pid: u32,
    address: SocketAddr,
    /// The engine ends when this closes.
    _input: Option<ChildStdin>,
}

#[derive(Deserialize)]
struct Announcement {
    port: u16,
}

impl EngineProcess {
    /// Starts the process, and reads where it listens.
    pub(crate) async fn launch(
        command: &EngineCommand,
        spec: &ModelSpec,
        threads: u32,
    ) -> Result<Self, LaunchError> {
        let model = spec.id.clone();
        let mut child = Command::new(&command.program)
            .arg("engine")
            .args(["--model", spec.id.as_str()])
            .args(["--weights", &spec.weights.get().to_string()])
            .args(["--rounds", &spec.rounds.to_string()])
            .args(["--seed", &spec.seed.to_string()])
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .map_err(|source| LaunchError::Spawn { model: model.clone(), source })?;
        let input = child.stdin.take();
        let port = announced_port(&mut child)
            .await
            .map_err(|cause| LaunchError::Announce { model: model.clone(), cause })?;
        let pid = child.id().ok_or_else(|| LaunchError::Announce {
            model: model.clone(),
            cause: "it has ended".to_owned(),
        })?;
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        Ok(Self { model, child, pid, address, _input: input })
    }

    /// Waits until it serves.
    pub(crate) async fn ready(&mut self, within: Duration) -> Result<(), LaunchError> {
        let model = self.model.clone();
        let late = LaunchError::Late { model: model.clone(), within };
        tokio::select! {
            status = self.child.wait() => match status {
                Ok(status) => Err(LaunchError::Ended { model, status }),
                Err(source) => Err(LaunchError::Spawn { model, source }),
            },
            answered = tokio::time::timeout(within, answers(self.address)) => {
                answered.map_err(|_| late)
            }
        }
    }

    /// Its number at the operating system.
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Where it listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends when the process does.
    ///
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        // A child that can't be waited for is gone as well.
        self.child.wait().await.ok().and_then(|status| status.code())
    }

    /// Kills it, and waits until the operating system has taken its memory back.
    pub(crate) async fn kill(mut self) {
        if let Err(error) = self.child.kill().await {
            tracing::warn!(model = %self.model, pid = self.pid, %error, "kill");
        }
    }
}

async fn announced_port(child: &mut Child) -> Result<u16, String> {
    let output = child.stdout.take().ok_or("it has no output")?;
    let mut line = String::new();
    let mut reader = BufReader::new(output);
    let read = tokio::time::timeout(ANNOUNCE_WITHIN, reader.read_line(&mut line));
    match read.await {
        Err(_) => Err(format!("nothing within {ANNOUNCE_WITHIN:?}")),
        Ok(Err(error)) => Err(error.to_string()),
        Ok(Ok(0)) => Err("it closed its output".to_owned()),
        Ok(Ok(_)) => serde_json::from_str::<Announcement>(&line)
            .map(|said| said.port)
            .map_err(|error| format!("{line:?}: {error}")),
    }
}

/// Ends when the engine at `address` says that it is ready.
async fn answers(address: SocketAddr) {
    loop {
        let health = call_once(address, Method::GET, "/health", Bytes::new(), ANSWER_WITHIN).await;
        if health.is_ok_and(|answer| answer.status == StatusCode::OK) {
            return;
        }
        tokio::time::sleep(ASK_EVERY).await;
    }
}

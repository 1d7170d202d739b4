//! An engine's process: launched, waited for, ended. It never outlives its handle.

use std::net::{Ipv4Addr, SocketAddr};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use plimsoll_core_types::{ModelId, Reason};
use plimsoll_cpu::apply::{EngineKind, LaunchAdvice, LaunchSetting};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, Command};

use super::keeper;
use super::spec::{CommandSpec, EngineCommand, EngineSpec, ModelSpec};
use super::words::LastWords;
use crate::adopt::Engine;
use crate::http::{Target, call_once};

/// How long an engine may take to say which port it listens on.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(10);
/// How often a loading engine is asked whether it is ready, at first and at most.
const ASK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
/// How long it may take to answer that.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// How long an engine that is told to end may take.
const END_WITHIN: Duration = Duration::from_secs(5);

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
    #[error("{model}: it ended while it loaded, {status}{words}")]
    Ended { model: ModelId, status: ExitStatus, words: String },
    /// It was not ready in time.
    #[error("{model}: {at} was not ready within {within:?}{words}")]
    Late { model: ModelId, at: String, within: Duration, words: String },
    /// Its host's name means nothing.
    #[error("{model}: {authority} can't be resolved: {cause}")]
    Resolve { model: ModelId, authority: String, cause: String },
}

impl LaunchError {
    /// The same as a reason that is kept.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Self::Ended { status, .. } => Reason::Exited { code: status.code() },
            Self::Late { within, .. } => Reason::DeadlinePassed { waited: *within },
            Self::Spawn { .. } | Self::Announce { .. } | Self::Resolve { .. } => {
                Reason::Unresponsive { silent: Duration::ZERO, missed: 0 }
            }
        }
    }
}

/// A running engine. Where it is a process, it is killed on drop.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    model: ModelId,
    child: Option<OwnChild>,
    target: Arc<Target>,
    health: String,
    words: LastWords,
    /// Somebody else's engine, which frees memory by its own verbs, and what it calls the model.
    adopted: Option<(Engine, String)>,
}

/// A process of ours, the leader of a group of its own.
#[derive(Debug)]
struct OwnChild {
    child: Child,
    pid: u32,
    /// Whether it heeds a request to end, or has nothing to put in order.
    asks_first: bool,
    /// The embedded engine ends when this closes.
    _input: Option<ChildStdin>,
}

#[derive(Deserialize)]
struct Announcement {
    port: u16,
}

impl EngineProcess {
    /// Starts the process, and finds out where it listens.
    pub(crate) async fn launch(
        command: &EngineCommand,
        spec: &ModelSpec,
        threads: u32,
    ) -> Result<Self, LaunchError> {
        match &spec.engine {
            EngineSpec::Embedded { .. } => Self::embedded(command, spec, threads).await,
            EngineSpec::Command(program) => Self::program(command, spec, program, threads).await,
            EngineSpec::Url { authority, prefix, kind, name, .. } => {
                let target = resolve(authority, prefix).await.map_err(|cause| {
                    let (model, authority) = (spec.id.clone(), authority.clone());
                    LaunchError::Resolve { model, authority, cause }
                })?;
                let mut process = Self::new(spec, None, target, LastWords::default());
                process.adopted = kind.map(|kind| {
                    let target = Arc::clone(&process.target);
                    (Engine { kind, target }, name.clone())
                });
                process.wake_up().await;
                Ok(process)
            }
        }
    }

    /// Has an engine that sleeps take back its memory. One that can't says so by its health.
    async fn wake_up(&self) {
        let Some((engine, _)) = &self.adopted else { return };
        if let Err(error) = engine.take_back().await {
            tracing::warn!(model = %self.model, %error, "it was not woken up");
        }
    }

    fn new(spec: &ModelSpec, child: Option<OwnChild>, target: Target, words: LastWords) -> Self {
        let (model, health) = (spec.id.clone(), spec.engine.health().to_owned());
        Self { model, child, target: Arc::new(target), health, words, adopted: None }
    }

    async fn embedded(
        command: &EngineCommand,
        spec: &ModelSpec,
        threads: u32,
    ) -> Result<Self, LaunchError> {
        let EngineSpec::Embedded { weights, rounds, seed } = &spec.engine else {
            unreachable!("called for embedded engines only")
        };
        let model = spec.id.clone();
        let mut process = Command::new(&command.program);
        process
            .arg("engine")
            .args(["--model", spec.id.as_str()])
            .args(["--weights", &weights.get().to_string()])
            .args(["--rounds", &rounds.to_string()])
            .args(["--seed", &seed.to_string()])
            .args(["--threads", &threads.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = spawn(process, &model).await?;
        let input = child.stdin.take();
        let announce = |cause| LaunchError::Announce { model: model.clone(), cause };
        let port = announced_port(&mut child).await.map_err(announce)?;
        let pid = child.id().ok_or_else(|| announce("it has ended".to_owned()))?;
        let target = Target::loopback(port);
        let own = OwnChild { child, pid, asks_first: false, _input: input };
        Ok(Self::new(spec, Some(own), target, LastWords::default()))
    }

    async fn program(
        command: &EngineCommand,
        spec: &ModelSpec,
        program: &CommandSpec,
        threads: u32,
    ) -> Result<Self, LaunchError> {
        let model = spec.id.clone();
        let fail = |source| LaunchError::Spawn { model: model.clone(), source };
        let port = match program.port {
            Some(port) => port,
            None => free_port().map_err(fail)?,
        };
        let mut process = held(command, spec, program, port, threads);
        process.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(process, &model).await?;
        let words = LastWords::listen(&mut child);
        let pid = child.id().ok_or_else(|| fail(std::io::Error::other("it has ended")))?;
        let own = OwnChild { child, pid, asks_first: true, _input: None };
        Ok(Self::new(spec, Some(own), Target::loopback(port), words))
    }

    /// Waits until it serves; tells `progress` what it says of its load.
    pub(crate) async fn ready(
        &mut self,
        within: Duration,
        progress: impl Fn(f64),
    ) -> Result<(), LaunchError> {
        let model = self.model.clone();
        let target = Arc::clone(&self.target);
        let answered = tokio::time::timeout(within, answers(&target, &self.health, progress));
        let Some(own) = &mut self.child else {
            let (at, words) = (self.target.to_string(), String::new());
            let late = |_| LaunchError::Late { model, at, within, words };
            return answered.await.map_err(late);
        };
        tokio::select! {
            status = own.child.wait() => match status {
                Ok(status) => {
                    let words = self.words.told().await;
                    Err(LaunchError::Ended { model, status, words })
                }
                Err(source) => Err(LaunchError::Spawn { model, source }),
            },
            answered = answered => {
                let (at, words) = (self.target.to_string(), self.words.now());
                answered.map_err(|_| LaunchError::Late { model, at, within, words })
            }
        }
    }

    /// Its number at the operating system; none where it is not ours.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|own| own.pid)
    }

    /// Where it listens.
    pub(crate) const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The path that says whether it is well.
    pub(crate) fn health(&self) -> &str {
        &self.health
    }

    /// Ends when the process does.
    ///
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        match &mut self.child {
            // A child that can't be waited for is gone as well.
            Some(own) => own.child.wait().await.ok().and_then(|status| status.code()),
            None => std::future::pending().await,
        }
    }

    /// Ends it, and waits until the operating system has taken its memory back. Where it is not
    /// ours, it goes on, and is asked to free the model's memory where it has a verb for that.
    pub(crate) async fn kill(mut self) {
        if let Some((engine, name)) = &self.adopted
            && let Err(error) = engine.free(name).await
        {
            tracing::warn!(model = %self.model, %error, "its memory was not freed");
        }
        let Some(own) = &mut self.child else { return };
        if own.asks_first {
            own.signal(Signal::TERM);
            if tokio::time::timeout(END_WITHIN, own.child.wait()).await.is_ok() {
                return;
            }
        }
        own.signal(Signal::KILL);
        if let Err(error) = own.child.kill().await {
            tracing::warn!(model = %self.model, pid = own.pid, %error, "kill");
        }
    }
}

impl OwnChild {
    /// Tells the whole group. What is not there any more need not be told.
    fn signal(&self, signal: Signal) {
        if let Some(group) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process_group(group, signal);
        }
    }
}

impl Drop for OwnChild {
    fn drop(&mut self) {
        // Whatever it has started ends with it.
        self.signal(Signal::KILL);
    }
}

/// Starts `process` as the leader of a group of its own, to be killed when its handle is dropped.
async fn spawn(mut process: Command, model: &ModelId) -> Result<Child, LaunchError> {
    process.kill_on_drop(true).process_group(0);
    let fail = |source| LaunchError::Spawn { model: model.clone(), source };
    keeper::spawn(process).await.map_err(fail)
}

/// The program behind this binary's `hold`, which binds its life to ours.
fn held(
    command: &EngineCommand,
    spec: &ModelSpec,
    program: &CommandSpec,
    port: u16,
    threads: u32,
) -> Command {
    let fill = |text: &String| {
        text.replace("{port}", &port.to_string())
            .replace("{threads}", &threads.to_string())
            .replace("{model}", spec.id.as_str())
    };
    let mut process = Command::new(&command.program);
    process.args(["hold", "--parent", &std::process::id().to_string(), "--"]);
    process.args(program.command.iter().map(fill));
    let says_threads = program.command.iter().any(|word| word.contains("{threads}"));
    let kind = EngineKind::of(program.command.first().map_or("", String::as_str));
    for setting in LaunchAdvice::new(kind, threads).settings {
        match setting {
            LaunchSetting::Environment { name, value } => process.env(name, value),
            LaunchSetting::Arguments(words) if !says_threads => process.args(words),
            LaunchSetting::Arguments(_) => &mut process,
        };
    }
    process.env("PORT", port.to_string());
    process.envs(program.env.iter().map(|(name, value)| (name, fill(value))));
    if let Some(folder) = &program.folder {
        process.current_dir(folder);
    }
    process
}

/// A port that nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

async fn resolve(authority: &str, prefix: &str) -> Result<Target, String> {
    let found = tokio::net::lookup_host(authority).await.map_err(|error| error.to_string())?;
    let mut found: Vec<SocketAddr> = found.collect();
    // Servers listen on the older protocol more often than on the newer alone.
    found.sort_by_key(SocketAddr::is_ipv6);
    let address = *found.first().ok_or("it has no address")?;
    Ok(Target { address, host: authority.to_owned(), prefix: prefix.to_owned() })
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

/// What engines say of their load, where they do.
#[derive(Deserialize)]
struct Loading {
    progress: f64,
}

/// Ends when the engine at `target` says that it is ready.
async fn answers(target: &Target, health: &str, progress: impl Fn(f64)) {
    let (mut pause, longest) = ASK_EVERY;
    loop {
        let asked = call_once(target, Method::GET, health, Bytes::new(), ANSWER_WITHIN).await;
        match asked {
            Ok(answer) if answer.status == StatusCode::OK => return,
            Ok(answer) => {
                if let Ok(loading) = serde_json::from_slice::<Loading>(&answer.body) {
                    progress(loading.progress);
                }
            }
            Err(_) => {}
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 5 / 4).min(longest);
    }
}

//! What is run for a model: words, environment, a port; behind a guard or not.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Stdio;

use plimsoll_core_types::{Bytes, ResourceVector};
use plimsoll_cpu::apply::{EngineKind, LaunchAdvice, LaunchSetting};
use tokio::process::Command;

use super::guards::{Guards, note_of};
use super::keeper;
use super::own::{Own, OwnChild};
use super::spec::{CommandSpec, EngineCommand, EngineSpec, ModelSpec};
use crate::http::Target;

/// What is run for a model.
#[derive(Debug)]
pub(super) struct Recipe {
    words: Vec<String>,
    env: Vec<(String, String)>,
    folder: Option<PathBuf>,
    /// Where it listens; none where it says so itself.
    pub(super) port: Option<u16>,
    /// Whether it ends when its standard input does.
    input: bool,
}

/// Whose hands an engine is started into.
#[derive(Clone, Copy, Debug)]
pub(super) struct Hands<'a> {
    pub(super) command: &'a EngineCommand,
    pub(super) guards: Option<&'a Guards>,
}

impl Recipe {
    /// None where `spec` is served by what runs already.
    pub(super) fn of(
        spec: &ModelSpec,
        command: &EngineCommand,
        threads: u32,
    ) -> std::io::Result<Option<Self>> {
        match &spec.engine {
            EngineSpec::Embedded { weights, rounds, seed } => {
                let place = (*weights, *rounds, *seed);
                Ok(Some(Self::embedded(spec, command, threads, place)))
            }
            EngineSpec::Command(program) => Self::program(spec, program, threads).map(Some),
            EngineSpec::Url { .. } => Ok(None),
        }
    }

    fn embedded(
        spec: &ModelSpec,
        command: &EngineCommand,
        threads: u32,
        (weights, rounds, seed): (Bytes, u32, u64),
    ) -> Self {
        let program = command.program.to_string_lossy().into_owned();
        let words = [
            program.as_str(),
            "engine",
            "--model",
            spec.id.as_str(),
            "--weights",
            &weights.get().to_string(),
            "--rounds",
            &rounds.to_string(),
            "--seed",
            &seed.to_string(),
            "--threads",
            &threads.to_string(),
        ];
        let words = words.map(str::to_owned).to_vec();
        Self { words, env: Vec::new(), folder: None, port: None, input: true }
    }

    fn program(spec: &ModelSpec, program: &CommandSpec, threads: u32) -> std::io::Result<Self> {
        let port = match program.port {
            Some(port) => port,
            None => free_port()?,
        };
        let fill = |text: &String| {
            text.replace("{port}", &port.to_string())
                .replace("{threads}", &threads.to_string())
                .replace("{model}", spec.id.as_str())
        };
        let mut words: Vec<_> = program.command.iter().map(fill).collect();
        let says_threads = program.command.iter().any(|word| word.contains("{threads}"));
        let kind = EngineKind::of(program.command.first().map_or("", String::as_str));
        let mut env = Vec::new();
        for setting in LaunchAdvice::new(kind, threads).settings {
            match setting {
                LaunchSetting::Environment { name, value } => env.push((name, value)),
                LaunchSetting::Arguments(more) if !says_threads => words.extend(more),
                LaunchSetting::Arguments(_) => {}
            }
        }
        env.push(("PORT".to_owned(), port.to_string()));
        env.extend(program.env.iter().map(|(name, value)| (name.clone(), fill(value))));
        Ok(Self { words, env, folder: program.folder.clone(), port: Some(port), input: false })
    }

    /// Starts it: behind a guard where engines may outlive this broker.
    pub(super) async fn start(
        self,
        hands: Hands<'_>,
        spec: &ModelSpec,
        threads: u32,
        amount: ResourceVector,
    ) -> std::io::Result<Own> {
        let mut process = Command::new(&hands.command.program);
        process.envs(self.env);
        if let Some(folder) = &self.folder {
            process.current_dir(folder);
        }
        if let Some(guards) = hands.guards.filter(|guards| guards.are_wanted()) {
            let note = note_of(spec, amount, self.port, threads);
            let guarded = guards.start(process, &self.words, self.input, note).await?;
            return Ok(Own::Guarded(guarded));
        }
        process.args(["hold", "--parent", &std::process::id().to_string(), "--"]);
        process.args(self.words);
        process
            .stdin(if self.input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .process_group(0);
        let child = OwnChild::new(keeper::spawn(process).await?);
        child.map(Own::Child).ok_or_else(|| std::io::Error::other("it has ended"))
    }
}

/// A port that nobody listens on now.
fn free_port() -> std::io::Result<u16> {
    let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

/// Where `authority` is.
pub(super) async fn resolve(authority: &str, prefix: &str) -> Result<Target, String> {
    let found = tokio::net::lookup_host(authority).await.map_err(|error| error.to_string())?;
    let mut found: Vec<SocketAddr> = found.collect();
    // Servers listen on the older protocol more often than on the newer alone.
    found.sort_by_key(SocketAddr::is_ipv6);
    let address = *found.first().ok_or("it has no address")?;
    Ok(Target { address, host: authority.to_owned(), prefix: prefix.to_owned() })
}

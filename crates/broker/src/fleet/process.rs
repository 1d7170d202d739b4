//! An engine: started or taken over, waited for, ended. It never outlives its handle.

use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use plimsoll_core_types::{ModelId, Reason, ResourceVector};
use serde::Deserialize;

use super::guards::{Guarded, Noter};
use super::launch::{Hands, Recipe, resolve};
use super::own::Own;
use super::spec::{EngineSpec, ModelSpec};
use super::words::LastWords;
use crate::adopt::Engine;
use crate::http::{Target, call_once};

/// How long an engine may take to say which port it listens on.
const ANNOUNCE_WITHIN: Duration = Duration::from_secs(10);
/// How often a loading engine is asked whether it is ready, at first and at most.
const ASK_EVERY: (Duration, Duration) = (Duration::from_millis(10), Duration::from_millis(100));
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

/// A running engine. Where it is a process of ours, it is ended on drop.
#[derive(Debug)]
pub(crate) struct EngineProcess {
    model: ModelId,
    own: Option<Own>,
    /// Whether it heeds a request to end, or has nothing to put in order.
    asks_first: bool,
    target: Arc<Target>,
    health: String,
    /// Somebody else's engine, which frees memory by its own verbs, and what it calls the model.
    verbs: Option<(Engine, String)>,
}

#[derive(Deserialize)]
struct Announcement {
    port: u16,
}

impl EngineProcess {
    /// Starts the process under a lease of `amount`, and finds out where it listens.
    pub(super) async fn launch(
        hands: Hands<'_>,
        spec: &ModelSpec,
        threads: u32,
        amount: ResourceVector,
    ) -> Result<Self, LaunchError> {
        let model = spec.id.clone();
        let fail = |source| LaunchError::Spawn { model: model.clone(), source };
        let Some(recipe) = Recipe::of(spec, hands.command, threads).map_err(fail)? else {
            return Self::elsewhere(spec).await;
        };
        let port = recipe.port;
        let own = recipe.start(hands, spec, threads, amount).await.map_err(fail)?;
        Self::listening(spec, own, port).await
    }

    /// Takes over what another broker has started for `spec`.
    pub(super) async fn take_over(spec: &ModelSpec, guarded: Guarded) -> Result<Self, LaunchError> {
        let port = guarded.note().port;
        Self::listening(spec, Own::Guarded(guarded), port).await
    }

    async fn listening(spec: &ModelSpec, own: Own, port: Option<u16>) -> Result<Self, LaunchError> {
        let port = match port {
            Some(port) => port,
            None => announced_port(own.words()).await.map_err(|cause| {
                let model = spec.id.clone();
                LaunchError::Announce { model, cause: format!("{cause}{}", own.words().now()) }
            })?,
        };
        Ok(Self::new(spec, Some(own), Target::loopback(port)))
    }

    /// What somebody else runs.
    async fn elsewhere(spec: &ModelSpec) -> Result<Self, LaunchError> {
        let EngineSpec::Url { authority, prefix, kind, name, .. } = &spec.engine else {
            unreachable!("everything else is started")
        };
        let target = resolve(authority, prefix).await.map_err(|cause| {
            let (model, authority) = (spec.id.clone(), authority.clone());
            LaunchError::Resolve { model, authority, cause }
        })?;
        let mut process = Self::new(spec, None, target);
        process.verbs = kind.map(|kind| {
            let target = Arc::clone(&process.target);
            (Engine { kind, target }, name.clone())
        });
        process.wake_up().await;
        Ok(process)
    }

    /// Has an engine that sleeps take back its memory. One that can't says so by its health.
    async fn wake_up(&self) {
        let Some((engine, _)) = &self.verbs else { return };
        if let Err(error) = engine.take_back().await {
            tracing::warn!(model = %self.model, %error, "it was not woken up");
        }
    }

    fn new(spec: &ModelSpec, own: Option<Own>, target: Target) -> Self {
        let (model, health) = (spec.id.clone(), spec.engine.health().to_owned());
        let asks_first = matches!(spec.engine, EngineSpec::Command(_));
        Self { model, own, asks_first, target: Arc::new(target), health, verbs: None }
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
        let Some(own) = &mut self.own else {
            let (at, words) = (self.target.to_string(), String::new());
            let late = |_| LaunchError::Late { model, at, within, words };
            return answered.await.map_err(late);
        };
        tokio::select! {
            status = own.ended() => {
                let words = own.words().told().await;
                let unknown = std::io::Error::other("it has ended, and nobody knows how");
                Err(match status {
                    Some(status) => LaunchError::Ended { model, status, words },
                    None => LaunchError::Spawn { model, source: unknown },
                })
            }
            answered = answered => {
                let (at, words) = (self.target.to_string(), own.words().now());
                answered.map_err(|_| LaunchError::Late { model, at, within, words })
            }
        }
    }

    /// Its number at the operating system; none where it is not ours.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.own.as_ref().map(Own::pid)
    }

    /// Where it listens.
    pub(crate) const fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The path that says whether it is well.
    pub(crate) fn health(&self) -> &str {
        &self.health
    }

    /// Notes for the next broker that it serves; gives what notes changes of its lease, where it
    /// may outlive this broker.
    pub(super) fn note_ready(&mut self) -> Option<Noter> {
        self.own.as_mut().and_then(Own::note_ready)
    }

    /// Ends when the process does.
    ///
    /// Cancel safe.
    pub(crate) async fn ended(&mut self) -> Option<i32> {
        match &mut self.own {
            Some(own) => own.ended().await.and_then(|status| status.code()),
            None => std::future::pending().await,
        }
    }

    /// Ends it, and waits until the operating system has taken its memory back. Where it is not
    /// ours, it goes on, and is asked to free the model's memory where it has a verb for that.
    pub(crate) async fn kill(mut self) {
        if let Some((engine, name)) = &self.verbs
            && let Err(error) = engine.free(name).await
        {
            tracing::warn!(model = %self.model, %error, "its memory was not freed");
        }
        if let Some(own) = &mut self.own {
            own.end(self.asks_first).await;
        }
    }
}

/// Where an engine that takes a port by itself says that it listens.
async fn announced_port(words: &LastWords) -> Result<u16, String> {
    let said = |line: &str| serde_json::from_str::<Announcement>(line).ok();
    match tokio::time::timeout(ANNOUNCE_WITHIN, words.until(said)).await {
        Err(_) => Err(format!("nothing within {ANNOUNCE_WITHIN:?}")),
        Ok(None) => Err("it has ended".to_owned()),
        Ok(Some(announced)) => Ok(announced.port),
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

//! Engines that others have started: what they hold, and the verbs that they free it by.
//!
//! Each of them documents how a model is unloaded over HTTP. An unmodified engine can so be told
//! to give memory back, without being ended.

mod comfyui;
mod llama;
mod localai;
mod ollama;
mod triton;
mod vllm;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes as Chunk;
use hyper::{Method, StatusCode};
use plimsoll_core_types::Bytes;
use serde::Serialize;
use serde_json::Value;

use crate::http::{CallError, Target, call_once};

/// How long an engine may take to say what it is.
const ASK_WITHIN: Duration = Duration::from_secs(2);
/// How long an engine may take to free its memory.
const FREE_WITHIN: Duration = Duration::from_mins(1);

/// What an engine is, by the verbs that it answers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Kind {
    Ollama,
    LlamaCpp,
    Vllm,
    LocalAi,
    Triton,
    ComfyUi,
}

impl Kind {
    pub(crate) const ALL: [Self; 6] =
        [Self::Ollama, Self::Triton, Self::ComfyUi, Self::LocalAi, Self::Vllm, Self::LlamaCpp];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Ollama => "ollama",
            Self::LlamaCpp => "llama.cpp",
            Self::Vllm => "vllm",
            Self::LocalAi => "localai",
            Self::Triton => "triton",
            Self::ComfyUi => "comfyui",
        }
    }

    /// The path that answers 200 while it is well.
    pub(crate) const fn health(self) -> &'static str {
        match self {
            Self::Ollama => "/api/version",
            Self::LlamaCpp | Self::Vllm => "/health",
            Self::LocalAi => "/readyz",
            Self::Triton => "/v2/health/ready",
            Self::ComfyUi => "/system_stats",
        }
    }

    /// Whether it speaks OpenAI's interface, so that requests can be passed on to it.
    pub(crate) const fn speaks_openai(self) -> bool {
        matches!(self, Self::Ollama | Self::LlamaCpp | Self::Vllm | Self::LocalAi)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no kind of engine.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no kind of engine; use one of ollama, llama.cpp, vllm, localai, triton, comfyui")]
pub(crate) struct KindError(String);

impl FromStr for Kind {
    type Err = KindError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|kind| kind.name() == text);
        found.ok_or_else(|| KindError(text.to_owned()))
    }
}

/// A model that an engine knows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Known {
    pub(crate) name: String,
    pub(crate) loaded: bool,
    /// What it holds of the host's memory; none where the engine does not tell.
    pub(crate) memory: Option<Bytes>,
    /// What it holds of accelerators.
    pub(crate) accelerator: Option<Bytes>,
}

/// Why an engine did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AdoptError {
    /// No answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// An answer that says no.
    #[error("{kind} at {at} answered {status} to {what}")]
    Answer { kind: Kind, at: String, status: StatusCode, what: String },
}

/// An engine that somebody else has started.
#[derive(Clone, Debug)]
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(crate) target: Arc<Target>,
}

impl Engine {
    /// What listens at `target`; none where nothing does, or nothing that is known.
    pub(crate) async fn find(target: Arc<Target>) -> Option<Self> {
        for kind in Kind::ALL {
            let engine = Self { kind, target: Arc::clone(&target) };
            let is = match kind {
                Kind::Ollama => ollama::is(&engine).await,
                Kind::LlamaCpp => llama::is(&engine).await,
                Kind::Vllm => vllm::is(&engine).await,
                Kind::LocalAi => localai::is(&engine).await,
                Kind::Triton => triton::is(&engine).await,
                Kind::ComfyUi => comfyui::is(&engine).await,
            };
            match is {
                Ok(true) => return Some(engine),
                // Nobody is there, or not in time: nothing else is asked either.
                Err(AdoptError::Call(_)) => return None,
                Ok(false) | Err(_) => {}
            }
        }
        None
    }

    /// The models that it knows, and what they hold.
    pub(crate) async fn models(&self) -> Result<Vec<Known>, AdoptError> {
        match self.kind {
            Kind::Ollama => ollama::models(self).await,
            Kind::LlamaCpp => llama::models(self).await,
            Kind::Vllm => vllm::models(self).await,
            Kind::LocalAi => localai::models(self).await,
            Kind::Triton => triton::models(self).await,
            Kind::ComfyUi => comfyui::models(self).await,
        }
    }

    /// Has it free what `model` holds.
    pub(crate) async fn free(&self, model: &str) -> Result<(), AdoptError> {
        match self.kind {
            Kind::Ollama => ollama::free(self, model).await,
            Kind::LlamaCpp => llama::free(self, model).await,
            Kind::Vllm => vllm::free(self).await,
            Kind::LocalAi => localai::free(self, model).await,
            Kind::Triton => triton::free(self, model).await,
            Kind::ComfyUi => comfyui::free(self).await,
        }
    }

    /// Has it take back what was freed, where it does not do so by itself at the next request.
    pub(crate) async fn take_back(&self) -> Result<(), AdoptError> {
        match self.kind {
            Kind::Vllm => vllm::take_back(self).await,
            _ => Ok(()),
        }
    }

    async fn get(&self, path: &str) -> Result<(StatusCode, Value), AdoptError> {
        let answer = call_once(&self.target, Method::GET, path, Chunk::new(), ASK_WITHIN).await?;
        Ok((answer.status, serde_json::from_slice(&answer.body).unwrap_or_default()))
    }

    async fn post(&self, path: &str, body: Option<Value>) -> Result<Value, AdoptError> {
        let body = body.map_or_else(Chunk::new, |body| Chunk::from(body.to_string()));
        let answer = call_once(&self.target, Method::POST, path, body, FREE_WITHIN).await?;
        if answer.status.is_success() {
            return Ok(serde_json::from_slice(&answer.body).unwrap_or_default());
        }
        let (kind, at, what) = (self.kind, self.target.to_string(), format!("POST {path}"));
        Err(AdoptError::Answer { kind, at, status: answer.status, what })
    }
}

/// Where engines listen where nobody says otherwise.
pub(crate) const USUAL_PORTS: [u16; 5] = [11434, 8080, 8000, 8188, 1234];

/// The engines that listen at their usual ports of this host.
pub(crate) async fn discover() -> Vec<Engine> {
    let mut asked = tokio::task::JoinSet::new();
    for port in USUAL_PORTS {
        asked.spawn(Engine::find(Arc::new(Target::loopback(port))));
    }
    let mut found: Vec<_> = asked.join_all().await.into_iter().flatten().collect();
    found.sort_by_key(|engine| engine.target.address);
    found
}

fn bytes(value: &Value) -> Option<Bytes> {
    value.as_u64().map(Bytes::new)
}

fn rows(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests;

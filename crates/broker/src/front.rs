//! The HTTP front: one address for every model.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use bytes::Bytes;
use hyper::{Method, StatusCode};
use plimsoll_cache::ManagedCache;
use plimsoll_core_types::{AllocateError, Clock, ModelId, Priority, Reason, Timestamp};
use plimsoll_load::{Admission, Work};
use serde_json::json;
use tokio::net::TcpListener;

use crate::fleet::{AcquireError, Engines, LoadFailure, Model};
use crate::openai::{ApiError, EmbeddingsRequest};
use crate::traffic_meter::Ended;

/// Requests larger than this are refused.
const BODY_LIMIT: usize = 1 << 20;
/// An engine that broke off is tried anew this often.
const ATTEMPTS: usize = 4;
/// Says where an answer came from: `cache`, a `warm` engine, or a `cold` one.
pub(crate) const SOURCE: HeaderName = HeaderName::from_static("x-plimsoll-source");

/// Whose answer to which text.
pub(crate) type AnswerKey = (ModelId, String);

/// What the front's handlers share.
#[derive(Debug)]
pub(crate) struct Front {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) answers: ManagedCache<AnswerKey, Bytes>,
    pub(crate) admission: Arc<Admission>,
    /// How long a request may take in all.
    pub(crate) within: Duration,
}

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    Cache,
    Warm,
    Cold,
}

impl Source {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

/// Serves until the listener fails.
pub(crate) async fn serve(listener: TcpListener, front: Arc<Front>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health", get(|| async { Json(json!({ "state": "ready" })) }))
        .route("/v1/models", get(models))
        .route("/v1/embeddings", post(embeddings))
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(front);
    axum::serve(listener, router).await
}

async fn models(State(front): State<Arc<Front>>) -> Response {
    let model = |id: &ModelId| json!({ "id": id, "object": "model", "owned_by": "plimsoll" });
    let data: Vec<_> = front.engines.ids().iter().map(model).collect();
    Json(json!({ "object": "list", "data": data })).into_response()
}

async fn embeddings(State(front): State<Arc<Front>>, body: Bytes) -> Result<Response, ApiError> {
    let begun = front.clock.now();
    let request: EmbeddingsRequest = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid("body", &format!("the body is no request: {error}")))?;
    let answered = front.answer(&request, body, begun).await;
    let ended = match &answered {
        Ok(_) => Ended::Well,
        Err(error) if error.is_refusal() => Ended::Refused,
        Err(_) => Ended::Failed,
    };
    front.engines.meter.count(ended, front.clock.now().saturating_since(begun));
    let (source, answer) = answered?;
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(([kind, (SOURCE, HeaderValue::from_static(source.name()))], answer).into_response())
}

impl Front {
    async fn answer(
        &self,
        request: &EmbeddingsRequest,
        body: Bytes,
        begun: Timestamp,
    ) -> Result<(Source, Bytes), ApiError> {
        let id = &request.model;
        let model = self
            .engines
            .model(id)
            .ok_or_else(|| ApiError::unknown_model(id.as_str(), &self.engines.names()))?;
        let key = (id.clone(), request.input.texts().join("\u{0}"));
        if let Some(answer) = self.answers.get(&key) {
            return Ok((Source::Cache, answer));
        }
        self.engines.note_arrival(&model);
        let deadline = begun + self.within;
        let _permit =
            self.admission.admit(Priority::Normal, Some(deadline)).await.map_err(|refused| {
                ApiError::overloaded(&refused.reason.to_string(), seconds(refused.retry_after))
            })?;
        let (source, answer) = self.ask_engine(&model, body, deadline).await?;
        self.answers.insert(key, answer.clone());
        Ok((source, answer))
    }

    /// Asks an engine, and another one where it breaks off: an embedding can be asked for twice.
    async fn ask_engine(
        &self,
        model: &Model,
        body: Bytes,
        deadline: Timestamp,
    ) -> Result<(Source, Bytes), ApiError> {
        let mut source = Source::Warm;
        let mut last = String::from("no attempt was made");
        for _ in 0..ATTEMPTS {
            let left = deadline.saturating_since(self.clock.now());
            if left.is_zero() {
                break;
            }
            let acquired = self.engines.acquire(model, left).await;
            let acquired = acquired.map_err(|error| self.refusal(model, &error))?;
            if !acquired.warm {
                source = Source::Cold;
            }
            let Ok(dispatch) = model.balancer.dispatch(&Work::default(), self.clock.now()) else {
                last = format!("{} has just gone", model.id);
                continue;
            };
            let slot = tokio::time::timeout(left, acquired.running.connections.get()).await;
            let mut connection = match slot {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) => {
                    last = error.to_string();
                    continue;
                }
                Err(_) => {
                    last = format!("no slot of {} came free in time", model.id);
                    break;
                }
            };
            let left = deadline.saturating_since(self.clock.now());
            let call = connection.call(Method::POST, "/v1/embeddings", body.clone(), left);
            match call.await {
                Ok(answer) if answer.status == StatusCode::OK => {
                    dispatch.succeed(self.clock.now());
                    acquired.running.note_served(self.clock.now());
                    return Ok((source, answer.body));
                }
                Ok(answer) => {
                    dispatch.fail(self.clock.now());
                    last = format!("the engine answered {}", answer.status);
                }
                Err(error) => {
                    dispatch.fail(self.clock.now());
                    last = error.to_string();
                }
            }
            // Whoever broke off was killed or hangs; its successor is waited for, not this one.
            source = Source::Cold;
        }
        Err(ApiError::internal(&format!("{}: {last}", model.id)))
    }

    /// What a client is told, once it is written down.
    fn refusal(&self, model: &Model, error: &AcquireError) -> ApiError {
        if let AcquireError::Load(failure) = error
            && let LoadFailure::Refused(AllocateError::NeverFits { why, .. }) = &**failure
        {
            self.engines.note_refusal(model, Reason::NeverFits(*why));
        }
        refusal(error)
    }
}

fn refusal(error: &AcquireError) -> ApiError {
    match error {
        AcquireError::Load(failure) => match &**failure {
            LoadFailure::Refused(AllocateError::NeverFits { .. }) => {
                ApiError::never_fits(&error.to_string())
            }
            LoadFailure::Refused(_) => ApiError::no_room(&error.to_string(), 1),
            LoadFailure::Engine { .. } => ApiError::internal(&error.to_string()),
        },
        AcquireError::Late { .. } | AcquireError::Closed => {
            ApiError::no_room(&error.to_string(), 1)
        }
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs_f64().ceil() as u64).max(1)
}

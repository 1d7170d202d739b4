//! The part of OpenAI's HTTP interface that is spoken here.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plimsoll_core_types::ModelId;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// The body of `POST /v1/embeddings`. Fields that are not known are ignored, as OpenAI does.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct EmbeddingsRequest {
    /// Which model.
    pub(crate) model: ModelId,
    /// What to embed.
    pub(crate) input: Input,
}

/// One text or several.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Input {
    /// One text.
    One(String),
    /// Several texts.
    Many(Vec<String>),
}

impl Input {
    pub(crate) fn texts(&self) -> &[String] {
        match self {
            Self::One(text) => std::slice::from_ref(text),
            Self::Many(texts) => texts,
        }
    }
}

/// The answer to `POST /v1/embeddings`.
pub(crate) fn embeddings(model: &ModelId, vectors: &[Vec<f32>], tokens: usize) -> Value {
    let entry =
        |(index, vector)| json!({ "object": "embedding", "index": index, "embedding": vector });
    let data: Vec<_> = vectors.iter().enumerate().map(entry).collect();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    json!({ "object": "list", "data": data, "model": model, "usage": usage })
}

/// An error in OpenAI's envelope, with `Retry-After` where trying again can help.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    param: Option<&'static str>,
    message: String,
    retry_after: Option<u64>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: &str) -> Self {
        let message = message.to_owned();
        Self { status, kind, code, param: None, message, retry_after: None }
    }

    /// 400: a field's value is not allowed.
    pub(crate) fn invalid(param: &'static str, message: &str) -> Self {
        let status = StatusCode::BAD_REQUEST;
        let error = Self::new(status, "invalid_request_error", "invalid_value", message);
        Self { param: Some(param), ..error }
    }

    /// 404: there is no such model.
    pub(crate) fn unknown_model(model: &ModelId, known: &str) -> Self {
        let message = format!("there is no model {model}; there are {known}");
        let status = StatusCode::NOT_FOUND;
        let error = Self::new(status, "invalid_request_error", "model_not_found", &message);
        Self { param: Some("model"), ..error }
    }

    /// 422: the model can never fit on this machine; trying again is no use.
    pub(crate) fn never_fits(message: &str) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "insufficient_resources", "never_fits", message)
    }

    /// 503: the model is being loaded.
    pub(crate) fn loading(model: &ModelId) -> Self {
        let message = format!("{model} is being loaded");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "loading", &message).retry(1)
    }

    /// 503: there was no room in time.
    pub(crate) fn no_room(message: &str, retry_after: u64) -> Self {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        Self::new(status, "insufficient_resources", "no_room", message).retry(retry_after)
    }

    /// 429: more requests than can be served.
    pub(crate) fn overloaded(message: &str, retry_after: u64) -> Self {
        let status = StatusCode::TOO_MANY_REQUESTS;
        Self::new(status, "overloaded", "overloaded", message).retry(retry_after)
    }

    /// 500: something that should not happen.
    pub(crate) fn internal(message: &str) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "server_error", "internal", message)
    }

    const fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// True where the answer is a decision, not a failure.
    pub(crate) fn is_refusal(&self) -> bool {
        self.status.is_client_error() || self.code == "no_room"
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Self { kind, code, param, message, .. } = &self;
        let error = json!({ "message": message, "type": kind, "param": param, "code": code });
        let mut response = (self.status, Json(json!({ "error": error }))).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

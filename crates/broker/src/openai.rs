//! The part of OpenAI's HTTP interface that is spoken here.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use plimsoll_core_types::{Bytes, ModelId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::fleet::Loading;

/// Says where an answer came from: a `warm` engine, or a `cold` one.
pub(crate) const SOURCE: HeaderName = HeaderName::from_static("x-plimsoll-source");

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
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ApiError {
    status: StatusCode,
    kind: &'static str,
    code: &'static str,
    param: Option<&'static str>,
    message: String,
    retry_after: Option<u64>,
    loading: Option<Box<Loading>>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, code: &'static str, message: &str) -> Self {
        let message = message.to_owned();
        Self { status, kind, code, param: None, message, retry_after: None, loading: None }
    }

    /// 400: a field's value is not allowed.
    pub(crate) fn invalid(param: &'static str, message: &str) -> Self {
        let status = StatusCode::BAD_REQUEST;
        let error = Self::new(status, "invalid_request_error", "invalid_value", message);
        Self { param: Some(param), ..error }
    }

    /// 404: there is no such model.
    pub(crate) fn unknown_model(model: &str, known: &str) -> Self {
        let known = if known.is_empty() { "none" } else { known };
        let message = format!("there is no model {model}; there are: {known}");
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

    /// 503: the model was not ready in time.
    pub(crate) fn not_ready(message: &str, loading: Loading) -> Self {
        let retry = loading.retry_after();
        let loading = Some(Box::new(loading));
        Self { loading, ..Self::no_room(message, retry) }
    }

    /// 401: no token, or a wrong one.
    pub(crate) fn unauthorized() -> Self {
        let message = "send the broker's token as `Authorization: Bearer …`";
        let status = StatusCode::UNAUTHORIZED;
        Self::new(status, "authentication_error", "invalid_api_key", message)
    }

    /// 413: the body is larger than bodies may be.
    pub(crate) fn too_large(most: Bytes) -> Self {
        let message = format!("the body is larger than {most}, which is the limit");
        let status = StatusCode::PAYLOAD_TOO_LARGE;
        Self::new(status, "invalid_request_error", "too_large", &message)
    }

    /// 502: the model's engine did not come up, or broke off.
    pub(crate) fn broken(model: &ModelId, cause: &str) -> Self {
        let named = cause.starts_with(model.as_str());
        let message = if named { cause.to_owned() } else { format!("{model}: {cause}") };
        Self::new(StatusCode::BAD_GATEWAY, "server_error", "engine_failed", &message).retry(1)
    }

    /// 504: the model's engine did not begin its answer in time.
    pub(crate) fn silent(model: &ModelId, within: Duration) -> Self {
        let message = format!("{model} did not begin its answer within {within:?}");
        Self::new(StatusCode::GATEWAY_TIMEOUT, "server_error", "engine_silent", &message)
    }

    /// 503: the model is not served any more, or not yet again.
    pub(crate) fn gone(model: &ModelId) -> Self {
        let message = format!("{model} is not served any more");
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "server_error", "gone", &message).retry(1)
    }

    /// 404: there is no such thing.
    pub(crate) fn not_found(message: &str) -> Self {
        Self::new(StatusCode::NOT_FOUND, "invalid_request_error", "not_found", message)
    }

    /// 409: it has ended, or is not what it was taken to be.
    pub(crate) fn conflict(code: &'static str, message: &str) -> Self {
        Self::new(StatusCode::CONFLICT, "invalid_request_error", code, message)
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

    /// The same, with the seconds after which trying again can help.
    pub(crate) const fn retry(mut self, seconds: u64) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// True where another model's engine may serve the request.
    pub(crate) fn is_helped_by_others(&self) -> bool {
        matches!(self.code, "never_fits" | "no_room" | "engine_failed" | "gone" | "overloaded")
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
        let mut body = json!({ "error": error });
        if let Some(loading) = &self.loading {
            body["loading"] = json!(loading);
        }
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

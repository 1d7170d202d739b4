//! Answers that were given before, in front of the broker: what a cache that tunes itself is shown
//! by.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper::{Method, StatusCode};
use plimsoll_cache::{CacheConfig, CapacityUnit, ManagedCache};
use plimsoll_core_types::{CacheId, Clock, ModelId};

use super::DemoError;
use crate::openai::{ApiError, EmbeddingsRequest, SOURCE};
use crate::serve::{Answerer, Broker, proxy};
use crate::traffic_meter::Ended;

/// Memory for answers that were given before.
const ANSWERS: plimsoll_core_types::Bytes = plimsoll_core_types::Bytes::from_mib(4);

/// Whose answer to which text.
type AnswerKey = (ModelId, String);

/// The cache.
pub(super) type Answers = ManagedCache<AnswerKey, Bytes>;

/// Where an answer came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    Cache,
    Warm,
    Cold,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Warm => "warm",
            Self::Cold => "cold",
        }
    }
}

/// A cache without an answer yet.
pub(super) fn answers(clock: &Arc<dyn Clock>) -> Result<Answers, DemoError> {
    let name =
        CacheId::new("answers").map_err(|error| DemoError::internal("naming the cache", &error))?;
    let config = CacheConfig { unit: CapacityUnit::Bytes, ..CacheConfig::new(ANSWERS.get()) };
    ManagedCache::with_weigher(name, config, Arc::clone(clock), weigh)
        .map_err(|error| DemoError::internal("making the cache", &error))
}

/// Bytes that an answer takes with its key.
fn weigh(key: &AnswerKey, answer: &Bytes) -> u32 {
    /// What an entry takes in the cache's own tables, roughly.
    const ENTRY: usize = 200;
    u32::try_from(key.1.len() + answer.len() + ENTRY).unwrap_or(u32::MAX)
}

/// The broker's front, and before it the answers that it has given.
#[derive(Clone, Debug)]
pub(super) struct Remembering {
    answers: Answers,
    broker: Arc<Broker>,
    front: Answerer,
}

impl Remembering {
    pub(super) fn new(answers: Answers, broker: Arc<Broker>) -> Self {
        let front = Answerer::new(Arc::clone(&broker));
        Self { answers, broker, front }
    }

    async fn embeddings(self, request: Request<Incoming>) -> Result<Response, ApiError> {
        let begun = self.broker.clock.now();
        let most = self.broker.settings().server.body;
        let (parts, body) = request.into_parts();
        let limit = usize::try_from(most.get()).unwrap_or(usize::MAX);
        let body = Limited::new(body, limit).collect().await;
        let body = body.map_err(|_| ApiError::too_large(most))?.to_bytes();
        let key = key(&body);
        if let Some(answer) = key.as_ref().and_then(|key| self.answers.get(key)) {
            let took = self.broker.clock.now().saturating_since(begun);
            self.broker.engines.meter.count(Ended::Well, took);
            let kind = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let source = (SOURCE, HeaderValue::from_static(Source::Cache.name()));
            return Ok(([kind, source], answer).into_response());
        }
        let request = Request::from_parts(parts, Full::new(body));
        let (parts, body) = proxy(self.broker, request).await.into_parts();
        let whole = body.collect().await;
        let whole = whole.map_err(|error| ApiError::internal(&error.to_string()))?.to_bytes();
        if let Some(key) = key.filter(|_| parts.status == StatusCode::OK) {
            self.answers.insert(key, whole.clone());
        }
        Ok(Response::from_parts(parts, Body::from(whole)))
    }
}

/// What is asked of whom; none where the body is no request, which the broker says.
fn key(body: &[u8]) -> Option<AnswerKey> {
    let request: EmbeddingsRequest = serde_json::from_slice(body).ok()?;
    Some((request.model, request.input.texts().join("\u{0}")))
}

impl Service<Request<Incoming>> for Remembering {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.method() != Method::POST || request.uri().path() != "/v1/embeddings" {
            return self.front.call(request);
        }
        let answered = self.clone().embeddings(request);
        Box::pin(async { Ok(answered.await.unwrap_or_else(ApiError::into_response)) })
    }
}

//! The engine's HTTP face: `/v1/embeddings`, `/health`, and how many threads it computes with.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use axum::extract::{DefaultBodyLimit, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use plimsoll_core_types::ModelId;
use serde::Deserialize;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::EngineArgs;
use crate::openai::{ApiError, EmbeddingsRequest, embeddings};
use plimsoll_weights::Weights;

/// Requests larger than this are refused.
const BODY_LIMIT: usize = 1 << 20;
/// More threads than this are refused.
const MOST_THREADS: u32 = 1024;

/// What the handlers share.
#[derive(Debug)]
pub(super) struct Served {
    model: ModelId,
    weights: OnceLock<Weights>,
    /// Progress of the load in thousandths.
    progress: AtomicU32,
    computing: Semaphore,
    threads: tokio::sync::Mutex<u32>,
}

impl Served {
    pub(super) fn new(args: &EngineArgs) -> Self {
        let threads = args.threads.clamp(1, MOST_THREADS);
        Self {
            model: args.model.clone(),
            weights: OnceLock::new(),
            progress: AtomicU32::new(0),
            computing: Semaphore::new(threads as usize),
            threads: tokio::sync::Mutex::new(threads),
        }
    }

    pub(super) fn progress(&self, share: f32) {
        self.progress.store((share * 1000.0) as u32, Ordering::Relaxed);
    }

    pub(super) fn ready(&self, weights: Weights) {
        // Called once; a second set of weights would change nothing.
        let _ = self.weights.set(weights);
    }
}

pub(super) async fn serve(listener: TcpListener, served: Arc<Served>) -> std::io::Result<()> {
    let router = Router::new()
        .route("/health", get(health))
        .route("/v1/embeddings", post(embed))
        .route("/threads", post(set_threads))
        .fallback(only_embeddings)
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .with_state(served);
    axum::serve(listener, router).await
}

async fn only_embeddings() -> ApiError {
    ApiError::not_found("the embedded engine computes embeddings only: POST /v1/embeddings")
}

async fn health(State(served): State<Arc<Served>>) -> Response {
    if served.weights.get().is_some() {
        return Json(json!({ "state": "ready", "model": served.model })).into_response();
    }
    let progress = f64::from(served.progress.load(Ordering::Relaxed)) / 1000.0;
    let body = json!({ "state": "loading", "model": served.model, "progress": progress });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

async fn embed(
    State(served): State<Arc<Served>>,
    Json(request): Json<EmbeddingsRequest>,
) -> Result<Response, ApiError> {
    if served.weights.get().is_none() {
        return Err(ApiError::loading(&served.model));
    }
    let worker = Arc::clone(&served);
    let permit = served.computing.acquire().await.map_err(|_| ApiError::loading(&served.model))?;
    let computed = tokio::task::spawn_blocking(move || {
        let inputs = request.input.texts();
        let vectors: Vec<_> = worker
            .weights
            .get()
            .map(|weights| inputs.iter().map(|text| weights.embed(text)).collect())
            .unwrap_or_default();
        let words: usize = inputs.iter().map(|text| text.split_whitespace().count()).sum();
        embeddings(&worker.model, &vectors, words)
    });
    let body = computed.await.map_err(|_| ApiError::internal("the computation failed"))?;
    drop(permit);
    Ok(Json(body).into_response())
}

#[derive(Deserialize)]
struct Threads {
    threads: u32,
}

/// Changes how many requests are computed at the same time; those under way are not disturbed.
async fn set_threads(
    State(served): State<Arc<Served>>,
    Json(Threads { threads }): Json<Threads>,
) -> Result<Response, ApiError> {
    if !(1..=MOST_THREADS).contains(&threads) {
        let message = format!("threads is {threads}; it must be 1 to {MOST_THREADS}");
        return Err(ApiError::invalid("threads", &message));
    }
    let mut current = served.threads.lock().await;
    if threads > *current {
        served.computing.add_permits((threads - *current) as usize);
    } else if threads < *current {
        let surplus = served.computing.acquire_many(*current - threads).await;
        surplus.map_err(|_| ApiError::internal("the engine is ending"))?.forget();
    }
    *current = threads;
    Ok(Json(json!({ "threads": threads })).into_response())
}

//! Which path is answered by whom.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};

use super::admin;
use super::broker::Broker;
use super::proxy::proxy;
use crate::lease::{api, list};
use crate::openai::ApiError;

/// Every path of the front.
pub(crate) fn router(broker: Arc<Broker>) -> Router {
    let guarded = Router::new()
        .route("/v1/models", get(admin::models))
        .route("/v1/models/{id}", get(admin::model))
        .route("/metrics", get(admin::metrics))
        .route("/running", get(admin::running))
        .route("/api/ps", get(admin::ps))
        .route("/api/models/unload", post(admin::unload_all))
        .route("/api/models/unload/{*id}", post(admin::unload))
        .route("/api/models/load/{*id}", post(admin::load))
        .route("/api/status", get(admin::status))
        .route("/api/why/{*id}", get(admin::why))
        .route("/api/events", get(admin::events))
        .route("/v1/leases", get(list::list).post(api::create))
        .route("/v1/leases/watch", get(api::watch))
        .route("/v1/leases/{id}", delete(api::release))
        .route("/v1/leases/{id}/renew", post(api::renew))
        .route("/v1/leases/{id}/measured", post(api::measured))
        .route_layer(axum::middleware::from_fn_with_state(Arc::clone(&broker), guard));
    let proxied = Router::new()
        .route("/v1/chat/completions", post(proxy))
        .route("/v1/completions", post(proxy))
        .route("/v1/embeddings", post(proxy))
        .route("/v1/rerank", post(proxy))
        .route("/v1/responses", post(proxy));
    Router::new()
        .route("/health", get(admin::health))
        .route("/", get(admin::page))
        .merge(guarded)
        .merge(proxied)
        .fallback(nowhere)
        .with_state(broker)
}

/// Lets in whoever has a token, where one is needed.
async fn guard(State(broker): State<Arc<Broker>>, request: Request, next: Next) -> Response {
    match broker.settings().asker(request.headers()) {
        Ok(_) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn nowhere(request: Request) -> ApiError {
    ApiError::not_found(&format!(
        "there is nothing at {} {}",
        request.method(),
        request.uri().path()
    ))
}

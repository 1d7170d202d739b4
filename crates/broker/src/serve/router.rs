//! Which path is answered by whom.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get, post};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;

use super::admin;
use super::broker::Broker;
use super::proxy::{PATHS, is_proxied, proxy};
use crate::lease::{api, list};
use crate::openai::ApiError;

/// Every path of the front.
fn router(broker: Arc<Broker>) -> Router {
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
    let proxied = PATHS.iter().fold(Router::new(), |router, path| router.route(path, post(passed)));
    Router::new()
        .route("/health", get(admin::health))
        .route("/", get(admin::page))
        .merge(guarded)
        .merge(proxied)
        .fallback(nowhere)
        .with_state(broker)
}

/// What answers on a connection. What is to be passed on does not go through the router, each layer
/// of which would clone and box its part of it.
#[derive(Clone, Debug)]
pub(crate) struct Answerer {
    broker: Arc<Broker>,
    others: TowerToHyperService<Router>,
}

impl Answerer {
    pub(crate) fn new(broker: Arc<Broker>) -> Self {
        let others = TowerToHyperService::new(router(Arc::clone(&broker)));
        Self { broker, others }
    }
}

impl Service<Request<Incoming>> for Answerer {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if is_proxied(&request) {
            let broker = Arc::clone(&self.broker);
            return Box::pin(async move { Ok(proxy(broker, request).await) });
        }
        Box::pin(self.others.call(request))
    }
}

/// The same for whoever comes through the router.
async fn passed(State(broker): State<Arc<Broker>>, request: axum::extract::Request) -> Response {
    proxy(broker, request).await
}

/// Lets in whoever has a token, where one is needed.
async fn guard(
    State(broker): State<Arc<Broker>>,
    request: axum::extract::Request,
    next: Next,
) -> Response {
    match broker.settings().asker(request.headers()) {
        Ok(_) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn nowhere(request: axum::extract::Request) -> ApiError {
    ApiError::not_found(&format!(
        "there is nothing at {} {}",
        request.method(),
        request.uri().path()
    ))
}

//! An axum service that refuses early what it could not answer in time, and says when to come back.
//!
//! `cargo run -p plimsoll-load --example axum_service`
#![expect(clippy::print_stdout, reason = "an example shows what happens")]

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use plimsoll_core_types::{Clock, Priority, SystemClock, TenantId};
use plimsoll_load::tower::{AdmissionLayer, Error, Traffic};
use plimsoll_load::{Admission, AdmissionConfig, Demand};
use tower_layer::Layer as _;
use tower_service::Service as _;

/// Whose request it is, by a header, and how long it is worth waiting for.
struct Headers(Arc<SystemClock>);

impl Traffic<Request, Response> for Headers {
    fn demand(&self, request: &Request) -> Demand {
        let named = request.headers().get("x-tenant").and_then(|name| name.to_str().ok());
        let tenant = named.and_then(|name| TenantId::new(name).ok()).unwrap_or_default();
        let deadline = Some(self.0.now() + Duration::from_millis(150));
        Demand { priority: Priority::Normal, tenant, deadline }
    }

    fn well(&self, response: &Response) -> bool {
        !response.status().is_server_error()
    }
}

async fn work() -> &'static str {
    tokio::time::sleep(Duration::from_millis(20)).await;
    "done"
}

/// What a refused client is told.
fn refusal(error: Error<Infallible>) -> Response {
    let Error::Refused(refused) = error else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let seconds = refused.retry_after.as_secs_f64().ceil().to_string();
    let told = [(header::RETRY_AFTER, seconds)];
    (StatusCode::SERVICE_UNAVAILABLE, told, refused.reason.to_string()).into_response()
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let clock = Arc::new(SystemClock::new());
    // It finds its own limit from here on, between 1 and what the config says at most.
    let config = AdmissionConfig { limit: 8, max_waiting: 64, ..AdmissionConfig::default() };
    let admission = Arc::new(Admission::new(config, Arc::clone(&clock) as Arc<dyn Clock>));
    let app: Router = Router::new().route("/", get(work));
    let layer = AdmissionLayer::with_traffic(Arc::clone(&admission), Headers(clock));
    let service = layer.layer(app);

    // Two hundred at once, where eight are answered at a time. A server would be handed `service`.
    let mut asked = tokio::task::JoinSet::new();
    for number in 0..200 {
        let mut service = service.clone();
        let tenant = if number % 4 == 0 { "small" } else { "large" };
        let request =
            Request::get("/").header("x-tenant", tenant).body(axum::body::Body::empty())?;
        asked.spawn(async move { service.call(request).await.unwrap_or_else(refusal) });
    }
    let (mut answered, mut refused, mut again) = (0, 0, None);
    while let Some(response) = asked.join_next().await {
        let response = response?;
        if response.status() == StatusCode::OK {
            answered += 1;
        } else {
            refused += 1;
            again = response.headers().get(header::RETRY_AFTER).cloned();
        }
    }
    println!("{answered} answered, {refused} refused, Retry-After {again:?}");
    println!("{:?}", admission.status());
    assert!(answered > 0 && refused > 0);
    Ok(())
}

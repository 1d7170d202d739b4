//! Leases over HTTP.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes as Chunk;
use http_body_util::StreamBody;
use hyper::body::Frame;
use plimsoll_core_types::{Bytes, ConsumerId, Reason, ResourcePool as _};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;

use super::ask::{FieldError, LeaseBody, time};
use super::{BookError, Taken};
use crate::journal::{Event, EventKind};
use crate::openai::ApiError;
use crate::serve::Broker;

type Shared = State<Arc<Broker>>;

/// Takes a lease: at once, after a wait, or not at all.
pub(crate) async fn create(
    State(broker): Shared,
    headers: HeaderMap,
    body: Chunk,
) -> Result<Response, ApiError> {
    let asker = broker.settings().asker(&headers)?;
    let body: LeaseBody = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid("body", &format!("the body is no request: {error}")))?;
    let most = broker.settings().highest(&asker.tenant);
    let own = asker.tenant.clone();
    let ask = body.checked(asker.tenant, most).map_err(|error| field(&error))?;
    if ask.tenant != own && broker.settings().is_bound(&headers) {
        return Err(field(&FieldError { field: "tenant", what: format!("the token is {own}'s") }));
    }
    let (name, asked) = (ask.name.clone(), broker.clock.now());
    let taken = broker.book.take(ask).await.map_err(|error| refused(&broker, &error))?;
    let waited = broker.clock.now().saturating_since(asked);
    tell(&broker, EventKind::Leased, &name, Reason::Fits { waited });
    Ok((StatusCode::CREATED, Json(row(&broker, &taken))).into_response())
}

fn field(error: &FieldError) -> ApiError {
    ApiError::invalid(error.field, &error.what)
}

fn refused(broker: &Broker, error: &BookError) -> ApiError {
    use plimsoll_core_types::AllocateError;
    match error {
        BookError::Refused(AllocateError::NeverFits { .. }) => {
            ApiError::never_fits(&error.to_string())
        }
        BookError::Refused(AllocateError::Closed { .. }) => {
            ApiError::conflict("closed", "the broker is stopping")
        }
        BookError::NoProcess { .. } => ApiError::invalid("pid", &error.to_string()),
        BookError::Nothing(_) => ApiError::invalid("memory", &error.to_string()),
        BookError::Ended { .. } => ApiError::conflict("lease_ended", &error.to_string()),
        BookError::TooMany => ApiError::overloaded(&error.to_string(), 1),
        BookError::NoRoom | BookError::Refused(_) => {
            let status = broker.pool.monitor();
            let message = format!("{error}: {} are free", status.available);
            ApiError::no_room(&message, status.waiters.len() as u64 + 1)
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewal {
    ttl_seconds: Option<f64>,
}

/// Puts a lease's expiry ahead.
pub(crate) async fn renew(
    State(broker): Shared,
    Path(id): Path<String>,
    body: Chunk,
) -> Result<Json<Value>, ApiError> {
    let renewal: Renewal = if body.is_empty() {
        Renewal::default()
    } else {
        serde_json::from_slice(&body)
            .map_err(|error| ApiError::invalid("body", &error.to_string()))?
    };
    let ttl = renewal.ttl_seconds.map(|seconds| time("ttl_seconds", seconds)).transpose();
    let ttl = ttl.map_err(|error| field(&error))?.filter(|ttl: &Duration| !ttl.is_zero());
    let renewed = broker.book.renew(&id, ttl).map_err(|error| refused(&broker, &error))?;
    Ok(Json(json!({ "id": id, "expires_at": broker.wall.date(renewed) })))
}

/// Gives a lease back.
pub(crate) async fn release(
    State(broker): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let released = broker.book.release(&id).await;
    let given = released.map_err(|error| ApiError::not_found(&error.to_string()))?;
    tell(&broker, EventKind::Released, &given.name, Reason::Requested);
    Ok(Json(json!({ "id": given.id, "released": given.amount })))
}

/// Writes down what became of a holder's lease.
fn tell(broker: &Broker, kind: EventKind, holder: &ConsumerId, reason: Reason) {
    let (at, subject) = (broker.clock.now(), holder.to_string());
    broker.journal.tell(Event { at, kind, subject, reason });
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Measured {
    /// The most memory that the holder was seen to use.
    peak_bytes: Bytes,
}

/// Learns what a holder really needs.
pub(crate) async fn measured(
    State(broker): Shared,
    Path(id): Path<String>,
    body: Chunk,
) -> Result<Json<Value>, ApiError> {
    let measured: Measured = serde_json::from_slice(&body)
        .map_err(|error| ApiError::invalid("body", &error.to_string()))?;
    let noted = broker.book.measured(&id, measured.peak_bytes);
    noted.map_err(|error| refused(&broker, &error))?;
    Ok(Json(json!({ "id": id })))
}

/// What the pool decides from now on, as server-sent events.
pub(crate) async fn watch(State(broker): Shared) -> Response {
    let mut events = broker.pool.subscribe();
    let (sender, receiver) = tokio::sync::mpsc::channel::<String>(256);
    let stopping = broker.stopping.clone();
    tokio::spawn(async move {
        loop {
            let event = tokio::select! {
                event = events.recv() => event,
                () = sender.closed() => return,
                () = stopping.cancelled() => return,
            };
            let text = match event {
                Ok(event) => {
                    let (date, reason) = (broker.wall.date(event.at), event.reason.to_string());
                    let (name, what) = (event.consumer, format!("{:?}", event.kind));
                    json!({ "date": date, "name": name, "what": what, "reason": reason })
                        .to_string()
                }
                Err(RecvError::Lagged(missed)) => json!({ "missed": missed }).to_string(),
                Err(RecvError::Closed) => return,
            };
            if sender.send(text).await.is_err() {
                return;
            }
        }
    });
    let kind = HeaderValue::from_static("text/event-stream");
    ([(header::CONTENT_TYPE, kind)], Body::new(StreamBody::new(Events(receiver)))).into_response()
}

/// Texts as frames of server-sent events.
struct Events(tokio::sync::mpsc::Receiver<String>);

impl futures_core::Stream for Events {
    type Item = Result<Frame<Chunk>, Infallible>;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        context: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Self::Item>> {
        let frame = |text: String| Ok(Frame::data(Chunk::from(format!("data: {text}\n\n"))));
        self.0.poll_recv(context).map(|text| text.map(frame))
    }
}

/// A lease as it is told.
fn row(broker: &Broker, Taken { given, expires, durable }: &Taken) -> Value {
    json!({
        "id": given.id,
        "name": given.name,
        "tenant": given.tenant,
        "priority": given.priority,
        "amount": given.amount,
        "memory_bytes": given.amount.memory(),
        "cpu_millicores": given.amount.cpu(),
        "ttl_seconds": given.ttl.as_secs_f64(),
        "expires_at": broker.wall.date(*expires),
        "durable": durable,
    })
}

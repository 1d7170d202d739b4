//! What people and monitoring ask of a broker: who runs, why, and who should stop.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use plimsoll_core_types::{
    Bytes, DeviceIndex, EngineSnapshot, EngineState, Fleet as _, ModelId, Reason,
    ResourceOptimizer as _, Timestamp,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::broker::Broker;
use super::settings::Route;
use crate::fleet::{LoadFailure, Model, Phase};
use crate::journal::Event;
use crate::openai::ApiError;

type Shared = State<Arc<Broker>>;

/// What stands for "never" where a date must be written.
const NEVER: Duration = Duration::from_hours(24 * 365 * 100);

/// The web page. It holds nothing of the broker's: what it shows it asks for, with a token where
/// one is needed.
pub(crate) async fn page() -> Response {
    const PAGE: &str = include_str!("../web/page.html");
    let policy = "default-src 'self' 'unsafe-inline'; frame-ancestors 'none'";
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy)),
    ];
    (headers, PAGE).into_response()
}

/// Whether the broker takes requests, and which models can't be had.
pub(crate) async fn health(State(broker): Shared, headers: HeaderMap) -> Response {
    let failing: Vec<Value> =
        broker.engines.all().iter().filter_map(|model| failing(model)).collect();
    let store = broker.world.store.as_ref().and_then(|store| store.trouble());
    let (status, state) = if broker.stopping.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "stopping")
    } else if failing.is_empty() && store.is_none() {
        (StatusCode::OK, "ready")
    } else {
        // Other models can be had: whoever asks this address for them must not be sent away.
        (StatusCode::OK, "degraded")
    };
    // What an engine has printed is not for everybody.
    let trusted = broker.settings().asker(&headers).is_ok();
    let failing = if trusted { json!(failing) } else { json!(failing.len()) };
    let mut body = json!({ "state": state, "failing": failing });
    if let Some(cause) = store {
        let cause = if trusted { cause } else { "it can't be written".to_owned() };
        body["store"] = json!(cause);
    }
    (status, Json(body)).into_response()
}

fn failing(model: &Model) -> Option<Value> {
    match model.phase() {
        Phase::Failed(failure) => match &*failure {
            LoadFailure::Engine { cause, .. } => Some(json!({ "model": model.id, "cause": cause })),
            LoadFailure::Refused(_) => None,
        },
        Phase::Replacing => Some(json!({ "model": model.id, "cause": "it does not answer" })),
        _ => None,
    }
}

pub(crate) async fn models(State(broker): Shared) -> Json<Value> {
    let settings = broker.settings();
    let data: Vec<_> = settings.routes().map(|route| listed(&broker, route)).collect();
    Json(json!({ "object": "list", "data": data }))
}

pub(crate) async fn model(
    State(broker): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let settings = broker.settings();
    let route =
        settings.route(&id).ok_or_else(|| ApiError::unknown_model(&id, &settings.names()))?;
    Ok(Json(listed(&broker, route)))
}

fn listed(broker: &Broker, route: &Route) -> Value {
    let created = broker.wall.unix(Timestamp::ZERO);
    json!({ "id": route.id, "object": "model", "created": created, "owned_by": "plimsoll" })
}

pub(crate) async fn metrics(State(broker): Shared) -> Response {
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    let mut text = broker.exporter.render();
    super::metrics::each_model(&broker.engines.engines(), &mut text);
    if let Some(store) = &broker.world.store {
        super::metrics::store(store.trouble().is_some(), &mut text);
    }
    ([(header::CONTENT_TYPE, kind)], text).into_response()
}

/// The engines that run, as llama-swap lists them, with what they hold and use.
pub(crate) async fn running(State(broker): Shared) -> Json<Value> {
    let running = broker.engines.engines().into_iter().filter(|e| e.state != EngineState::Stopped);
    let running: Vec<_> = running.map(|engine| row(&broker, &engine)).collect();
    Json(json!({ "running": running }))
}

fn row(broker: &Broker, engine: &EngineSnapshot) -> Value {
    let model = broker.engines.model(&engine.model);
    let place = model.as_ref().and_then(|model| match model.phase() {
        Phase::Ready(running) => {
            Some(json!({ "pid": running.pid, "proxy": running.target.to_string() }))
        }
        _ => None,
    });
    let loading = model.filter(|_| engine.state != EngineState::Ready);
    let loading = loading.map(|model| json!(broker.engines.loading(&model)));
    json!({
        "model": engine.model,
        "state": engine.state,
        "memory_promised_bytes": engine.promised.memory(),
        "memory_used_bytes": engine.used.memory(),
        "cpu_used_millicores": engine.used.cpu(),
        "threads": engine.threads,
        "in_progress": engine.in_progress,
        "waiting": engine.waiting,
        "engine": place,
        "loading": loading,
    })
}

/// The engines that run, as Ollama lists them.
pub(crate) async fn ps(State(broker): Shared) -> Json<Value> {
    let now = broker.clock.now();
    let ready = broker.engines.engines().into_iter().filter(|e| e.state == EngineState::Ready);
    let listed = |engine: EngineSnapshot| {
        let model = broker.engines.model(&engine.model);
        let spec = model.map(|model| model.spec());
        let keep = spec.and_then(|spec| spec.keep_alive.filter(|_| !spec.pinned));
        let used = engine.last_used.max(engine.ready_since).unwrap_or(now);
        let vram: Bytes =
            DeviceIndex::all().map(|device| engine.promised.accelerator(device)).sum();
        json!({
            "name": engine.model,
            "model": engine.model,
            "size": engine.promised.memory().saturating_add(vram),
            "size_vram": vram,
            "digest": "",
            "details": {},
            "expires_at": broker.wall.date(used + keep.unwrap_or(NEVER)),
        })
    };
    Json(json!({ "models": ready.map(listed).collect::<Vec<_>>() }))
}

/// Unloads one model, every replica of it, and those that go together with it.
pub(crate) async fn unload(
    State(broker): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let settings = broker.settings();
    let members = match settings.route(&id) {
        Some(route) => route.members.clone(),
        // One replica has a name of its own.
        None => ModelId::new(&id).into_iter().collect(),
    };
    let models = members.iter().filter_map(|id| broker.engines.model(id));
    let models: Vec<_> = models.flat_map(|model| broker.engines.party(&model)).collect();
    if models.is_empty() {
        return Err(ApiError::unknown_model(&id, &settings.names()));
    }
    Ok(Json(json!({ "unloaded": unload_each(&broker, models).await })))
}

pub(crate) async fn unload_all(State(broker): Shared) -> Json<Value> {
    let models = broker.engines.all();
    Json(json!({ "unloaded": unload_each(&broker, models).await }))
}

async fn unload_each(broker: &Broker, models: Vec<Arc<Model>>) -> Vec<ModelId> {
    let mut unloaded = Vec::new();
    for model in models {
        if broker.engines.unload(&model, Reason::Requested).await {
            unloaded.push(model.id.clone());
        }
    }
    unloaded
}

/// Begins to load a model, and says how that goes.
pub(crate) async fn load(
    State(broker): Shared,
    Path(id): Path<String>,
) -> Result<Response, ApiError> {
    let settings = broker.settings();
    let route =
        settings.route(&id).ok_or_else(|| ApiError::unknown_model(&id, &settings.names()))?;
    let model = broker.pick(route).ok_or_else(|| ApiError::gone(&route.id))?;
    broker.engines.begin_load(&model);
    let loading = broker.engines.loading(&model);
    Ok((StatusCode::ACCEPTED, Json(json!({ "model": id, "loading": loading }))).into_response())
}

/// Everything that the broker knows of itself.
pub(crate) async fn status(State(broker): Shared) -> Json<Value> {
    let status = broker.optimizer.monitor();
    let admission = broker.admission.status();
    Json(json!({
        "status": status,
        "date": broker.wall.date(status.at),
        "requests": { "in_progress": admission.in_progress, "waiting": admission.waiting,
                      "limit": admission.limit, "refused": admission.refused },
        "invariants_broken": broker.optimizer.invariants_broken(),
        "reloads": broker.reloads.load(std::sync::atomic::Ordering::Relaxed),
        "version": env!("CARGO_PKG_VERSION"),
        "pid": std::process::id(),
    }))
}

/// The latest decisions and events about one model, consumer, or the pool.
pub(crate) async fn why(
    State(broker): Shared,
    Path(id): Path<String>,
) -> Result<Json<Value>, ApiError> {
    let settings = broker.settings();
    let events = broker.journal.about(&id);
    let decisions = broker.optimizer.why(&id);
    let model = ModelId::new(&id).ok().and_then(|id| broker.engines.model(&id));
    if events.is_empty() && decisions.is_empty() && model.is_none() {
        return Err(ApiError::unknown_model(&id, &settings.names()));
    }
    let loading = model.map(|model| broker.engines.loading(&model));
    let events: Vec<_> = events.iter().map(|event| told(&broker, event)).collect();
    Ok(Json(json!({ "subject": id, "now": loading, "events": events, "decisions": decisions })))
}

#[derive(Deserialize)]
pub(crate) struct Since {
    #[serde(default)]
    after: u64,
}

/// Events with a number above `after`, the oldest first.
pub(crate) async fn events(State(broker): Shared, Query(since): Query<Since>) -> Json<Value> {
    let (last, events) = broker.journal.after(since.after);
    let events: Vec<_> = events.iter().map(|event| told(&broker, event)).collect();
    Json(json!({ "last": last, "events": events }))
}

fn told(broker: &Broker, event: &Event) -> Value {
    json!({
        "date": broker.wall.date(event.at),
        "at": event.at,
        "kind": event.kind,
        "subject": event.subject,
        "reason": event.reason,
        "text": event.reason.to_string(),
    })
}

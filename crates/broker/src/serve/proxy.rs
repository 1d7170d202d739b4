//! One request on its way: admitted, routed by its model, sent to an engine, answered.

use std::sync::Arc;
use std::time::Duration;

use axum::BoxError;
use axum::body::Body;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Request, header};
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use hyper::Method;
use hyper::body::Incoming;
use plimsoll_core_types::{AllocateError, Reason, Timestamp};
use plimsoll_load::{Admission, Demand, Permit, Work};
use plimsoll_pool::{Ask, GetError};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::auth::Asker;
use super::broker::Broker;
use super::relay::{Hold, Relay};
use super::settings::{Route, Settings};
use crate::fleet::{AcquireError, LoadFailure, Model};
use crate::openai::{ApiError, SOURCE};
use crate::traffic_meter::Ended;

/// An engine that breaks off before its answer begins is tried anew this often.
const ATTEMPTS: usize = 3;
/// Says which model has answered.
const MODEL: HeaderName = HeaderName::from_static("x-plimsoll-model");
/// How long this request may wait for its model, in seconds, where that is less than the config
/// says; 0 answers at once.
const WAIT: &str = "x-plimsoll-wait";
/// Headers that concern one connection, or are written anew.
const OWN: [HeaderName; 9] = [
    header::CONNECTION,
    header::HOST,
    header::CONTENT_LENGTH,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::EXPECT,
    HeaderName::from_static("keep-alive"),
];

/// A request whose body has been read.
struct Asked {
    path: PathAndQuery,
    headers: HeaderMap,
    body: Bytes,
    asker: Asker,
    begun: Timestamp,
    deadline: Timestamp,
}

/// What is passed on to engines.
pub(super) const PATHS: [&str; 5] =
    ["/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank", "/v1/responses"];

/// True where `request` is to be passed on to an engine.
pub(super) fn is_proxied<B>(request: &Request<B>) -> bool {
    request.method() == Method::POST && PATHS.contains(&request.uri().path())
}

/// Passes a request on to the engine of its model.
pub(crate) async fn proxy<B>(broker: Arc<Broker>, request: Request<B>) -> Response
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let begun = broker.clock.now();
    match forward(&broker, request, begun).await {
        Ok(response) => response,
        Err(error) => {
            let ended = if error.is_refusal() { Ended::Refused } else { Ended::Failed };
            broker.engines.meter.count(ended, broker.clock.now().saturating_since(begun));
            error.into_response()
        }
    }
}

async fn forward<B>(
    broker: &Arc<Broker>,
    request: Request<B>,
    begun: Timestamp,
) -> Result<Response, ApiError>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let settings = broker.settings();
    let (parts, body) = request.into_parts();
    let asker = settings.asker(&parts.headers)?;
    let within = wait(&parts.headers, settings.server.within)?;
    let path = parts.uri.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let body = read(body, &settings).await?;
    let wanted = wanted(&body)?;
    let chain = settings.chain(&wanted);
    if chain.is_empty() {
        return Err(ApiError::unknown_model(&wanted, &settings.names()));
    }
    let deadline = begun + within;
    let headers = {
        let ours = settings.server.token.is_some() || settings.is_bound(&parts.headers);
        forwarded(parts.headers, ours)
    };
    let asked = Asked { path, headers, body, asker, begun, deadline };
    let mut last = None;
    for route in chain {
        let renamed = route.upstream.is_some() || route.id.as_str() != wanted;
        let body = if renamed { rename(&asked.body, route)? } else { asked.body.clone() };
        match ask(broker, &settings, route, &asked, body).await {
            Ok(response) => return Ok(response),
            Err(error) if error.is_helped_by_others() => last = Some(last.unwrap_or(error)),
            Err(error) => return Err(error),
        }
    }
    Err(last.unwrap_or_else(|| ApiError::internal("nobody was asked")))
}

async fn read<B>(body: B, settings: &Settings) -> Result<Bytes, ApiError>
where
    B: hyper::body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    let most = settings.server.body;
    let limit = usize::try_from(most.get()).unwrap_or(usize::MAX);
    match std::pin::pin!(Limited::new(body, limit)).collect().await {
        Ok(whole) => Ok(whole.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(ApiError::too_large(most)),
        Err(error) => Err(ApiError::invalid("body", &format!("it broke off: {error}"))),
    }
}

#[derive(Deserialize)]
struct Wanted {
    model: Option<String>,
}

/// Which model the body asks for.
fn wanted(body: &[u8]) -> Result<String, ApiError> {
    let wanted: Wanted = serde_json::from_slice(body)
        .map_err(|error| ApiError::invalid("body", &format!("the body is no request: {error}")))?;
    wanted
        .model
        .ok_or_else(|| ApiError::invalid("model", "name a model; GET /v1/models lists them"))
}

/// The same body for a model that its engine calls otherwise. Nothing else is touched.
fn rename(body: &[u8], route: &Route) -> Result<Bytes, ApiError> {
    type Fields<'a> = std::collections::BTreeMap<&'a str, &'a RawValue>;
    let broken = |error: serde_json::Error| ApiError::invalid("body", &error.to_string());
    let mut fields: Fields<'_> = serde_json::from_slice(body).map_err(broken)?;
    let name = route.upstream.as_deref().unwrap_or_else(|| route.id.as_str());
    let name = serde_json::value::to_raw_value(name).map_err(broken)?;
    fields.insert("model", &name);
    serde_json::to_vec(&fields).map(Bytes::from).map_err(broken)
}

fn wait(headers: &HeaderMap, most: Duration) -> Result<Duration, ApiError> {
    let Some(value) = headers.get(WAIT) else { return Ok(most) };
    let seconds = value.to_str().ok().and_then(|text| text.parse::<f64>().ok());
    let wait = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    let wrong = || ApiError::invalid(WAIT, "it must be a number of seconds, 0 or more");
    Ok(wait.ok_or_else(wrong)?.min(most))
}

/// The headers that concern the engine. Our own token is none of its business.
fn forwarded(mut kept: HeaderMap, token: bool) -> HeaderMap {
    for name in OWN {
        kept.remove(name);
    }
    if token {
        kept.remove(header::AUTHORIZATION);
    }
    kept
}

async fn admit(broker: &Broker, asked: &Asked) -> Result<Permit<Arc<Admission>>, ApiError> {
    let Asker { tenant, priority } = asked.asker.clone();
    // Whoever wants no wait for its model may wait for its turn for a moment all the same.
    let deadline = asked.deadline.max(asked.begun + Duration::from_millis(100));
    let demand = Demand { priority, tenant, deadline: Some(deadline) };
    let admitted = Arc::clone(&broker.admission).admit_owned(demand).await;
    admitted.map_err(|refused| {
        ApiError::overloaded(&refused.reason.to_string(), seconds(refused.retry_after))
    })
}

async fn ask(
    broker: &Arc<Broker>,
    settings: &Settings,
    route: &Route,
    asked: &Asked,
    body: Bytes,
) -> Result<Response, ApiError> {
    let mut source = "warm";
    let mut last = String::from("no attempt was made");
    let mut permit = None;
    for attempt in 0..ATTEMPTS {
        let model = broker.pick(route).ok_or_else(|| ApiError::gone(&route.id))?;
        if attempt == 0 {
            broker.engines.note_arrival(&model);
        }
        let acquired = match broker.engines.warm(&model) {
            Some(acquired) => acquired,
            None => broker.acquire(&model, asked.deadline).await?,
        };
        if !acquired.warm {
            source = "cold";
        }
        // Only now: those who wait for a load must hold up nobody whose model is there.
        if permit.is_none() {
            permit = Some(admit(broker, asked).await?);
        }
        let now = broker.clock.now();
        let Ok(dispatch) = model.balancer.dispatch_owned(&Work::default(), now) else {
            last = format!("{} has just gone", model.id);
            continue;
        };
        let left = asked.deadline.saturating_since(now).max(Duration::from_millis(1));
        let slot = Ask { priority: asked.asker.priority, within: Some(left) };
        let mut connection = match acquired.running.connections.get_with(slot).await {
            Ok(connection) => connection,
            Err(GetError::WaitTimedOut { .. } | GetError::LineFull { .. }) => {
                return Err(broker.busy(&model));
            }
            Err(error) => {
                last = error.to_string();
                continue;
            }
        };
        let call =
            connection.begin(Method::POST, asked.path.clone(), asked.headers.clone(), body.clone());
        match tokio::time::timeout(settings.server.answer_within, call).await {
            Ok(Ok(answer)) => {
                let Some(permit) = permit.take() else { break };
                let hold = Hold {
                    connection,
                    dispatch: Some(dispatch),
                    acquired,
                    _permit: permit,
                    engines: Arc::clone(&broker.engines),
                    clock: Arc::clone(&broker.clock),
                    begun: asked.begun,
                    failed: answer.status().is_server_error(),
                };
                return Ok(answered(answer, hold, route, source));
            }
            Ok(Err(error)) => {
                dispatch.fail(broker.clock.now());
                last = error.to_string();
            }
            Err(_) => {
                dispatch.fail(broker.clock.now());
                return Err(ApiError::silent(&model.id, settings.server.answer_within));
            }
        }
        // Whoever broke off was killed or hangs; its successor is waited for, not this one.
        source = "cold";
    }
    Err(ApiError::broken(&route.id, &last))
}

fn answered(
    answer: hyper::Response<Incoming>,
    hold: Hold,
    route: &Route,
    source: &'static str,
) -> Response {
    let (mut parts, body) = answer.into_parts();
    for name in [header::CONNECTION, header::TRANSFER_ENCODING, header::TRAILER] {
        parts.headers.remove(name);
    }
    parts.headers.remove("keep-alive");
    parts.headers.insert(SOURCE, HeaderValue::from_static(source));
    if let Ok(name) = HeaderValue::from_str(route.id.as_str()) {
        parts.headers.insert(MODEL, name);
    }
    parts.version = hyper::Version::HTTP_11;
    Response::from_parts(parts, Body::new(Relay::new(body, hold)))
}

impl Broker {
    /// An engine of `model` until `deadline`, or what can be said of its load.
    async fn acquire(
        &self,
        model: &Arc<Model>,
        deadline: Timestamp,
    ) -> Result<crate::fleet::Acquired, ApiError> {
        let left = deadline.saturating_since(self.clock.now());
        let late = |error: &AcquireError| {
            ApiError::not_ready(&error.to_string(), self.engines.loading(model))
        };
        // Known to be late, it is not waited for.
        let loading = self.engines.loading(model);
        if loading.eta_seconds.is_some_and(|eta| eta > left.as_secs_f64()) {
            return Err(ApiError::not_ready(&format!("{} is not ready yet", model.id), loading));
        }
        if loading.waiting_requests >= self.settings().server.queue.max(1) {
            let text =
                format!("{} requests wait for {} already", loading.waiting_requests, model.id);
            return Err(ApiError::overloaded(&text, loading.retry_after()));
        }
        let acquired = self.engines.acquire(model, left).await;
        acquired.map_err(|error| match &error {
            AcquireError::Late { .. } => late(&error),
            AcquireError::Closed => ApiError::gone(&model.id),
            AcquireError::Load(failure) => match &**failure {
                LoadFailure::Refused(AllocateError::NeverFits { why, .. }) => {
                    self.engines.note_refusal(model, Reason::NeverFits(*why));
                    ApiError::never_fits(&error.to_string())
                }
                LoadFailure::Refused(_) => late(&error),
                LoadFailure::Engine { .. } => {
                    let again = seconds(self.engines.tried_again_in(model));
                    ApiError::broken(&model.id, &error.to_string()).retry(again)
                }
            },
        })
    }

    /// Every slot of `model` is taken for longer than the request may wait.
    fn busy(&self, model: &Model) -> ApiError {
        let pace = self.admission.status();
        let wait = self.engines.pace(model);
        let message = format!(
            "every slot of {} is taken, {} requests are in progress",
            model.id, pace.in_progress
        );
        ApiError::overloaded(&message, seconds(wait))
    }
}

/// Whole seconds, rounded up, at least one: what `Retry-After` can say.
fn seconds(duration: Duration) -> u64 {
    (duration.as_secs_f64().ceil() as u64).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::ModelId;

    #[test]
    fn only_the_models_name_is_changed() {
        let id = ModelId::new("chat").unwrap();
        let upstream = Some("qwen2:0.5b".to_owned());
        let route = Route { id, members: Vec::new(), fallback: None, upstream };
        let body = br#"{"model":"chat","temperature":0.70,"seed":123456789012345678901234567890}"#;
        let renamed = rename(body, &route).unwrap();
        let text = std::str::from_utf8(&renamed).unwrap();
        assert!(text.contains(r#""model":"qwen2:0.5b""#), "{text}");
        assert!(text.contains("0.70") && text.contains("123456789012345678901234567890"), "{text}");
    }

    #[test]
    fn what_concerns_one_connection_is_not_passed_on() {
        let headers = [("host", "a"), ("te", "trailers"), ("x-mine", "1"), ("authorization", "t")];
        let entry = |(name, value): &(&'static str, &'static str)| {
            (HeaderName::from_static(name), HeaderValue::from_static(value))
        };
        let headers: HeaderMap = headers.iter().map(entry).collect();
        let names = |token| -> Vec<String> {
            let mut names: Vec<_> =
                forwarded(headers.clone(), token).keys().map(ToString::to_string).collect();
            names.sort();
            names
        };
        assert_eq!(names(false), ["authorization", "x-mine"]);
        assert_eq!(names(true), ["x-mine"]);
    }

    #[test]
    fn a_request_names_its_model() {
        assert_eq!(wanted(br#"{"input":"x","model":"m"}"#).unwrap(), "m");
        assert!(wanted(br#"{"input":"x"}"#).is_err());
        assert!(wanted(b"[1]").is_err());
    }
}

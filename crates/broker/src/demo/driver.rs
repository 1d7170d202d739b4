//! Sends the requests over HTTP when they are due, and writes down what came of each.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use plimsoll_core_types::Clock;
use serde_json::json;
use tokio::task::JoinSet;

use super::answers::Source;
use super::traffic::{Arrival, due};
use crate::http::{Answer, CallError, Connection, Target};

/// Connections that are kept for later requests.
const KEPT: usize = 64;

/// What came of one request.
#[derive(Clone, Debug)]
pub(super) struct Answered {
    pub(super) arrival: Arrival,
    pub(super) result: Verdict,
    pub(super) latency: Duration,
}

/// How a request was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// With an embedding.
    Well(Source),
    /// It can never fit.
    NeverFits,
    /// There was no room in time, or too many were there.
    Refused,
    /// Not at all, or with an error.
    Failed,
}

/// Sends requests to `front`, each within `within`.
#[derive(Debug)]
pub(super) struct Driver {
    front: Arc<Target>,
    within: Duration,
    clock: Arc<dyn Clock>,
    idle: Mutex<Vec<Connection>>,
    answered: Mutex<Vec<Answered>>,
}

impl Driver {
    pub(super) fn new(front: SocketAddr, within: Duration, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (idle, answered) = (Mutex::default(), Mutex::default());
        let front = Arc::new(Target::new(front));
        Arc::new(Self { front, within, clock, idle, answered })
    }

    /// Sends every arrival when it is due, and ends when all are answered.
    ///
    /// Dropped half-way, the requests under way are dropped too.
    pub(super) async fn drive(self: &Arc<Self>, arrivals: Vec<Arrival>) {
        let start = tokio::time::Instant::now();
        let mut under_way = JoinSet::new();
        for arrival in arrivals {
            tokio::time::sleep_until(start + due(&arrival)).await;
            let driver = Arc::clone(self);
            under_way.spawn(async move { driver.send(arrival).await });
            while under_way.try_join_next().is_some() {}
        }
        while under_way.join_next().await.is_some() {}
    }

    /// What has been answered so far.
    pub(super) fn answered(&self) -> Vec<Answered> {
        self.answered.lock().clone()
    }

    async fn send(&self, arrival: Arrival) {
        let begun = self.clock.now();
        let body = json!({ "model": arrival.model, "input": arrival.text }).to_string();
        let answer = self.call(Bytes::from(body)).await;
        let latency = self.clock.now().saturating_since(begun);
        let result = answer.map_or(Verdict::Failed, |answer| read(&answer));
        self.answered.lock().push(Answered { arrival, result, latency });
    }

    async fn call(&self, body: Bytes) -> Result<Answer, CallError> {
        let mut kept = self.idle.lock().pop();
        let kept = kept.take_if(Connection::is_open);
        let mut connection = match kept {
            Some(connection) => connection,
            None => Connection::open(&self.front).await?,
        };
        let answer = connection.call(Method::POST, "/v1/embeddings", body, self.within).await?;
        let mut idle = self.idle.lock();
        if idle.len() < KEPT {
            idle.push(connection);
        }
        Ok(answer)
    }
}

fn read(answer: &Answer) -> Verdict {
    match answer.status {
        StatusCode::OK => match answer.source.as_deref() {
            Some("cache") => Verdict::Well(Source::Cache),
            Some("warm") => Verdict::Well(Source::Warm),
            _ => Verdict::Well(Source::Cold),
        },
        StatusCode::UNPROCESSABLE_ENTITY => Verdict::NeverFits,
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => Verdict::Refused,
        _ => Verdict::Failed,
    }
}

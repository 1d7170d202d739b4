//! Requests at a steady rate over connections that stay open.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use plimsoll_core_types::{Clock as _, SystemClock};
use tokio::net::TcpStream;
use tokio::time::{Instant, MissedTickBehavior, interval_at};

use crate::histogram;

/// What is sent, how often, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Requests a second, of all connections.
    pub rate: u32,
    /// How many connections take turns.
    pub connections: u32,
    /// How many requests in all.
    pub requests: u32,
    /// The path that is posted to.
    pub path: &'static str,
    /// The body that is posted.
    pub body: &'static str,
}

/// Sends one request, and answers with the status and the body.
///
/// # Panics
///
/// When nobody listens at `to`, or the connection breaks.
pub async fn ask(to: SocketAddr, method: Method, path: &str, body: &str) -> (StatusCode, Bytes) {
    let mut sender = connect(to).await;
    send(&mut sender, method, path, body).await
}

/// Sends `load` to `to`, and answers with how long each request took, in nanoseconds, from its
/// first byte to the last one of its answer.
///
/// # Panics
///
/// When a request is not answered with 200.
pub async fn load(to: SocketAddr, load: Load) -> Histogram<u64> {
    let tasks: Vec<_> = (0..load.connections).map(|at| tokio::spawn(run(to, load, at))).collect();
    let mut all = histogram();
    for task in tasks {
        all += task.await.expect("a client ends");
    }
    all
}

/// The part of one connection, whose turn comes at its own moment between those of the others.
async fn run(to: SocketAddr, load: Load, at: u32) -> Histogram<u64> {
    let mut sender = connect(to).await;
    let (clock, mut took) = (SystemClock::new(), histogram());
    let between = Duration::from_secs_f64(1.0 / f64::from(load.rate));
    let first = Instant::now() + Duration::from_millis(20) + between * at;
    let mut turns = interval_at(first, between * load.connections);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for _ in 0..load.requests / load.connections {
        turns.tick().await;
        let begun = clock.now();
        let (status, _) = send(&mut sender, Method::POST, load.path, load.body).await;
        took.saturating_record(clock.now().saturating_since(begun).as_nanos() as u64);
        assert_eq!(status, StatusCode::OK, "from {to}");
    }
    took
}

async fn connect(to: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(to).await.expect("somebody listens");
    stream.set_nodelay(true).expect("an option that every socket has");
    let (sender, connection) = handshake(TokioIo::new(stream)).await.expect("HTTP");
    tokio::spawn(connection);
    sender
}

async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    method: Method,
    path: &str,
    body: &str,
) -> (StatusCode, Bytes) {
    sender.ready().await.expect("the connection stays open");
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, "localhost")
        .header(CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
        .expect("a fine request");
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status();
    (status, answer.into_body().collect().await.expect("the whole answer").to_bytes())
}

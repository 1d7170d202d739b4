//! Takes connections, bounded in number and in what they may send, until the broker is to stop.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::broker::Broker;
use crate::tls::Tls;

/// Connections that are open at the same time.
const CONNECTIONS: usize = 8192;
/// The largest head of a request, in bytes.
const HEAD: usize = 64 << 10;
/// The most headers of a request.
const HEADERS: usize = 100;
/// How long a client may take to send the head of a request.
const HEAD_WITHIN: Duration = Duration::from_secs(30);
/// How long to wait before connections are taken again when the host has no room for one.
const NO_ROOM_FOR: Duration = Duration::from_millis(100);

/// Serves until the broker is to stop and its requests have their answers. False where some took
/// too long and were broken off.
pub(crate) async fn serve<S>(
    listener: TcpListener,
    tls: Option<Arc<Tls>>,
    broker: Arc<Broker>,
    service: S,
) -> bool
where
    S: HttpService<Incoming, ResBody = Body, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let graceful = GracefulShutdown::new();
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let mut builder = http1::Builder::new();
    builder
        .max_buf_size(HEAD)
        .max_headers(HEADERS)
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_WITHIN);
    loop {
        let accepted = tokio::select! {
            () = broker.stopping.cancelled() => break,
            accepted = accept(&listener, &room) => accepted,
        };
        let Some((stream, place)) = accepted else { continue };
        let service = service.clone();
        if let Some(tls) = tls.clone() {
            let (builder, watcher) = (builder.clone(), graceful.watcher());
            tokio::spawn(async move {
                // Only now is there a connection that a stop has to wait for.
                let Some(stream) = tls.accept(stream).await else { return };
                let connection = builder.serve_connection(TokioIo::new(stream), service);
                ended(watcher.watch(connection).await, place);
            });
        } else {
            let connection = builder.serve_connection(TokioIo::new(stream), service);
            let watched = graceful.watch(connection);
            tokio::spawn(async move { ended(watched.await, place) });
        }
    }
    drop(listener);
    let within = broker.settings().server.drain_within;
    tokio::time::timeout(within, graceful.shutdown()).await.is_ok()
}

/// A client that goes away or sends nonsense ends its connection, and nothing else.
fn ended(result: hyper::Result<()>, place: OwnedSemaphorePermit) {
    if let Err(error) = result {
        tracing::debug!(%error, "connection");
    }
    drop(place);
}

async fn accept(
    listener: &TcpListener,
    room: &Arc<Semaphore>,
) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let place = Arc::clone(room).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => {
            // What is streamed must not wait for more.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "no delay");
            }
            Some((stream, place))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection could not be taken");
            tokio::time::sleep(NO_ROOM_FOR).await;
            None
        }
    }
}

//! Alerts to somebody who listens on HTTP, from a task of its own with a bounded queue.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use plimsoll_core_types::{Alert, AlertSink};
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// What a [`Deliver`] does.
pub type Delivery<'a> = Pin<Box<dyn Future<Output = Result<(), DeliverError>> + Send + 'a>>;

/// Takes an alert, as a JSON object, to whoever wants it. [`HttpPost`] does so without TLS, to a
/// relay on this host; where TLS is needed, implement it over the HTTP client that is at hand.
pub trait Deliver: Send + Sync + fmt::Debug + 'static {
    /// Delivers `body`.
    fn deliver<'a>(&'a self, body: &'a str) -> Delivery<'a>;
}

/// Why an alert was not delivered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DeliverError {
    /// The connection could not be made, or broke.
    #[error("the connection failed: {0}")]
    Connection(#[source] io::Error),
    /// There was no answer in time.
    #[error("no answer within {0:?}")]
    NoAnswer(Duration),
    /// The answer said no.
    #[error("answered with status {0}")]
    Status(u16),
    /// What was answered is not HTTP.
    #[error("the answer is not HTTP")]
    NotHttp,
}

/// How a [`Webhook`] behaves. Values out of range are taken as the nearest that is in range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct WebhookConfig {
    /// How many alerts may wait to be delivered; more are dropped and counted. 1 to 4096, default
    /// 64.
    pub queue: usize,
    /// How often one is tried; 1 to 16, default 5.
    pub attempts: u32,
    /// How long the second attempt waits; each later one twice as long. Default 1 s.
    pub backoff: Duration,
}

impl Default for WebhookConfig {
    fn default() -> Self {
        Self { queue: 64, attempts: 5, backoff: Duration::from_secs(1) }
    }
}

#[derive(Debug, Default)]
struct Counts {
    delivered: AtomicU64,
    dropped: AtomicU64,
}

/// Delivers alerts in order, from a task that ends when this is dropped and all are delivered.
#[derive(Debug)]
pub struct Webhook {
    queue: mpsc::Sender<Alert>,
    counts: Arc<Counts>,
}

impl Webhook {
    /// Begins to deliver.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn spawn(deliver: impl Deliver, config: WebhookConfig) -> Self {
        let (queue, mut alerts) = mpsc::channel::<Alert>(config.queue.clamp(1, 4096));
        let counts = Arc::new(Counts::default());
        let counted = Arc::clone(&counts);
        tokio::spawn(async move {
            while let Some(alert) = alerts.recv().await {
                let delivered = deliver_one(&deliver, &alert, &config).await;
                let count = if delivered { &counted.delivered } else { &counted.dropped };
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { queue, counts }
    }

    /// How many alerts were delivered.
    pub fn delivered(&self) -> u64 {
        self.counts.delivered.load(Ordering::Relaxed)
    }

    /// How many were not: there was no room for them, or every attempt failed.
    pub fn dropped(&self) -> u64 {
        self.counts.dropped.load(Ordering::Relaxed)
    }
}

impl AlertSink for Webhook {
    fn alert(&self, alert: &Alert) {
        if self.queue.try_send(alert.clone()).is_err() {
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn deliver_one(deliver: &impl Deliver, alert: &Alert, config: &WebhookConfig) -> bool {
    let Ok(body) = serde_json::to_string(alert) else { return false };
    let mut wait = config.backoff;
    for attempt in 0..config.attempts.clamp(1, 16) {
        if attempt > 0 {
            sleep(wait).await;
            wait = wait.saturating_mul(2);
        }
        match deliver.deliver(&body).await {
            Ok(()) => return true,
            Err(error) => tracing::warn!(%error, name = %alert.name, "an alert was not delivered"),
        }
    }
    false
}

/// Posts to `http://authority/path` over a connection of its own each time. Without TLS: for a
/// relay on the same host or network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpPost {
    authority: String,
    path: String,
    within: Duration,
}

/// What is wrong with the address of an [`HttpPost`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {given:?}; allowed is {allowed}")]
pub struct HttpPostError {
    field: &'static str,
    given: String,
    allowed: &'static str,
}

impl HttpPost {
    /// Posts to `path` at `authority`, as `127.0.0.1:9093` and `/api/alerts`, and waits for an
    /// answer for up to `within`.
    ///
    /// # Errors
    ///
    /// When the authority is no host and port, or the path does not begin with a slash, or one of
    /// them has blanks or control characters in it.
    pub fn new(authority: &str, path: &str, within: Duration) -> Result<Self, HttpPostError> {
        let plain = |text: &str| !text.chars().any(|c| c.is_whitespace() || c.is_control());
        let check = |field, given: &str, good: bool, allowed| {
            if good && plain(given) {
                return Ok(given.to_owned());
            }
            Err(HttpPostError { field, given: given.to_owned(), allowed })
        };
        let port = authority.rsplit_once(':').and_then(|(_, port)| port.parse::<u16>().ok());
        Ok(Self {
            authority: check("authority", authority, port.is_some(), "host:port")?,
            path: check("path", path, path.starts_with('/'), "/ and what follows")?,
            within,
        })
    }

    async fn post(&self, body: &str) -> Result<(), DeliverError> {
        let connect = TcpStream::connect(&self.authority);
        let mut stream = connect.await.map_err(DeliverError::Connection)?;
        let request = format!(
            "POST {} HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
             content-length: {}\r\nconnection: close\r\n\r\n{body}",
            self.path,
            self.authority,
            body.len(),
        );
        stream.write_all(request.as_bytes()).await.map_err(DeliverError::Connection)?;
        // The status line is all that matters: `HTTP/1.1 204 …`.
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.map_err(DeliverError::Connection)?;
        let status = std::str::from_utf8(&head).ok().filter(|head| head.starts_with("HTTP/1."));
        let status = status.and_then(|head| head[9..].parse::<u16>().ok());
        match status {
            Some(200..=299) => Ok(()),
            Some(status) => Err(DeliverError::Status(status)),
            None => Err(DeliverError::NotHttp),
        }
    }
}

impl Deliver for HttpPost {
    fn deliver<'a>(&'a self, body: &'a str) -> Delivery<'a> {
        Box::pin(async move {
            let posted = timeout(self.within, self.post(body)).await;
            posted.unwrap_or(Err(DeliverError::NoAnswer(self.within)))
        })
    }
}

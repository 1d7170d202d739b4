//! A running broker, as the other commands talk to it.

use std::net::ToSocketAddrs as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use clap::Args;
use hyper::http::uri::InvalidUri;
use hyper::{HeaderMap, Method, StatusCode, header};
use serde_json::Value;

use crate::http::{CallError, Connection, Target};
use crate::tls::{TlsError, Trust};

/// Where a running broker is.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArgs {
    /// Where the broker is
    #[arg(long, env = "PLIMSOLL_URL", default_value = "http://127.0.0.1:7077")]
    pub(crate) url: String,
    /// Its token, where it asks for one
    #[arg(long, env = "PLIMSOLL_TOKEN", hide_env_values = true)]
    pub(crate) token: Option<String>,
    /// The PEM file of the certificate to trust, where the broker speaks TLS
    #[arg(long, env = "PLIMSOLL_CA", value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

/// Talks to a running broker.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    target: Arc<Target>,
    trust: Option<Trust>,
    headers: HeaderMap,
}

/// Why a broker gave no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ClientError {
    /// The address means nothing.
    #[error("--url {url:?}: {cause}; write such as \"http://127.0.0.1:7077\"")]
    Url { url: String, cause: String },
    /// What is to be trusted can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Nobody is there.
    #[error(
        "no broker answers at {url}: {cause}; `plimsoll serve` starts one, --url says where it is"
    )]
    Nobody { url: String, cause: CallError },
    /// It refuses, or something went wrong there.
    #[error("{message}")]
    Refused { status: StatusCode, message: String, body: Box<Value> },
}

impl Client {
    pub(crate) fn new(args: &ServerArgs) -> Result<Self, ClientError> {
        let wrong = |cause: &dyn std::fmt::Display| {
            let (url, cause) = (args.url.clone(), cause.to_string());
            ClientError::Url { url, cause }
        };
        let (secure, rest) = match args.url.split_once("://") {
            Some(("http", rest)) => (false, rest),
            Some(("https", rest)) => (true, rest),
            _ => return Err(wrong(&"it does not begin with http:// or https://")),
        };
        let (host, prefix) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
        let usual = if secure { 443 } else { 80 };
        let named = host.rsplit_once(':').filter(|(_, port)| port.parse::<u16>().is_ok());
        let authority = if named.is_some() { host.to_owned() } else { format!("{host}:{usual}") };
        let trust = match &args.ca {
            Some(ca) if secure => Some(Trust::new(ca, named.map_or(host, |(name, _)| name))?),
            None if secure => return Err(wrong(&"name the certificate to trust by --ca")),
            _ => None,
        };
        let mut found = authority.to_socket_addrs().map_err(|error| wrong(&error))?;
        let address = found.next().ok_or_else(|| wrong(&"it has no address"))?;
        let prefix = prefix.trim_end_matches('/');
        let prefix = if prefix.is_empty() { String::new() } else { format!("/{prefix}") };
        let mut headers = HeaderMap::new();
        let json = header::HeaderValue::from_static("application/json");
        headers.insert(header::CONTENT_TYPE, json);
        if let Some(token) = &args.token {
            let value = header::HeaderValue::from_str(&format!("Bearer {token}"));
            headers.insert(header::AUTHORIZATION, value.map_err(|error| wrong(&error))?);
        }
        let target = Arc::new(Target { address, host: host.to_owned(), prefix });
        Ok(Self { target, trust, headers })
    }

    pub(crate) async fn get(&self, path: &str) -> Result<Value, ClientError> {
        self.call(Method::GET, path, None, Duration::from_secs(10)).await
    }

    /// Sends a request; the answer must be JSON.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<Value, ClientError> {
        let url = self.target.to_string();
        let nobody = |cause| ClientError::Nobody { url, cause };
        let (status, bytes) = self.exchange(method, path, body, within).await.map_err(nobody)?;
        let body: Value = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| Value::String(String::from_utf8_lossy(&bytes).into_owned()));
        if status.is_success() {
            return Ok(body);
        }
        let message = body["error"]["message"].as_str().map(str::to_owned);
        let message = message.unwrap_or_else(|| format!("the broker answered {status}"));
        Err(ClientError::Refused { status, message, body: Box::new(body) })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
        within: Duration,
    ) -> Result<(StatusCode, Bytes), CallError> {
        let address = self.target.address;
        let body = body.map_or_else(Bytes::new, |body| Bytes::from(body.to_string()));
        let exchange = async {
            let mut connection = match &self.trust {
                Some(trust) => Connection::open_secure(&self.target, trust).await?,
                None => Connection::open(&self.target).await?,
            };
            let broken = |cause: String| CallError::Broken { address, cause };
            let path = path.parse().map_err(|error: InvalidUri| broken(error.to_string()))?;
            let answer = connection.begin(method, path, self.headers.clone(), body).await?;
            let status = answer.status();
            Ok((status, connection.read(answer.into_body()).await?))
        };
        let silent = |_| CallError::Silent { address, within };
        tokio::time::timeout(within, exchange).await.map_err(silent)?
    }
}

/// Runs `work` to its end on this thread.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> std::io::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(work))
}

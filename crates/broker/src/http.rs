//! One HTTP/1.1 connection to an engine.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

use crate::front::SOURCE;

/// Answers larger than this are cut off with an error.
const ANSWER_LIMIT: usize = 64 << 20;

/// Why an engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// No connection.
    #[error("no connection to {address}: {cause}")]
    Connect { address: SocketAddr, cause: String },
    /// The connection broke, or the answer was too large.
    #[error("{address} broke off: {cause}")]
    Broken { address: SocketAddr, cause: String },
    /// No answer in time.
    #[error("{address} did not answer within {within:?}")]
    Silent { address: SocketAddr, within: Duration },
}

/// A connection that is kept open between requests. Closed on drop.
#[derive(Debug)]
pub(crate) struct Connection {
    address: SocketAddr,
    sender: SendRequest<Full<Bytes>>,
    driver: JoinHandle<()>,
    /// True from the start of a call until its answer has been read to its end.
    in_call: bool,
}

/// What an engine answered.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// What the front says of where the answer came from; none from an engine.
    pub(crate) source: Option<String>,
    pub(crate) body: Bytes,
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Result<Self, CallError> {
        let fail = |cause: String| CallError::Connect { address, cause };
        let stream = TcpStream::connect(address).await.map_err(|e| fail(e.to_string()))?;
        stream.set_nodelay(true).map_err(|e| fail(e.to_string()))?;
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| fail(e.to_string()))?;
        let driver = tokio::spawn(async move {
            // Its end shows at the sender.
            let _ = connection.await;
        });
        Ok(Self { address, sender, driver, in_call: false })
    }

    /// True while requests can be sent: the engine has not closed it, and no call on it was given
    /// up or failed half-way.
    pub(crate) fn is_open(&self) -> bool {
        !self.in_call && !self.sender.is_closed()
    }

    /// Sends a request and reads the whole answer.
    ///
    /// Dropped half-way, or after an error, the connection [is not open](Self::is_open) any more.
    pub(crate) async fn call(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        within: Duration,
    ) -> Result<Answer, CallError> {
        let address = self.address;
        self.in_call = true;
        let exchange = tokio::time::timeout(within, self.exchange(method, path, body));
        let answer = exchange.await.map_err(|_| CallError::Silent { address, within })??;
        self.in_call = false;
        Ok(answer)
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let address = self.address;
        let broken = |cause: String| CallError::Broken { address, cause };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, address.to_string())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|e| broken(e.to_string()))?;
        self.sender.ready().await.map_err(|e| broken(e.to_string()))?;
        let response =
            self.sender.send_request(request).await.map_err(|e| broken(e.to_string()))?;
        let status = response.status();
        let source = response.headers().get(SOURCE);
        let source = source.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = Limited::new(response.into_body(), ANSWER_LIMIT);
        let body = body.collect().await.map_err(|e| broken(e.to_string()))?.to_bytes();
        Ok(Answer { status, source, body })
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// Opens a connection for one request.
pub(crate) async fn call_once(
    address: SocketAddr,
    method: Method,
    path: &str,
    body: Bytes,
    within: Duration,
) -> Result<Answer, CallError> {
    let exchange = async {
        let mut connection = Connection::open(address).await?;
        connection.exchange(method, path, body).await
    };
    let silent = |_| CallError::Silent { address, within };
    tokio::time::timeout(within, exchange).await.map_err(silent)?
}

//! One HTTP/1.1 connection to an engine.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::http::uri::{InvalidUri, PathAndQuery};
use hyper::{HeaderMap, Method, Request, Response, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::openai::SOURCE;
use crate::tls::Trust;

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

/// Where a server is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) address: SocketAddr,
    /// What the `Host` header says.
    pub(crate) host: String,
    /// What comes before every path.
    pub(crate) prefix: String,
}

impl Target {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self { address, host: address.to_string(), prefix: String::new() }
    }

    /// The server on `port` of this host.
    pub(crate) fn loopback(port: u16) -> Self {
        Self::new(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))
    }
}

impl Target {
    /// What is asked for at the server, below its prefix.
    fn uri(&self, path: PathAndQuery) -> Result<Uri, InvalidUri> {
        if self.prefix.is_empty() {
            return Ok(Uri::from(path));
        }
        format!("{}{path}", self.prefix).parse()
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.host, self.prefix)
    }
}

/// A connection that is kept open between requests. Closed on drop.
///
/// It has no task of its own: whoever waits for an answer reads and writes meanwhile. So a request
/// is passed on and answered by the one task that has taken it, and no other is woken for it.
#[derive(Debug)]
pub(crate) struct Connection {
    target: Arc<Target>,
    sender: SendRequest<Full<Bytes>>,
    wire: Wire,
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
    pub(crate) async fn open(target: &Arc<Target>) -> Result<Self, CallError> {
        let stream = dial(target.address).await?;
        Self::over(target, stream).await
    }

    /// The same where the server proves itself to be one that `trust` is for.
    pub(crate) async fn open_secure(
        target: &Arc<Target>,
        trust: &Trust,
    ) -> Result<Self, CallError> {
        let address = target.address;
        let stream = trust.connect(dial(address).await?).await;
        let stream =
            stream.map_err(|error| CallError::Connect { address, cause: error.to_string() })?;
        Self::over(target, stream).await
    }

    async fn over<S>(target: &Arc<Target>, stream: S) -> Result<Self, CallError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + Sync + 'static,
    {
        let address = target.address;
        let fail = |cause: String| CallError::Connect { address, cause };
        let (sender, connection) =
            handshake(TokioIo::new(stream)).await.map_err(|e| fail(e.to_string()))?;
        let wire = Wire(Some(Box::pin(async move {
            // Its end shows at the sender.
            let _ = connection.await;
        })));
        Ok(Self { target: Arc::clone(target), sender, wire, in_call: false })
    }

    /// True while requests can be sent: the engine has not closed it, and no call on it was given
    /// up or failed half-way.
    pub(crate) fn is_open(&mut self) -> bool {
        // Nobody has looked at it since it was used last.
        self.drive(&mut Context::from_waker(Waker::noop()));
        !self.in_call && !self.sender.is_closed()
    }

    /// Reads and writes what there is to be read and written, and has the task woken when there is
    /// more. Whoever reads the body of an answer calls this where there is no more of it yet.
    pub(crate) fn drive(&mut self, context: &mut Context<'_>) {
        self.wire.drive(context);
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
        let address = self.target.address;
        self.in_call = true;
        let exchange = tokio::time::timeout(within, self.exchange(method, path, body));
        let answer = exchange.await.map_err(|_| CallError::Silent { address, within })??;
        self.in_call = false;
        Ok(answer)
    }

    /// Sends a request, and comes back when the answer begins. Its body is read by the caller,
    /// who says with [`finished`](Self::finished) that it was read to its end.
    pub(crate) async fn begin(
        &mut self,
        method: Method,
        path: PathAndQuery,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, CallError> {
        self.in_call = true;
        let address = self.target.address;
        let broken = |cause: String| CallError::Broken { address, cause };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.target.uri(path).map_err(|e| broken(e.to_string()))?;
        *request.headers_mut() = headers;
        let host = header::HeaderValue::from_str(&self.target.host);
        request.headers_mut().insert(header::HOST, host.map_err(|e| broken(e.to_string()))?);
        let Self { sender, wire, .. } = self;
        let answer = wire.beside(async {
            sender.ready().await?;
            sender.send_request(request).await
        });
        answer.await.map_err(|e| broken(e.to_string()))
    }

    /// The whole body of an answer.
    pub(crate) async fn read(&mut self, body: Incoming) -> Result<Bytes, CallError> {
        let address = self.target.address;
        let whole = self.wire.beside(Limited::new(body, ANSWER_LIMIT).collect()).await;
        let broken = |cause: String| CallError::Broken { address, cause };
        Ok(whole.map_err(|error| broken(error.to_string()))?.to_bytes())
    }

    /// The answer has been read to its end: the connection can be used again.
    pub(crate) const fn finished(&mut self) {
        self.in_call = false;
    }

    async fn exchange(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Answer, CallError> {
        let address = self.target.address;
        let broken = |cause: String| CallError::Broken { address, cause };
        let json = header::HeaderValue::from_static("application/json");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, json)]);
        let path = path.parse().map_err(|error: InvalidUri| broken(error.to_string()))?;
        let response = self.begin(method, path, headers, body).await?;
        let status = response.status();
        let source = response.headers().get(SOURCE);
        let source = source.and_then(|value| value.to_str().ok()).map(str::to_owned);
        let body = self.read(response.into_body()).await?;
        Ok(Answer { status, source, body })
    }
}

/// What is read from and written to the other side, until that is over.
struct Wire(Option<Pin<Box<dyn Future<Output = ()> + Send + Sync>>>);

impl Wire {
    fn drive(&mut self, context: &mut Context<'_>) {
        if self.0.as_mut().is_some_and(|wire| wire.as_mut().poll(context).is_ready()) {
            self.0 = None;
        }
    }

    /// What comes of `work`, which waits for what is read and written meanwhile.
    async fn beside<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        std::future::poll_fn(|context| {
            let polled = work.as_mut().poll(context);
            if polled.is_ready() {
                return polled;
            }
            // What it has asked for is done at once, and it may be what it waits for.
            self.drive(context);
            work.as_mut().poll(context)
        })
        .await
    }
}

impl fmt::Debug for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wire").field("open", &self.0.is_some()).finish_non_exhaustive()
    }
}

async fn dial(address: SocketAddr) -> Result<TcpStream, CallError> {
    let fail = |cause: std::io::Error| CallError::Connect { address, cause: cause.to_string() };
    let stream = TcpStream::connect(address).await.map_err(fail)?;
    stream.set_nodelay(true).map_err(fail)?;
    Ok(stream)
}

/// Opens a connection for one request.
pub(crate) async fn call_once(
    target: &Target,
    method: Method,
    path: &str,
    body: Bytes,
    within: Duration,
) -> Result<Answer, CallError> {
    let exchange = async {
        let mut connection = Connection::open(&Arc::new(target.clone())).await?;
        connection.exchange(method, path, body).await
    };
    let address = target.address;
    let silent = |_| CallError::Silent { address, within };
    tokio::time::timeout(within, exchange).await.map_err(silent)?
}

//! `[server]`: where and how the broker is reached, and what it keeps.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use plimsoll_core_types::Bytes;

use super::reader::{Reader, Section};
use super::{LISTEN, Overrides, TlsConfig, tls};

/// Where and how the broker is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    /// What clients must send as bearer token.
    pub(crate) token: Option<String>,
    /// What the front proves itself by; none speaks plain HTTP.
    pub(crate) tls: Option<TlsConfig>,
    /// The folder that holds the lease journal and what was learned.
    pub(crate) state: Option<PathBuf>,
    /// How long engines wait for another broker where this one ends without ending them; nothing
    /// has them end with it.
    pub(crate) adopt_grace: Duration,
    /// How long a request may wait for its model.
    pub(crate) within: Duration,
    /// How long an engine may take to begin its answer.
    pub(crate) answer_within: Duration,
    /// How long requests in progress may take when the broker is to stop.
    pub(crate) drain_within: Duration,
    /// The largest body of a request.
    pub(crate) body: Bytes,
    /// Requests in progress, and in line, at most.
    pub(crate) requests: usize,
    pub(crate) queue: usize,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            token: None,
            tls: None,
            state: None,
            adopt_grace: Duration::from_secs(30),
            within: Duration::from_mins(2),
            answer_within: Duration::from_mins(10),
            drain_within: Duration::from_secs(30),
            body: Bytes::from_mib(32),
            requests: 256,
            queue: 1024,
        }
    }
}

pub(super) fn server(
    root: &mut Section<'_>,
    overrides: &Overrides,
    reader: &mut Reader<'_>,
) -> ServerConfig {
    let mut server = ServerConfig::default();
    let section = root.section("server", reader);
    let mut section = section.unwrap_or_else(|| Section::absent("server"));
    server.listen = section.parse("listen", reader).unwrap_or(server.listen);
    server.token = section.parse("token", reader);
    server.tls = tls::tls(&mut section, reader);
    server.state = section.parse("state", reader);
    let adopt_grace = section.duration("adopt_grace", reader);
    server.adopt_grace = adopt_grace.unwrap_or(server.adopt_grace);
    server.within = section.duration("within", reader).unwrap_or(server.within);
    let answer_within = section.duration("answer_within", reader);
    server.answer_within = answer_within.unwrap_or(server.answer_within);
    server.drain_within = section.duration("drain_within", reader).unwrap_or(server.drain_within);
    server.body = section.parse("body", reader).unwrap_or(server.body);
    let count = |value: Option<u64>, default: usize| {
        value.and_then(|value| usize::try_from(value).ok()).unwrap_or(default)
    };
    server.requests = count(section.whole("requests", 1..=65536, reader), server.requests);
    server.queue = count(section.whole("queue", 0..=65536, reader), server.queue);
    server.listen = overrides.listen.unwrap_or(server.listen);
    server.token = overrides.token.clone().or(server.token);
    server.state = overrides.state.clone().or(server.state);
    if server.token.as_ref().is_some_and(String::is_empty) {
        section.object("token", "it is empty, which protects nothing".to_owned(), reader);
    }
    if !server.listen.ip().is_loopback() && server.token.is_none() {
        let listen = server.listen;
        let what = format!("{listen} can be reached from elsewhere: set a token, or use loopback");
        section.object("listen", what, reader);
    }
    section.finish(reader);
    server
}

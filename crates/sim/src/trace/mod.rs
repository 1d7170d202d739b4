//! Traces of requests, read from the formats in which they are published.
//!
//! A format is told by what a file holds, never by its name: gzip and zstd by their magic bytes,
//! the rest by the first line.
//!
//! | format | first line | gives |
//! |---|---|---|
//! | Azure LLM inference 2023, 2024 | `TIMESTAMP,ContextTokens,GeneratedTokens` | requests |
//! | Mooncake, lengths | `timestamp_ms,input_tokens,output_tokens` | requests |
//! | Mooncake, JSON lines | `{"timestamp": …, "input_length": …, "output_length": …}` | requests |
//! | `ServeGen` client rates | `client,t_s,rate_rps,cv,dist,p1,p2` | rates |
//! | Azure Functions 2019 | `HashOwner,HashApp,HashFunction,Trigger,1,2,…` | rates, by the minute |
//! | Azure Functions 2021 | `app,func,end_timestamp,duration` | requests with durations |
//!
//! ```
//! use plimsoll_sim::trace::{Format, Trace};
//!
//! let trace = Trace::parse(b"timestamp_ms,input_tokens,output_tokens\n0,512,20\n30,8,9\n")?;
//! assert_eq!(trace.format, Format::MooncakeLengths);
//! assert_eq!(trace.requests().unwrap().len(), 2);
//!
//! let error = Trace::parse(b"timestamp_ms,input_tokens,output_tokens\n0,many,20\n").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "line 2: input_tokens is \"many\"; it must be a whole number up to 4294967295",
//! );
//! # Ok::<(), plimsoll_sim::trace::TraceError>(())
//! ```

mod azure_llm;
mod error;
mod functions;
mod lines;
mod mooncake;
mod servegen;
mod unpack;

use std::fmt;
use std::path::Path;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

pub use error::TraceError;
use lines::Lines;

/// The most bytes that an unpacked trace may have: 1 GiB.
pub const MAX_BYTES: u64 = 1 << 30;

/// A trace that was read, or made.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    /// Which format it came in.
    pub format: Format,
    /// Whose requests they are, by the numbers that requests and rates use. A trace that names
    /// nobody has one client.
    pub clients: Vec<String>,
    /// What happened.
    pub content: Content,
}

/// The formats that are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// Azure LLM inference traces of 2023 and 2024.
    AzureLlm,
    /// Mooncake's requests as CSV of lengths.
    MooncakeLengths,
    /// Mooncake's requests as JSON lines.
    MooncakeJson,
    /// `ServeGen`'s rate of each client by windows.
    ServeGenRates,
    /// Azure Functions 2019: invocations by the minute.
    FunctionCounts,
    /// Azure Functions 2021: one line for each invocation.
    FunctionInvocations,
    /// Made by [`generate`](crate::generate).
    Generated,
}

/// What a trace tells.
#[derive(Clone, Debug, PartialEq)]
pub enum Content {
    /// Single requests, in order of time.
    Requests(Vec<TraceRequest>),
    /// Rates over windows of equal length, for each client one row of equally many windows.
    Rates {
        /// How long a window is.
        window: Duration,
        /// For each client its windows.
        clients: Vec<Vec<RateWindow>>,
    },
}

/// One request of a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceRequest {
    /// When it came, counted from the first one.
    pub at: Timestamp,
    /// Whose it is, as an index into the trace's clients.
    pub client: u32,
    /// Tokens that were read; zero where the trace does not say.
    pub input_tokens: u32,
    /// Tokens that were written; zero where the trace does not say.
    pub output_tokens: u32,
    /// How long it took, where the trace says so.
    pub duration: Option<Duration>,
}

/// One client's requests in one window.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RateWindow {
    /// Mean requests per second.
    pub rate: f64,
    /// How the gaps between requests are distributed.
    pub gaps: Gaps,
}

/// The distribution of the time between two requests, whose mean is one over the rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Gaps {
    /// Exponential: requests at random.
    Exponential,
    /// Gamma with this shape; below one it is bursty.
    Gamma {
        /// The shape.
        shape: f64,
    },
    /// Weibull with this shape; below one it is bursty.
    Weibull {
        /// The shape.
        shape: f64,
    },
}

impl RateWindow {
    /// Nobody asks.
    pub const SILENT: Self = Self { rate: 0.0, gaps: Gaps::Exponential };
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::AzureLlm => "azure-llm",
            Self::MooncakeLengths => "mooncake",
            Self::MooncakeJson => "mooncake-json",
            Self::ServeGenRates => "servegen-rates",
            Self::FunctionCounts => "function-counts",
            Self::FunctionInvocations => "function-invocations",
            Self::Generated => "generated",
        })
    }
}

impl Trace {
    /// Reads the file at `path`.
    ///
    /// # Errors
    ///
    /// When it can't be read or unpacked, is of no known format, or a line of it makes no sense;
    /// the error names line and field.
    pub fn open(path: &Path) -> Result<Self, TraceError> {
        let bytes = std::fs::read(path)
            .map_err(|source| TraceError::Io { path: path.to_owned(), source })?;
        Self::parse(&bytes)
    }

    /// Reads a trace from the bytes of a file, packed or not.
    ///
    /// # Errors
    ///
    /// As for [`Self::open`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TraceError> {
        let bytes = unpack::unpack(bytes, MAX_BYTES)?;
        let mut lines = Lines::new(&bytes);
        let Some((_, first)) = lines.next_line()? else { return Err(TraceError::Empty) };
        if first.trim_start().starts_with('{') {
            return mooncake::read_json(Lines::new(&bytes));
        }
        let header = lines::header(first);
        let names: Vec<&str> = header.iter().map(String::as_str).collect();
        match names.as_slice() {
            ["timestamp", "contexttokens", "generatedtokens", ..] => azure_llm::read(lines),
            ["timestamp_ms", "input_tokens", "output_tokens", ..] => mooncake::read_csv(lines),
            ["client", "t_s", "rate_rps", "cv", "dist", "p1", "p2", ..] => servegen::read(lines),
            ["hashowner", "hashapp", "hashfunction", "trigger", minutes @ ..] => {
                functions::read_counts(lines, minutes.len())
            }
            ["app", "func", "end_timestamp", "duration", ..] => functions::read_invocations(lines),
            _ => Err(TraceError::unknown(first)),
        }
    }

    /// The single requests, where the trace has them.
    pub fn requests(&self) -> Option<&[TraceRequest]> {
        match &self.content {
            Content::Requests(requests) => Some(requests),
            Content::Rates { .. } => None,
        }
    }

    /// From the first request, or window, to the end of the last.
    pub fn span(&self) -> Duration {
        match &self.content {
            Content::Requests(requests) => requests
                .last()
                .map_or(Duration::ZERO, |last| last.at.saturating_since(Timestamp::ZERO)),
            Content::Rates { window, clients } => {
                let windows = clients.first().map_or(0, Vec::len);
                window.saturating_mul(u32::try_from(windows).unwrap_or(u32::MAX))
            }
        }
    }

    /// A trace of requests, which are put in order and counted from the first one.
    pub(crate) fn of_requests(
        format: Format,
        clients: Vec<String>,
        mut requests: Vec<TraceRequest>,
    ) -> Self {
        requests.sort_by_key(|request| request.at);
        let first = requests.first().map_or(Timestamp::ZERO, |request| request.at);
        for request in &mut requests {
            request.at = Timestamp::ZERO + request.at.saturating_since(first);
        }
        Self { format, clients, content: Content::Requests(requests) }
    }
}

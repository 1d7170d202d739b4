//! Why a file is no trace.

use std::io;
use std::path::PathBuf;

/// How much of an unknown first line an error repeats.
const SHOWN: usize = 80;

/// Why a file is no trace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file can't be read.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is packed, and can't be unpacked.
    #[error("the {packing} data is damaged: {cause}")]
    Damaged {
        /// How it is packed.
        packing: &'static str,
        /// What is wrong.
        cause: String,
    },
    /// The file is too large when it is unpacked.
    #[error("the trace has more than {limit} bytes")]
    TooLarge {
        /// How many it may have.
        limit: u64,
    },
    /// There is nothing in it.
    #[error("the trace has no lines")]
    Empty,
    /// The first line is that of no known format.
    #[error(
        "the first line is {first:?}, which is that of no known format; known are Azure LLM, \
         Mooncake (CSV and JSON lines), ServeGen client rates, and Azure Functions (2019 counts, \
         2021 invocations)"
    )]
    Unknown {
        /// The beginning of the line.
        first: String,
    },
    /// A line is no text.
    #[error("line {line}: it is not UTF-8 text")]
    NoText {
        /// Which, counted from one.
        line: usize,
    },
    /// A line is no JSON object of the right shape.
    #[error("line {line}: {cause}")]
    Json {
        /// Which, counted from one.
        line: usize,
        /// What is wrong.
        cause: String,
    },
    /// A line ends before all of its fields.
    #[error("line {line}: {field} is missing: the line has {found} fields")]
    Missing {
        /// Which, counted from one.
        line: usize,
        /// The first field that is not there.
        field: String,
        /// How many fields there are.
        found: usize,
    },
    /// A field makes no sense.
    #[error("line {line}: {field} is {value:?}; it must be {allowed}")]
    Field {
        /// Which line, counted from one.
        line: usize,
        /// Which field.
        field: String,
        /// What it holds.
        value: String,
        /// What it may hold.
        allowed: String,
    },
    /// There is a header and nothing else.
    #[error("the trace has a header and no records")]
    NoRecords,
}

impl TraceError {
    pub(super) fn unknown(first: &str) -> Self {
        Self::Unknown { first: first.chars().take(SHOWN).collect() }
    }

    pub(super) fn field(line: usize, field: &str, value: &str, allowed: &str) -> Self {
        Self::Field {
            line,
            field: field.to_owned(),
            value: value.chars().take(SHOWN).collect(),
            allowed: allowed.to_owned(),
        }
    }
}

//! What a host has and uses, as measured.

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;
use crate::units::Ratio;
use crate::vector::ResourceVector;

/// One measurement of a host. A probe fills the dimensions that it knows; the rest are zero.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ProbeReading {
    /// When it was taken.
    pub at: Timestamp,
    /// What there is for everybody within this process's limits.
    pub capacity: ResourceVector,
    /// What is used by everybody within these limits, page cache left out.
    pub used: ResourceVector,
    /// Share of time in which somebody waited for it (PSI `some`, ten seconds); none where the
    /// host does not tell.
    pub pressure: Option<Ratio>,
    /// What could not be read and what stood in for it.
    pub notes: Vec<ProbeNote>,
}

/// Something that a probe could not read, and what it did instead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProbeNote {
    /// What was looked for, such as a file's path.
    pub source: String,
    /// What was wrong, and what stands in.
    pub problem: String,
}

/// Why nothing could be measured at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{probe} probe: {from}: {problem}")]
pub struct ProbeError {
    /// Which probe.
    pub probe: &'static str,
    /// What was read.
    pub from: String,
    /// What was wrong.
    pub problem: String,
}

/// Measures what a host has and uses. Called from the control path, never from the data path.
pub trait CapacityProbe: Send + Sync + std::fmt::Debug {
    /// Measures now. May read files; does not block on anything else.
    ///
    /// # Errors
    ///
    /// When not even a fallback could be read. The caller keeps to its last reading.
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError>;
}

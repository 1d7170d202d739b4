//! What somebody should look at.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::clock::Timestamp;

/// How urgent an [`Alert`] is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Look at it today.
    Warning,
    /// Look at it now.
    Critical,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        })
    }
}

/// Something that somebody should look at. Raised when `ended` is none, over when it is set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Alert {
    /// Names the condition, such as `memory_pressure`; one alert a name and subject is up at a
    /// time.
    pub name: String,
    /// Of what or whom.
    pub subject: String,
    /// How urgent.
    pub severity: Severity,
    /// What is wrong, with the numbers.
    pub cause: String,
    /// The heading of the operational docs that says what to do.
    pub runbook: String,
    /// Since when.
    pub since: Timestamp,
    /// When it ended, where it has.
    pub ended: Option<Timestamp>,
}

/// Where alerts go.
pub trait AlertSink: Send + Sync + fmt::Debug {
    /// Takes an alert that was raised or has ended. Must not block.
    fn alert(&self, alert: &Alert);
}

//! Where alerts go: into the log, or to a function.

use std::fmt;

use plimsoll_core_types::{Alert, AlertSink, Severity};

/// Writes alerts as events of `tracing`: critical ones as errors, warnings as warnings, and what
/// is only worth knowing, or has ended, as information.
#[derive(Clone, Copy, Debug, Default)]
pub struct TracingSink;

impl AlertSink for TracingSink {
    fn alert(&self, alert: &Alert) {
        let Alert { name, subject, severity, cause, runbook, .. } = alert;
        macro_rules! event {
            ($level:ident, $what:literal) => {
                tracing::$level!(%name, %subject, %severity, %cause, %runbook, $what)
            };
        }
        match (alert.ended, severity) {
            (Some(_), _) => event!(info, "an alert has ended"),
            (None, Severity::Critical) => event!(error, "alert"),
            (None, Severity::Warning) => event!(warn, "alert"),
            (None, Severity::Info) => event!(info, "alert"),
        }
    }
}

/// Hands alerts to a function, which must not block.
pub struct CallbackSink(Box<dyn Fn(&Alert) + Send + Sync>);

impl CallbackSink {
    /// Calls `callback` with each alert that is raised, changes or ends.
    pub fn new(callback: impl Fn(&Alert) + Send + Sync + 'static) -> Self {
        Self(Box::new(callback))
    }
}

impl fmt::Debug for CallbackSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CallbackSink")
    }
}

impl AlertSink for CallbackSink {
    fn alert(&self, alert: &Alert) {
        (self.0)(alert);
    }
}

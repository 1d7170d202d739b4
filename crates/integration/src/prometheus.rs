//! The metrics as Prometheus reads them.

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};

/// Why nothing can be exported.
#[derive(Debug, thiserror::Error)]
#[error("the metrics can't be exported: {source}")]
pub struct ExporterError {
    #[from]
    source: BuildError,
}

/// Seconds, from what a tick of a few models takes to what somebody notices.
const BUCKETS: [f64; 13] =
    [1e-5, 3e-5, 1e-4, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0];

/// Records the metrics of the whole process, and renders them for `GET /metrics`.
///
/// It listens nowhere: whoever serves HTTP already answers with [`render`](Self::render).
#[derive(Clone)]
pub struct Exporter {
    handle: PrometheusHandle,
}

impl Exporter {
    /// Installs itself as the process's recorder.
    ///
    /// # Errors
    ///
    /// When the process has a recorder already.
    pub fn install() -> Result<Self, ExporterError> {
        let seconds = Matcher::Suffix("_seconds".to_owned());
        let builder = PrometheusBuilder::new().set_buckets_for_metric(seconds, &BUCKETS)?;
        let handle = builder.install_recorder()?;
        crate::telemetry::describe();
        Ok(Self { handle })
    }

    /// Everything recorded so far, in Prometheus' text format.
    pub fn render(&self) -> String {
        self.handle.run_upkeep();
        self.handle.render()
    }
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

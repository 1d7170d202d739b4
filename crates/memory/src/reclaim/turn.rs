//! One turn of one reclaimer, contained.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, ReclaimRequest, Reclaimer};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::{Keep, Outcome, ReclaimReport, Shared};

/// What it says may be this part more than what is measured: allocators round, and others take
/// and give back at the same time.
const TOLERANCE: u64 = 16;

/// The turn of one reclaimer: nobody else asks it meanwhile. Dropping it ends the turn.
pub(crate) struct Turn {
    shared: Arc<Shared>,
    number: u64,
    place: usize,
    reclaimer: Arc<dyn Reclaimer>,
    report: Option<ReclaimReport>,
    _keep: Option<Keep>,
}

impl Turn {
    pub(super) const fn new(
        shared: Arc<Shared>,
        number: u64,
        place: usize,
        reclaimer: Arc<dyn Reclaimer>,
        keep: Option<Keep>,
    ) -> Self {
        Self { shared, number, place, reclaimer, report: None, _keep: keep }
    }

    /// The reclaimer's number, never used twice among the same ones.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Where it frees memory.
    pub(crate) const fn place(&self) -> usize {
        self.place
    }

    /// Whose memory it is.
    pub(crate) fn consumer(&self) -> ConsumerId {
        self.reclaimer.consumer().clone()
    }

    /// Has it free `bytes` for `beneficiary`, and reports what came of it; `measured` tells what
    /// was freed meanwhile.
    ///
    /// Needs a `tokio` runtime with a timer.
    ///
    /// # Cancel safety
    ///
    /// The reclaimer is abandoned when the future is dropped.
    pub(crate) async fn run(
        mut self,
        bytes: Bytes,
        beneficiary: ConsumerId,
        within: Duration,
        measured: impl FnOnce() -> Bytes,
    ) -> ReclaimReport {
        let request = ReclaimRequest { bytes, beneficiary: beneficiary.clone(), within };
        let reclaimer = Arc::clone(&self.reclaimer);
        let start = Instant::now();
        let mut task = AbortOnDrop(tokio::spawn(async move { reclaimer.reclaim(request).await }));
        let answer = tokio::time::timeout(within, &mut task.0).await;
        let took = start.elapsed();
        let measured = measured();
        let (claimed, outcome) = match answer {
            Ok(Ok(claimed)) => (claimed, judged(claimed, measured)),
            Ok(Err(_)) => (Bytes::ZERO, Outcome::Panicked),
            Err(_) => (Bytes::ZERO, Outcome::TimedOut),
        };
        let report = ReclaimReport {
            consumer: self.consumer(),
            beneficiary,
            asked: bytes,
            claimed,
            measured,
            took,
            outcome,
        };
        self.report = Some(report.clone());
        report
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.shared.end(self.number, self.report.take());
    }
}

fn judged(claimed: Bytes, measured: Bytes) -> Outcome {
    if claimed.is_zero() {
        return Outcome::Nothing;
    }
    let good = measured.saturating_add(Bytes::new(claimed.get() / TOLERANCE));
    if claimed > good { Outcome::Overstated } else { Outcome::Freed }
}

/// A task that ends with whoever waits for it.
#[derive(Debug)]
struct AbortOnDrop(JoinHandle<Bytes>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

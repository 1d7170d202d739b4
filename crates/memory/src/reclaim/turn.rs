//! One turn of one reclaimer, contained.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_core_types::{Bytes, ConsumerId, ReclaimRequest, Reclaimer};
use tokio::runtime::Handle;
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
    offered: Bytes,
    report: Option<ReclaimReport>,
    _keep: Option<Keep>,
}

impl Turn {
    pub(super) const fn new(
        shared: Arc<Shared>,
        number: u64,
        place: usize,
        reclaimer: Arc<dyn Reclaimer>,
        offered: Bytes,
        keep: Option<Keep>,
    ) -> Self {
        Self { shared, number, place, reclaimer, offered, report: None, _keep: keep }
    }

    /// The reclaimer's number, never used twice among the same ones.
    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    /// Where it frees memory.
    pub(crate) const fn place(&self) -> usize {
        self.place
    }

    /// What it can be expected to free.
    pub(crate) const fn offered(&self) -> Bytes {
        self.offered
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
        self.reported(bytes, beneficiary, (claimed, measured), took, outcome)
    }

    /// The same for a caller that does not wait: the report where it was done at once. Where it was
    /// not, it goes on by itself in the `tokio` runtime that this is called in; in none, it is
    /// abandoned.
    pub(crate) fn run_now(
        self,
        bytes: Bytes,
        beneficiary: ConsumerId,
        within: Duration,
        measured: impl FnOnce() -> Bytes + Send + 'static,
    ) -> Option<ReclaimReport> {
        if Handle::try_current().is_ok() {
            let mut running = Box::pin(self.run_here(bytes, beneficiary, within, measured));
            let mut context = Context::from_waker(Waker::noop());
            if let Poll::Ready(report) = running.as_mut().poll(&mut context) {
                return Some(report);
            }
            tokio::spawn(running);
            return None;
        }
        // Without a runtime there is no timer either: it may do what it can do at once.
        let mut this = self;
        let request = ReclaimRequest { bytes, beneficiary: beneficiary.clone(), within };
        let reclaimer = Arc::clone(&this.reclaimer);
        let mut reclaiming = contained(async move { reclaimer.reclaim(request).await });
        let answer = reclaiming.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        let measured = measured();
        let (claimed, outcome) = match answer {
            Poll::Ready(Some(claimed)) => (claimed, judged(claimed, measured)),
            Poll::Ready(None) => (Bytes::ZERO, Outcome::Panicked),
            Poll::Pending => (Bytes::ZERO, Outcome::TimedOut),
        };
        Some(this.reported(bytes, beneficiary, (claimed, measured), Duration::ZERO, outcome))
    }

    /// As [`run`](Self::run), in the task that polls it: what is done at once is done at its first
    /// poll.
    async fn run_here(
        mut self,
        bytes: Bytes,
        beneficiary: ConsumerId,
        within: Duration,
        measured: impl FnOnce() -> Bytes,
    ) -> ReclaimReport {
        let request = ReclaimRequest { bytes, beneficiary: beneficiary.clone(), within };
        let reclaimer = Arc::clone(&self.reclaimer);
        let start = Instant::now();
        let reclaiming = contained(async move { reclaimer.reclaim(request).await });
        let answer = tokio::time::timeout(within, reclaiming).await;
        let (took, measured) = (start.elapsed(), measured());
        let (claimed, outcome) = match answer {
            Ok(Some(claimed)) => (claimed, judged(claimed, measured)),
            Ok(None) => (Bytes::ZERO, Outcome::Panicked),
            Err(_) => (Bytes::ZERO, Outcome::TimedOut),
        };
        self.reported(bytes, beneficiary, (claimed, measured), took, outcome)
    }

    fn reported(
        &mut self,
        asked: Bytes,
        beneficiary: ConsumerId,
        (claimed, measured): (Bytes, Bytes),
        took: Duration,
        outcome: Outcome,
    ) -> ReclaimReport {
        let consumer = self.consumer();
        let report =
            ReclaimReport { consumer, beneficiary, asked, claimed, measured, took, outcome };
        self.report = Some(report.clone());
        report
    }
}

/// A future that answers with none where `inner` panics.
fn contained<F: Future<Output = Bytes> + Send + 'static>(
    inner: F,
) -> Pin<Box<dyn Future<Output = Option<Bytes>> + Send>> {
    let mut inner = Box::pin(inner);
    Box::pin(poll_fn(move |context| {
        // After a panic it is not polled again.
        let polled = catch_unwind(AssertUnwindSafe(|| inner.as_mut().poll(context)));
        match polled {
            Ok(answer) => answer.map(Some),
            Err(_) => Poll::Ready(None),
        }
    }))
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

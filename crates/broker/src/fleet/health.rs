//! Whether an engine answers: asked again and again, and told by its answers to requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::Method;
use plimsoll_core_types::{Clock, Timestamp};
use plimsoll_cpu::process::ProcessCpu;

use super::spec::EngineSpec;
use crate::http::{Target, call_once};

/// An engine that computes is given this long before its silence counts: many answer nobody while
/// they work on a long request.
const BUSY_FOR: Duration = Duration::from_mins(2);
/// An engine that uses less of a core than this, in thousandths, does not compute.
const BUSY_MILLICORES: u64 = 100;

/// What its health probes found.
#[derive(Debug)]
pub(super) struct HealthRecord {
    missed: AtomicU32,
    answered_at: AtomicU64,
}

/// How often an engine is asked whether it is well, and how long it may take to say so.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    every: Duration,
    within: Duration,
}

/// Who is asked, and how.
#[derive(Debug)]
pub(super) struct Probing {
    pub(super) target: Arc<Target>,
    pub(super) path: String,
    pub(super) pace: Pace,
    pub(super) pid: Option<u32>,
}

impl Pace {
    /// The embedded engine answers beside its work; of others that is not known.
    pub(super) const fn of(engine: &EngineSpec) -> Self {
        match engine {
            EngineSpec::Embedded { .. } => {
                Self { every: Duration::from_millis(250), within: Duration::from_millis(500) }
            }
            EngineSpec::Command(_) | EngineSpec::Url { .. } => {
                Self { every: Duration::from_secs(1), within: Duration::from_secs(3) }
            }
        }
    }
}

impl HealthRecord {
    pub(super) const fn new(now: Timestamp) -> Self {
        Self { missed: AtomicU32::new(0), answered_at: AtomicU64::new(now.as_nanos()) }
    }

    pub(super) fn note_answer(&self, now: Timestamp) {
        self.answered_at.store(now.as_nanos(), Ordering::Relaxed);
        self.missed.store(0, Ordering::Relaxed);
    }

    pub(super) fn missed(&self) -> u32 {
        self.missed.load(Ordering::Relaxed)
    }

    pub(super) fn silent(&self, now: Timestamp) -> Duration {
        if self.missed() == 0 { Duration::ZERO } else { self.since_answer(now) }
    }

    fn since_answer(&self, now: Timestamp) -> Duration {
        now.saturating_since(Timestamp::from_nanos(self.answered_at.load(Ordering::Relaxed)))
    }
}

/// Asks an engine again and again whether it is well.
pub(super) async fn watch(probing: Probing, health: Arc<HealthRecord>, clock: Arc<dyn Clock>) {
    let Probing { target, path, pace, pid } = probing;
    let cpu = pid.and_then(|pid| ProcessCpu::open(pid).ok());
    loop {
        tokio::time::sleep(pace.every).await;
        let asked = call_once(&target, Method::GET, &path, Bytes::new(), pace.within).await;
        let now = clock.now();
        let used = cpu.as_ref().and_then(|cpu| cpu.sample(now).ok());
        let computes = used.is_some_and(|used| used.used.get() >= BUSY_MILLICORES);
        if asked.is_ok_and(|answer| answer.status.is_success()) {
            health.note_answer(now);
        } else if !(computes && health.since_answer(now) < BUSY_FOR) {
            health.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

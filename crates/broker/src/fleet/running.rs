//! An engine that serves: its connections, its health, what it is measured to use.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use plimsoll_core_types::{Clock, ReplicaId, ResourceVector, Timestamp};
use tokio::task::JoinHandle;

use super::connections::{ConnectionPool, connection_pool};
use super::health::{HealthRecord, Probing, watch};
use super::meter::Meter;
use super::owner::owner_of;
use super::process::EngineProcess;
use super::spec::{EngineSpec, ModelSpec};
use crate::http::{Target, call_once};

/// How long an engine may take to change how many threads it runs.
const RETUNE_WITHIN: Duration = Duration::from_millis(500);

/// An engine that serves. Shared by everybody who sends it requests.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) replica: ReplicaId,
    /// None where its process is not ours.
    pub(crate) pid: Option<u32>,
    pub(crate) target: Arc<Target>,
    pub(crate) connections: ConnectionPool,
    pub(crate) since: Timestamp,
    pub(crate) threads: AtomicU32,
    /// Requests answered since the CPU manager was last told.
    pub(crate) served: AtomicU64,
    hit: AtomicBool,
    accounted: Mutex<(Duration, Duration)>,
    meter: Mutex<Meter>,
    health: Arc<HealthRecord>,
    watcher: JoinHandle<()>,
}

/// What an engine is measured to use, and at most has used.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) used: ResourceVector,
    pub(crate) peak: ResourceVector,
    pub(crate) samples: u32,
    pub(crate) cpu: Duration,
    pub(crate) waited: Duration,
}

impl Running {
    pub(crate) fn new(
        replica: ReplicaId,
        process: &EngineProcess,
        spec: &ModelSpec,
        threads: u32,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let (pid, target, now) = (process.pid(), Arc::clone(process.target()), clock.now());
        let health = Arc::new(HealthRecord::new(now));
        let probing = Probing {
            target: Arc::clone(&target),
            path: process.health().to_owned(),
            pace: super::health::Pace::of(&spec.engine),
            pid,
        };
        let watcher = tokio::spawn(watch(probing, Arc::clone(&health), Arc::clone(clock)));
        Self {
            replica,
            pid,
            connections: connection_pool(&target, spec.slots),
            target,
            since: now,
            threads: AtomicU32::new(threads),
            served: AtomicU64::new(0),
            hit: AtomicBool::new(false),
            accounted: Mutex::default(),
            meter: Mutex::new(Meter::new(pid.or_else(|| others_process(spec, process)))),
            health,
            watcher,
        }
    }

    /// Measures it now; the last reading where it can't be measured.
    pub(crate) fn measure(&self, now: Timestamp) -> Reading {
        self.meter.lock().measure(now)
    }

    /// True where a request has found it ready before.
    pub(crate) fn was_hit(&self) -> bool {
        self.hit.load(Ordering::Relaxed)
    }

    /// True once: for the first request that finds it ready.
    pub(crate) fn is_first_hit(&self) -> bool {
        !self.hit.swap(true, Ordering::Relaxed)
    }

    /// It has answered: that is as good as a probe.
    pub(crate) fn note_served(&self, now: Timestamp) {
        self.served.fetch_add(1, Ordering::Relaxed);
        self.health.note_answer(now);
    }

    /// CPU time and waiting for a core that [`reading`](Reading) has beyond what this said before.
    pub(crate) fn unaccounted(&self, reading: &Reading) -> (Duration, Duration) {
        let mut accounted = self.accounted.lock();
        let (cpu, waited) = *accounted;
        *accounted = (reading.cpu, reading.waited);
        (reading.cpu.saturating_sub(cpu), reading.waited.saturating_sub(waited))
    }

    /// How many health probes in a row it has missed.
    pub(crate) fn missed(&self) -> u32 {
        self.health.missed()
    }

    /// How long ago it last said that it is well; zero where it has missed no probe since.
    pub(crate) fn silent(&self, now: Timestamp) -> Duration {
        self.health.silent(now)
    }

    /// Tells it how many threads to compute with.
    pub(crate) async fn set_threads(&self, threads: u32) -> Result<(), String> {
        let body = Bytes::from(format!("{{\"threads\":{threads}}}"));
        let answer = call_once(&self.target, Method::POST, "/threads", body, RETUNE_WITHIN).await;
        match answer {
            Ok(answer) if answer.status == StatusCode::OK => {
                self.threads.store(threads, Ordering::Relaxed);
                Ok(())
            }
            Ok(answer) => Err(format!("it answered {}", answer.status)),
            Err(error) => Err(error.to_string()),
        }
    }
}

/// Somebody else's process that serves `spec` and nothing else, where it is on this host.
fn others_process(spec: &ModelSpec, process: &EngineProcess) -> Option<u32> {
    let alone = matches!(spec.engine, EngineSpec::Url { alone: true, .. });
    alone.then(|| owner_of(process.target().address)).flatten()
}

impl Drop for Running {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

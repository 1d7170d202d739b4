//! An engine that serves: its connections, its health, what it is measured to use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use parking_lot::Mutex;
use plimsoll_core_types::{Clock, Millicores, ReplicaId, ResourceVector, Timestamp};
use plimsoll_cpu::process::ProcessCpu;
use plimsoll_memory::process::ProcessMemory;
use tokio::task::JoinHandle;

use super::connections::{ConnectionPool, connection_pool};
use super::process::EngineProcess;
use crate::http::call_once;

/// How often an engine is asked whether it is well.
const PROBE_EVERY: Duration = Duration::from_millis(250);
/// How long it may take to say so.
const PROBE_WITHIN: Duration = Duration::from_millis(500);

/// An engine that serves. Shared by everybody who sends it requests.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) replica: ReplicaId,
    pub(crate) pid: u32,
    pub(crate) address: SocketAddr,
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

/// What it is measured to use.
#[derive(Debug)]
struct Meter {
    memory: Option<ProcessMemory>,
    cpu: Option<ProcessCpu>,
    last_cpu: Option<(Timestamp, Duration)>,
    reading: Reading,
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

/// What its health probes found.
#[derive(Debug, Default)]
struct HealthRecord {
    missed: AtomicU32,
    answered_at: AtomicU64,
}

impl Running {
    pub(crate) fn new(
        replica: ReplicaId,
        process: &EngineProcess,
        slots: usize,
        threads: u32,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let (pid, address, now) = (process.pid(), process.address(), clock.now());
        let health = Arc::new(HealthRecord::default());
        health.answered_at.store(now.as_nanos(), Ordering::Relaxed);
        let watcher = tokio::spawn(watch(address, Arc::clone(&health), Arc::clone(clock)));
        let meter = Meter {
            // A process that ended just now can't be opened; its end is noticed elsewhere.
            memory: ProcessMemory::open(pid).ok(),
            cpu: ProcessCpu::open(pid).ok(),
            last_cpu: None,
            reading: Reading::default(),
        };
        Self {
            replica,
            pid,
            address,
            connections: connection_pool(address, slots),
            since: now,
            threads: AtomicU32::new(threads),
            served: AtomicU64::new(0),
            hit: AtomicBool::new(false),
            accounted: Mutex::default(),
            meter: Mutex::new(meter),
            health,
            watcher,
        }
    }

    /// Measures it now; the last reading where it can't be measured.
    pub(crate) fn measure(&self, now: Timestamp) -> Reading {
        let mut meter = self.meter.lock();
        meter.measure(now);
        meter.reading
    }

    /// True once: for the first request that finds it ready.
    pub(crate) fn is_first_hit(&self) -> bool {
        !self.hit.swap(true, Ordering::Relaxed)
    }

    pub(crate) fn note_served(&self) {
        self.served.fetch_add(1, Ordering::Relaxed);
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
        self.health.missed.load(Ordering::Relaxed)
    }

    /// How long ago it last said that it is well; zero where it has missed no probe since.
    pub(crate) fn silent(&self, now: Timestamp) -> Duration {
        if self.missed() == 0 {
            return Duration::ZERO;
        }
        let answered = Timestamp::from_nanos(self.health.answered_at.load(Ordering::Relaxed));
        now.saturating_since(answered)
    }

    /// Tells it how many threads to compute with.
    pub(crate) async fn set_threads(&self, threads: u32) -> Result<(), String> {
        let body = Bytes::from(format!("{{\"threads\":{threads}}}"));
        let answer = call_once(self.address, Method::POST, "/threads", body, PROBE_WITHIN).await;
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

impl Drop for Running {
    fn drop(&mut self) {
        self.watcher.abort();
    }
}

impl Meter {
    fn measure(&mut self, now: Timestamp) {
        let memory = self.memory.as_ref().and_then(|memory| memory.sample().ok());
        if let Some(memory) = memory {
            // File-backed pages can be dropped by the kernel; what only this process can give
            // back is its anonymous memory.
            self.reading.used = self.reading.used.with_memory(memory.anonymous);
            self.reading.samples = self.reading.samples.saturating_add(1);
        }
        if let Some(cpu) = self.cpu.as_ref().and_then(|cpu| cpu.sample(now).ok()) {
            self.reading.cpu = cpu.cpu;
            self.reading.waited = cpu.waited;
            if let Some((then, before)) = self.last_cpu {
                let elapsed = now.saturating_since(then).as_secs_f64();
                let busy = cpu.cpu.saturating_sub(before).as_secs_f64();
                if elapsed > 0.0 {
                    let cores = Millicores::from_f64(busy / elapsed * 1000.0);
                    self.reading.used = self.reading.used.with_cpu(cores);
                }
            }
            self.last_cpu = Some((now, cpu.cpu));
        }
        self.reading.peak = self.reading.peak.max(&self.reading.used);
    }
}

/// Asks an engine again and again whether it is well.
async fn watch(address: SocketAddr, health: Arc<HealthRecord>, clock: Arc<dyn Clock>) {
    loop {
        tokio::time::sleep(PROBE_EVERY).await;
        let asked = call_once(address, Method::GET, "/health", Bytes::new(), PROBE_WITHIN).await;
        if asked.is_ok_and(|answer| answer.status == StatusCode::OK) {
            health.answered_at.store(clock.now().as_nanos(), Ordering::Relaxed);
            health.missed.store(0, Ordering::Relaxed);
        } else {
            health.missed.fetch_add(1, Ordering::Relaxed);
        }
    }
}

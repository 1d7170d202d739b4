//! What the models of a fleet share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use plimsoll_core_types::ResourcePool as _;
use plimsoll_core_types::{
    Bytes, Clock, ConsumerId, CpuManager, ReplicaId, ResourceVector, Timestamp,
};
use plimsoll_memory::footprint::{Configuration, Footprints, Learned};
use plimsoll_pool::LedgerPool;

use super::process::{EngineProcess, LaunchError};
use super::running::Running;
use super::spec::{EngineCommand, ModelSpec};
use crate::journal::Journal;
use crate::store::Store;

/// What the models of a fleet share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pool: Arc<LedgerPool>,
    pub(crate) cpu: Arc<dyn CpuManager>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) command: EngineCommand,
    pub(crate) store: Option<Arc<Store>>,
    footprints: Mutex<Footprints>,
    /// What the store holds of them.
    kept: Mutex<Vec<(String, Learned)>>,
    replicas: AtomicU64,
}

/// What nobody has measured or declared is taken to need this at most, and a quarter of what
/// there is.
const UNKNOWN: Bytes = Bytes::from_gib(2);

impl World {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        pool: Arc<LedgerPool>,
        cpu: Arc<dyn CpuManager>,
        journal: Arc<Journal>,
        command: EngineCommand,
        store: Option<Arc<Store>>,
    ) -> Self {
        let mut footprints = Footprints::default();
        let now = clock.now();
        for (name, learned) in store.iter().flat_map(|store| store.learned()) {
            if let Ok(consumer) = ConsumerId::new(&name) {
                footprints.restore(&consumer, Configuration::DEFAULT, learned, now);
            }
        }
        let (footprints, replicas) = (Mutex::new(footprints), AtomicU64::new(1));
        Self {
            clock,
            pool,
            cpu,
            journal,
            command,
            store,
            footprints,
            kept: Mutex::default(),
            replicas,
        }
    }

    /// Keeps what has been learned for the next run.
    pub(crate) fn keep_learned(&self) {
        let Some(store) = &self.store else { return };
        let mut learned: Vec<_> = self
            .footprints
            .lock()
            .iter()
            .map(|(consumer, _, learned)| (consumer.to_string(), learned))
            .collect();
        learned.sort_by(|(a, _), (b, _)| a.cmp(b));
        let mut kept = self.kept.lock();
        // Sample counts rise all the time, which is no news.
        let news = |(name, learned): &(String, Learned)| {
            let known = kept.iter().find(|(other, _)| other == name);
            known.is_none_or(|(_, known)| known.bytes != learned.bytes)
        };
        if learned.iter().any(news) {
            store.keep_learned(&learned);
            *kept = learned;
        }
    }

    /// What `consumer` is believed to need: what was learned, else a cautious guess.
    pub(crate) fn believed_of(&self, consumer: &ConsumerId) -> Bytes {
        let learned = self.footprints.lock().believed(consumer);
        let quarter = Bytes::new(self.pool.monitor().limit.memory().get() / 4);
        learned.map_or_else(|| UNKNOWN.min(quarter), |learned| learned.bytes)
    }

    /// Learns what `consumer` was measured to need.
    pub(crate) fn learn_of(&self, consumer: &ConsumerId, declared: Bytes, peak: Bytes) {
        let now = self.clock.now();
        self.footprints.lock().observe(consumer, declared, peak, now);
    }

    /// What `spec`'s engine is believed to need: what was learned, else what was declared.
    pub(crate) fn believed(&self, spec: &ModelSpec) -> ResourceVector {
        let learned = self.footprints.lock().believed(&ConsumerId::from(&spec.id));
        learned.map_or(spec.declared, |learned| spec.declared.with_memory(learned.bytes))
    }

    /// Learns what `spec`'s engine was measured to need.
    pub(crate) fn learn(&self, spec: &ModelSpec, peak: Bytes, now: Timestamp) {
        let consumer = ConsumerId::from(&spec.id);
        self.footprints.lock().observe(&consumer, spec.declared.memory(), peak, now);
    }

    /// How many threads `spec`'s engine should start with.
    pub(crate) fn threads_for(&self, spec: &ModelSpec) -> u32 {
        let plan = self.cpu.optimize_threads();
        let own = plan.assignments.iter().find(|a| a.consumer.as_str() == spec.id.as_str());
        own.map_or(1, |assignment| assignment.threads)
    }

    /// Launches an engine for `spec`, and waits until it serves.
    pub(super) async fn launch(
        &self,
        spec: &ModelSpec,
        threads: u32,
        progress: impl Fn(f64),
    ) -> Result<(EngineProcess, Arc<Running>), LaunchError> {
        let mut process = EngineProcess::launch(&self.command, spec, threads).await?;
        process.ready(spec.load_within, progress).await?;
        let replica = ReplicaId::new(self.replicas.fetch_add(1, Ordering::Relaxed));
        let running = Running::new(replica, &process, spec, threads, &self.clock);
        Ok((process, Arc::new(running)))
    }
}

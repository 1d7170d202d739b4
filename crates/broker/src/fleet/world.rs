//! What the models of a fleet share.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::ResourcePool as _;
use plimsoll_core_types::{
    Bytes, Clock, ConsumerId, CpuManager, ModelId, ReplicaId, ResourceVector, Timestamp,
};
use plimsoll_memory::footprint::{Configuration, Footprints, Learned};
use plimsoll_pool::LedgerPool;

use super::company::Company;
use super::guards::{Guarded, Guards};
use super::launch::Hands;
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
    /// Where engines are started that may outlive this process.
    pub(crate) guards: Option<Guards>,
    /// Who may be loaded beside whom.
    pub(crate) company: Arc<Company>,
    /// How long each model's last load took.
    loads: Mutex<BTreeMap<String, Duration>>,
    footprints: Mutex<Footprints>,
    /// What the store holds of them.
    kept: Mutex<Vec<(String, Learned)>>,
    replicas: AtomicU64,
}

/// How long an engine that has served may take to say that it still does.
const AT_ONCE: Duration = Duration::from_secs(10);
/// What nobody has measured or declared is taken to need this at most, and a quarter of what
/// there is.
const UNKNOWN: Bytes = Bytes::from_gib(2);

/// What is kept over the end of this process.
#[derive(Debug, Default)]
pub(crate) struct Lasting {
    pub(crate) store: Option<Arc<Store>>,
    pub(crate) guards: Option<Guards>,
    pub(crate) learned: Vec<(String, Learned)>,
    pub(crate) loads: BTreeMap<String, Duration>,
}

impl World {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        pool: Arc<LedgerPool>,
        cpu: Arc<dyn CpuManager>,
        journal: Arc<Journal>,
        command: EngineCommand,
        lasting: Lasting,
    ) -> Self {
        let mut footprints = Footprints::default();
        let now = clock.now();
        for (name, learned) in lasting.learned {
            if let Ok(consumer) = ConsumerId::new(&name) {
                footprints.restore(&consumer, Configuration::DEFAULT, learned, now);
            }
        }
        Self {
            clock,
            pool,
            cpu,
            journal,
            command,
            store: lasting.store,
            guards: lasting.guards,
            company: Arc::default(),
            loads: Mutex::new(lasting.loads),
            footprints: Mutex::new(footprints),
            kept: Mutex::default(),
            replicas: AtomicU64::new(1),
        }
    }

    /// How long `model`'s last load took, where that is known.
    pub(super) fn last_load(&self, model: &ModelId) -> Option<Duration> {
        self.loads.lock().get(model.as_str()).copied()
    }

    /// Keeps how long a load took.
    pub(super) fn note_load(&self, model: &ModelId, took: Duration) {
        self.loads.lock().insert(model.to_string(), took);
        if let Some(store) = &self.store {
            store.keep_load(model.as_str(), took);
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

    /// How many threads `spec`'s engine should start with: what the plan says of one that was seen
    /// at work, else as many as its lease has cores, of those that there are.
    pub(crate) fn threads_for(&self, spec: &ModelSpec) -> u32 {
        let plan = self.cpu.optimize_threads();
        let own = plan.assignments.iter().find(|a| a.consumer.as_str() == spec.id.as_str());
        let declared = spec.declared.cpu().min(plan.cores).as_cores().ceil().max(1.0);
        own.map_or(declared as u32, |assignment| assignment.threads)
    }

    /// Launches an engine for `spec` under a lease of `amount`, and waits until it serves.
    pub(super) async fn launch(
        &self,
        spec: &ModelSpec,
        amount: ResourceVector,
        progress: impl Fn(f64),
    ) -> Result<(EngineProcess, Arc<Running>), LaunchError> {
        let threads = self.threads_for(spec);
        let hands = Hands { command: &self.command, guards: self.guards.as_ref() };
        let mut process = EngineProcess::launch(hands, spec, threads, amount).await?;
        process.ready(spec.load_within, progress).await?;
        Ok(self.serving(process, spec, threads))
    }

    /// Takes over an engine that another broker has started for `spec`, and waits until it serves.
    /// One that has served does so at once, or never.
    pub(super) async fn take_over(
        &self,
        spec: &ModelSpec,
        guarded: Guarded,
        progress: impl Fn(f64),
    ) -> Result<(EngineProcess, Arc<Running>), LaunchError> {
        let (threads, was_ready) = (guarded.note().threads, guarded.note().ready);
        let within = if was_ready { spec.load_within.min(AT_ONCE) } else { spec.load_within };
        let mut process = EngineProcess::take_over(spec, guarded).await?;
        if let Err(error) = process.ready(within, progress).await {
            process.kill().await;
            return Err(error);
        }
        Ok(self.serving(process, spec, threads))
    }

    fn serving(
        &self,
        process: EngineProcess,
        spec: &ModelSpec,
        threads: u32,
    ) -> (EngineProcess, Arc<Running>) {
        let replica = ReplicaId::new(self.replicas.fetch_add(1, Ordering::Relaxed));
        let running = Running::new(replica, &process, spec, threads, &self.clock);
        (process, Arc::new(running))
    }
}

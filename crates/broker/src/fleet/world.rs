//! What the models of a fleet share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Bytes, Clock, ConsumerId, CpuManager, ReplicaId, ResourceVector, Timestamp,
};
use plimsoll_memory::footprint::Footprints;
use plimsoll_pool::LedgerPool;

use super::process::{EngineProcess, LaunchError};
use super::running::Running;
use super::spec::{EngineCommand, ModelSpec};
use crate::journal::Journal;

/// How long a load may take in all, whatever its model declares.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// What the models of a fleet share.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) pool: Arc<LedgerPool>,
    pub(crate) cpu: Arc<dyn CpuManager>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) command: EngineCommand,
    footprints: Mutex<Footprints>,
    replicas: AtomicU64,
}

impl World {
    pub(crate) fn new(
        clock: Arc<dyn Clock>,
        pool: Arc<LedgerPool>,
        cpu: Arc<dyn CpuManager>,
        journal: Arc<Journal>,
        command: EngineCommand,
    ) -> Self {
        let footprints = Mutex::new(Footprints::default());
        Self { clock, pool, cpu, journal, command, footprints, replicas: AtomicU64::new(1) }
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
    ) -> Result<(EngineProcess, Arc<Running>), LaunchError> {
        let mut process = EngineProcess::launch(&self.command, spec, threads).await?;
        process.ready(READY_WITHIN).await?;
        let replica = ReplicaId::new(self.replicas.fetch_add(1, Ordering::Relaxed));
        let running = Running::new(replica, &process, spec.slots, threads, &self.clock);
        Ok((process, Arc::new(running)))
    }
}

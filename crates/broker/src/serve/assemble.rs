//! Puts a broker together from a config and what this host has.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    CacheOptimizer, CapacityProbe as _, Clock, Fleet, ResourceOptimizer as _, ResourcePredictor,
    ResourceVector, SystemClock, SystemComponents,
};
use plimsoll_cpu::{CpuConfig, CpuService, HostCpu};
use plimsoll_integration::{Exporter, Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_load::{
    Admission, AdmissionConfig, Balancer, BalancerConfig, LoadConfig, LoadService,
};
use plimsoll_memory::{HostMemory, MemoryConfig, MemoryService};
use plimsoll_pool::LedgerPool;
use plimsoll_predict::{Predictor, PredictorConfig};

use super::broker::{Broker, Parts};
use super::settings::{Settings, budget, ledger, specs};
use super::{ServeError, recover};
use crate::config::Config;
use crate::fleet::{EngineCommand, Engines, Guards, Lasting, ModelSpec, World};
use crate::journal::Journal;
use crate::lease::{Book, Given};
use crate::store::Store;
use crate::wall::Wall;

/// A waiter that has waited this long may have a model evicted that is at work.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a broker stands on.
pub(crate) struct Foundation {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) memory: Arc<HostMemory>,
    pub(crate) cpu: Arc<HostCpu>,
    /// What all models together may take.
    pub(crate) budget: ResourceVector,
    pub(crate) specs: Vec<ModelSpec>,
    pub(crate) lasting: Lasting,
    /// Those of other programs that outlived the last broker.
    pub(crate) leases: Vec<Given>,
    pub(crate) caches: Vec<Arc<dyn CacheOptimizer>>,
    pub(crate) plan: PlanConfig,
}

/// A broker of `config` on this host. Nothing is loaded yet.
pub(crate) async fn assemble(config: &Config) -> Result<Broker, ServeError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let (lasting, leases) = lasting(config)?;
    let (memory, cpu) = (Arc::new(HostMemory::system()), Arc::new(HostCpu::system()));
    let capacity = capacity(&memory, &cpu, clock.as_ref())?;
    let budget = budget(config, &capacity);
    let (specs, plan) = (specs(config, &budget), plan(config, budget));
    let caches = Vec::new();
    build(Foundation { clock, memory, cpu, budget, specs, lasting, leases, caches, plan }, config)
        .await
}

/// A broker of `config` on `foundation`. Nothing is loaded yet.
pub(crate) async fn build(foundation: Foundation, config: &Config) -> Result<Broker, ServeError> {
    let fail = |step| move |error: &dyn std::fmt::Display| ServeError::internal(step, error);
    let Foundation { clock, memory, cpu, budget, specs, lasting, leases, caches, plan } =
        foundation;
    let exporter = Exporter::install().map_err(|error| fail("exporting metrics")(&error))?;
    let pool = LedgerPool::new(budget, ledger(config, &budget), Arc::clone(&clock))
        .map_err(|error| fail("making the pool")(&error))?;
    let pool = Arc::new(pool);
    let cpu_service =
        Arc::new(CpuService::new(Arc::clone(&cpu), Arc::clone(&clock), CpuConfig::default()));
    let journal = Arc::new(Journal::new());
    let program = std::env::current_exe().map_err(|error| fail("finding this program")(&error))?;
    let world = World::new(
        Arc::clone(&clock),
        Arc::clone(&pool),
        Arc::clone(&cpu_service) as _,
        Arc::clone(&journal),
        EngineCommand { program },
        lasting,
    );
    world.company.set_groups(config.groups.groups.clone());
    let world = Arc::new(world);
    let book = Book::new(Arc::clone(&world));
    let inherited = recover::recover(&world, &book, leases, &specs).await;
    let engines = Arc::new(Engines::new(Arc::clone(&world), specs, inherited));
    let admission = Arc::new(Admission::new(admission_config(config), Arc::clone(&clock)));
    let managers = Managers::new(&clock, &memory, &admission)?;
    let components = SystemComponents {
        clock: Arc::clone(&clock),
        pool: Arc::clone(&pool) as _,
        fleet: Arc::clone(&engines) as Arc<dyn Fleet>,
        probes: vec![memory, cpu],
        memory: Some(managers.memory),
        cpu: Some(cpu_service),
        caches,
        predictor: Some(managers.predictor),
        load: Some(managers.load),
    };
    let optimizer = Optimizer::new(OptimizerConfig::new(plan))
        .map_err(|error| fail("making the optimizer")(&error))?;
    let integration =
        optimizer.integrate(components).await.map_err(|error| fail("integrating")(&error))?;
    let parts = Parts {
        wall: Wall::beside(&clock),
        clock,
        engines,
        pool,
        journal,
        world,
        book,
        optimizer,
        integration,
        admission,
        exporter,
        host: config.host.clone(),
        budget,
    };
    Ok(Broker::new(parts, Settings::new(config)))
}

/// What outlives this process, and the leases that outlived the last one.
fn lasting(config: &Config) -> Result<(Lasting, Vec<Given>), ServeError> {
    let Some(folder) = &config.server.state else { return Ok((Lasting::default(), Vec::new())) };
    let (store, kept) = Store::open(folder)?;
    let guards = Guards::new(&folder.join("engines"), config.server.adopt_grace)
        .map_err(|error| ServeError::internal("making the folder of engines", &error))?;
    let (store, guards) = (Some(Arc::new(store)), Some(guards));
    let lasting = Lasting { store, guards, learned: kept.learned, loads: kept.loads };
    Ok((lasting, kept.leases))
}

/// Answers may take long, and are not broken off lightly: idle models give way long before.
fn plan(config: &Config, budget: ResourceVector) -> PlanConfig {
    let reserve = config.host.reserve;
    let groups = config.groups.groups.clone();
    PlanConfig { reserve, patience: PATIENCE, groups, ..PlanConfig::new(budget) }
}

/// Those that the optimizer asks, beside the pool and the fleet.
struct Managers {
    memory: Arc<MemoryService>,
    predictor: Arc<dyn ResourcePredictor>,
    load: Arc<LoadService>,
}

impl Managers {
    fn new(
        clock: &Arc<dyn Clock>,
        memory: &Arc<HostMemory>,
        admission: &Arc<Admission>,
    ) -> Result<Self, ServeError> {
        let predictor = Predictor::new(PredictorConfig::default())
            .map_err(|error| ServeError::internal("making the predictor", &error))?;
        let predictor: Arc<dyn ResourcePredictor> = Arc::new(predictor);
        let load = LoadService::new(
            Arc::new(Balancer::new(BalancerConfig::default())),
            Arc::clone(admission),
            Some(Arc::clone(&predictor)),
            Arc::clone(clock),
            LoadConfig::default(),
        );
        let memory = MemoryService::new(
            Arc::clone(memory) as _,
            None,
            Arc::clone(clock),
            MemoryConfig::default(),
        );
        Ok(Self { memory: Arc::new(memory), predictor, load: Arc::new(load) })
    }
}

fn admission_config(config: &Config) -> AdmissionConfig {
    let weight = |(tenant, config): (&_, &crate::config::TenantConfig)| {
        let tenant: &plimsoll_core_types::TenantId = tenant;
        (tenant.clone(), plimsoll_core_types::Ratio::saturating(config.weight as f64))
    };
    AdmissionConfig {
        limit: config.server.requests,
        most: config.server.requests,
        max_waiting: config.server.queue,
        wait_at_most: config.server.within,
        weights: config.tenants.iter().map(weight).collect(),
        ..AdmissionConfig::default()
    }
}

/// What this host has, within this process's limits.
pub(crate) fn capacity(
    memory: &HostMemory,
    cpu: &HostCpu,
    clock: &dyn Clock,
) -> Result<ResourceVector, ServeError> {
    let now = clock.now();
    let memory = memory.sample(now)?.capacity.memory();
    let cores = cpu.sample(now)?.capacity.cpu();
    Ok(ResourceVector::new().with_memory(memory).with_cpu(cores))
}

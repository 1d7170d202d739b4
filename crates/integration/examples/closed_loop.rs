//! Three models on a host where two fit: the loop evicts, learns what models really need, loads
//! again, and says why. In virtual time, so that it is done at once:
//! `cargo run -p plimsoll-integration --example closed_loop`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, Bytes, CapacityProbe, Clock, ConsumerId, EngineSnapshot,
    EngineState, Fleet, LoadMetrics, ManualClock, ModelId, PlannedAction, Priority, ProbeError,
    ProbeReading, Resource, ResourceOptimizer as _, ResourcePool as _, ResourceRequest,
    ResourceVector, SystemComponents, Timestamp,
};
use plimsoll_integration::{Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_pool::{LedgerConfig, LedgerPool};

type Error = Box<dyn std::error::Error>;

fn gib(count: f64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_f64(count * (1_u64 << 30) as f64))
}

/// Engines that load and stop at once. Real ones are processes, and do as they are told in their
/// own time; the loop sees by their states how far they are.
#[derive(Debug)]
struct Models {
    clock: Arc<ManualClock>,
    pool: Arc<LedgerPool>,
    engines: Mutex<Vec<EngineSnapshot>>,
    leases: Mutex<BTreeMap<ModelId, Resource>>,
}

impl Models {
    fn new(clock: &Arc<ManualClock>, pool: &Arc<LedgerPool>) -> Self {
        let (clock, pool) = (Arc::clone(clock), Arc::clone(pool));
        Self { clock, pool, engines: Mutex::default(), leases: Mutex::default() }
    }

    /// Makes a model known: what its owner says that it needs, and what it is found to use.
    fn add(&self, name: &str, declared: f64, uses: f64) -> Result<(), Error> {
        self.engines.lock().push(EngineSnapshot {
            model: ModelId::new(name)?,
            state: EngineState::Stopped,
            priority: Priority::Normal,
            pinned: false,
            declared: gib(declared),
            believed: gib(declared),
            lease: None,
            promised: ResourceVector::ZERO,
            used: ResourceVector::ZERO,
            peak: gib(uses),
            samples: 0,
            slots: 4,
            threads: 0,
            in_progress: 0,
            waiting: 0,
            arrivals: 0,
            last_used: None,
            ready_since: None,
            load_time: Duration::from_secs(2),
            silent: Duration::ZERO,
            missed_probes: 0,
        });
        Ok(())
    }

    fn change<T>(&self, model: &str, change: impl FnOnce(&mut EngineSnapshot) -> T) -> Option<T> {
        let mut engines = self.engines.lock();
        engines.iter_mut().find(|engine| engine.model.as_str() == model).map(change)
    }

    /// A request comes: it is served at once where its model is loaded, else it asks for a lease,
    /// which takes until there is room.
    async fn ask(self: Arc<Self>, model: ModelId) -> Result<(), Error> {
        let now = self.clock.now();
        let needs = self.change(model.as_str(), |engine| {
            engine.arrivals += 1;
            engine.last_used = Some(now);
            (engine.state == EngineState::Stopped).then(|| {
                engine.state = EngineState::Waiting;
                engine.believed
            })
        });
        let Some(Some(needs)) = needs else { return Ok(()) };
        let request = ResourceRequest::new(ConsumerId::from(&model), needs)?;
        let lease = self.pool.allocate(request).await?;
        let now = self.clock.now();
        self.change(model.as_str(), |engine| {
            engine.state = EngineState::Ready;
            engine.lease = Some(lease.id());
            engine.promised = needs;
            engine.used = engine.peak;
            engine.ready_since = Some(now);
        });
        self.leases.lock().insert(model, lease);
        Ok(())
    }

    /// What a probe of the engines would do now and then.
    fn measure(&self) {
        for engine in self.engines.lock().iter_mut().filter(|e| e.state == EngineState::Ready) {
            engine.samples += 1;
            if engine.samples >= 8 {
                engine.believed = engine.peak;
            }
        }
    }
}

#[async_trait]
impl Fleet for Models {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.engines.lock().clone()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, planned: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        match &planned.action {
            Action::Evict { model, .. } => {
                self.change(model.as_str(), |engine| {
                    engine.state = EngineState::Stopped;
                    (engine.lease, engine.ready_since) = (None, None);
                    (engine.promised, engine.used) = (ResourceVector::ZERO, ResourceVector::ZERO);
                });
                self.leases.lock().remove(model);
            }
            Action::ResizeLease { model, to } => {
                let mut leases = self.leases.lock();
                let unknown = || ActionError::UnknownModel { model: model.clone() };
                let resized = leases.get_mut(model).ok_or_else(unknown)?.resize(*to);
                resized.map_err(|error| ActionError::Failed {
                    action: planned.action.to_string(),
                    step: "resizing its lease",
                    cause: error.to_string(),
                })?;
                self.change(model.as_str(), |engine| engine.promised = *to);
            }
            other => return Err(ActionError::Unsupported { action: other.to_string() }),
        }
        Ok(ActionOutcome::Done)
    }
}

/// Sixteen GiB, of which others use one.
#[derive(Debug)]
struct Machine(Arc<Models>);

impl CapacityProbe for Machine {
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        let own = self.0.engines.lock().iter().fold(gib(1.0), |sum, e| sum.saturating_add(&e.used));
        let (capacity, notes) = (gib(16.0), Vec::new());
        Ok(ProbeReading { at: now, capacity, used: own, pressure: None, notes })
    }
}

#[tokio::main(flavor = "current_thread")]
#[expect(clippy::print_stdout, reason = "it is what the example is for")]
async fn main() -> Result<(), Error> {
    let clock = Arc::new(ManualClock::new());
    let own = Arc::clone(&clock) as Arc<dyn Clock>;
    let pool = Arc::new(LedgerPool::new(gib(8.0), LedgerConfig::default(), own)?);
    let models = Arc::new(Models::new(&clock, &pool));
    models.add("chat", 5.0, 3.5)?;
    models.add("code", 3.0, 2.5)?;
    models.add("embed", 3.0, 1.0)?;

    let optimizer = Optimizer::new(OptimizerConfig::new(PlanConfig::new(gib(8.0))))?;
    let integration = optimizer
        .integrate(SystemComponents {
            clock: Arc::clone(&clock) as _,
            pool: Arc::clone(&pool) as _,
            fleet: Arc::clone(&models) as _,
            probes: vec![Arc::new(Machine(Arc::clone(&models)))],
            memory: None,
            cpu: None,
            caches: Vec::new(),
            predictor: None,
            load: None,
        })
        .await?;
    integration.warnings.iter().for_each(|warning| println!("goes without: {warning}"));

    // Who is asked for when: chat and code from the beginning, embed later, then chat again.
    for tick in 0..240_u32 {
        let asked = match tick {
            0..60 if tick % 4 == 0 => vec!["chat", "code"],
            30..120 if tick % 8 == 0 => vec!["embed", "code"],
            160..240 if tick % 8 == 0 => vec!["chat"],
            _ => Vec::new(),
        };
        for name in asked {
            let (models, model) = (Arc::clone(&models), ModelId::new(name)?);
            tokio::spawn(async move { models.ask(model).await.map_err(|e| e.to_string()) });
        }
        tokio::task::yield_now().await;
        models.measure();
        optimizer.tick().await;
        clock.advance(Duration::from_millis(250));
    }

    for model in ["chat", "code", "embed"] {
        println!("\nwhy {model}:");
        optimizer.why(model).iter().for_each(|line| println!("  {line}"));
    }
    let report = optimizer.validate(&integration);
    println!("\n{} decisions kept, {} taken back", report.kept, report.rolled_back);
    for check in &report.checks {
        println!(
            "{} {} ({})",
            if check.holds { "holds:" } else { "BROKEN:" },
            check.name,
            check.detail
        );
    }
    Ok(())
}

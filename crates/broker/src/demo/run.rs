//! The demo from its start to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_cache::{CacheConfig, CapacityUnit, ManagedCache};
use plimsoll_core_types::{
    Action, Bytes, CacheId, CacheOptimizer, Clock, Decision, EngineState, Fleet, Integration,
    Priority, Reason, ResourceOptimizer as _, ResourcePool as _, SystemClock, SystemComponents,
    SystemSnapshot, TicketId,
};
use plimsoll_cpu::{CpuConfig, CpuService, process::ProcessCpu};
use plimsoll_integration::{Optimizer, OptimizerConfig, PlanConfig};
use plimsoll_load::{
    Admission, AdmissionConfig, Balancer, BalancerConfig, LoadConfig, LoadService,
};
use plimsoll_memory::{MemoryConfig, MemoryService, process::ProcessMemory};
use plimsoll_pool::{LedgerConfig, LedgerPool};
use plimsoll_predict::{Predictor, PredictorConfig};
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use super::catalog::{DemoModel, models};
use super::driver::Driver;
use super::host::Host;
use super::summary::{Measured, Summary};
use super::traffic::arrivals;
use super::view::View;
use super::{DemoArgs, DemoError};
use crate::fleet::{EngineCommand, Engines, Lasting, Phase, World};
use crate::front::{self, AnswerKey, Front};
use crate::journal::{Event, EventKind, Journal};
use crate::output::line;

/// How often the loop goes round.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How long a request may take.
pub(super) const WITHIN: Duration = Duration::from_secs(20);
/// Memory for answers that were given before.
const ANSWERS: Bytes = Bytes::from_mib(4);
/// When the hang is injected, as a share of the traffic's length.
const HANG_AT: f64 = 0.55;
/// The exit code of a demo that was interrupted.
const INTERRUPTED: u8 = 130;

/// Everything that runs during the demo.
struct System {
    clock: Arc<dyn Clock>,
    pool: Arc<LedgerPool>,
    engines: Arc<Engines>,
    journal: Arc<Journal>,
    optimizer: Optimizer,
    integration: Integration,
    front: Arc<Front>,
}

/// Runs the demo; the answer is the process's exit code.
pub(crate) fn run(args: &DemoArgs) -> Result<u8, DemoError> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let host = Host::measure(args, clock.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| DemoError::internal("starting the runtime", &error))?;
    // Leaving this scope drops the runtime, and with it every task that owns an engine's process:
    // they are killed whatever the way out.
    runtime.block_on(async {
        tokio::select! {
            code = demo(args, &host, &clock) => code,
            _ = tokio::signal::ctrl_c() => {
                line("interrupted: every engine is being ended");
                Ok(INTERRUPTED)
            }
        }
    })
}

async fn demo(args: &DemoArgs, host: &Host, clock: &Arc<dyn Clock>) -> Result<u8, DemoError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
        .await
        .map_err(|cause| DemoError::Port { port: args.port, cause })?;
    let address =
        listener.local_addr().map_err(|error| DemoError::internal("reading the port", &error))?;
    let models = models(host.budget.memory(), host.budget.cpu(), args.seed);
    introduce(&models);
    let system = System::assemble(host, clock, &models).await?;
    let arrivals = arrivals(&models, f64::from(args.seconds), args.seed);
    line(&format!(
        "load: {} requests in {} s from seed {} at http://{address}/v1/embeddings",
        arrivals.len(),
        args.seconds,
        args.seed
    ));
    let front = tokio::spawn(front::serve(listener, Arc::clone(&system.front)));
    let driver = Driver::new(address, WITHIN + Duration::from_secs(5), Arc::clone(clock));
    let measured = system.drive(args, &driver, arrivals, &models).await;
    front.abort();
    let summary = Summary::new(args, system.view(), measured, &driver.answered(), &models, host);
    summary.print(&system.journal);
    if args.json {
        line(&summary.json(&system.journal)?);
    }
    Ok(u8::from(summary.invariants_broken() > 0))
}

fn introduce(models: &[DemoModel]) {
    let all: Bytes = models.iter().map(|model| model.spec.declared.memory()).sum();
    line(&format!("models: {} embedded engines that declare {all} together", models.len()));
    for model in models {
        line(&format!("  {:<10} declares {}", model.spec.id, model.spec.declared.memory()));
    }
}

/// What the summary reads of the system.
pub(super) struct Seen {
    pub(super) judged: (u64, u64),
    pub(super) optimizer_broken: u64,
    pub(super) checks: Vec<plimsoll_core_types::Check>,
    pub(super) cache: plimsoll_core_types::CacheMetrics,
    pub(super) alerts: usize,
}

impl System {
    async fn assemble(
        host: &Host,
        clock: &Arc<dyn Clock>,
        models: &[DemoModel],
    ) -> Result<Self, DemoError> {
        let fail = |step| move |error: &dyn std::fmt::Display| DemoError::internal(step, error);
        let pool = LedgerPool::new(host.budget, LedgerConfig::default(), Arc::clone(clock))
            .map_err(|error| fail("making the pool")(&error))?;
        let pool = Arc::new(pool);
        let predictor = Predictor::new(PredictorConfig::default())
            .map_err(|error| fail("making the predictor")(&error))?;
        let predictor: Arc<dyn plimsoll_core_types::ResourcePredictor> = Arc::new(predictor);
        let cpu = Arc::new(CpuService::new(
            Arc::clone(&host.cpu),
            Arc::clone(clock),
            CpuConfig::default(),
        ));
        let memory = Arc::new(MemoryService::new(
            Arc::clone(&host.memory) as _,
            None,
            Arc::clone(clock),
            MemoryConfig::default(),
        ));
        let admission = Arc::new(Admission::new(AdmissionConfig::default(), Arc::clone(clock)));
        let load = LoadService::new(
            Arc::new(Balancer::new(BalancerConfig::default())),
            Arc::clone(&admission),
            Some(Arc::clone(&predictor)),
            Arc::clone(clock),
            LoadConfig::default(),
        );
        let name = CacheId::new("answers").map_err(|error| fail("naming the cache")(&error))?;
        let config = CacheConfig { unit: CapacityUnit::Bytes, ..CacheConfig::new(ANSWERS.get()) };
        let answers = ManagedCache::with_weigher(name, config, Arc::clone(clock), weigh)
            .map_err(|error| fail("making the cache")(&error))?;
        let journal = Arc::new(Journal::new());
        let program =
            std::env::current_exe().map_err(|error| fail("finding this program")(&error))?;
        let world = World::new(
            Arc::clone(clock),
            Arc::clone(&pool),
            Arc::clone(&cpu) as _,
            Arc::clone(&journal),
            EngineCommand { program },
            Lasting::default(),
        );
        let specs = models.iter().map(|model| model.spec.clone()).collect();
        let engines = Arc::new(Engines::new(Arc::new(world), specs, BTreeMap::new()));
        let components = SystemComponents {
            clock: Arc::clone(clock),
            pool: Arc::clone(&pool) as _,
            fleet: Arc::clone(&engines) as Arc<dyn Fleet>,
            probes: vec![Arc::clone(&host.memory) as _, Arc::clone(&host.cpu) as _],
            memory: Some(memory),
            cpu: Some(cpu),
            caches: vec![Arc::new(answers.clone()) as Arc<dyn CacheOptimizer>],
            predictor: Some(predictor),
            load: Some(Arc::new(load)),
        };
        let optimizer = Optimizer::new(OptimizerConfig::new(PlanConfig::new(host.budget)))
            .map_err(|error| fail("making the optimizer")(&error))?;
        let integration =
            optimizer.integrate(components).await.map_err(|error| fail("integrating")(&error))?;
        let front = Arc::new(Front {
            clock: Arc::clone(clock),
            engines: Arc::clone(&engines),
            answers,
            admission,
            within: WITHIN,
        });
        let clock = Arc::clone(clock);
        Ok(Self { clock, pool, engines, journal, optimizer, integration, front })
    }

    /// Runs the traffic and the loop beside it until every request has its answer.
    async fn drive(
        &self,
        args: &DemoArgs,
        driver: &Arc<Driver>,
        arrivals: Vec<super::traffic::Arrival>,
        models: &[DemoModel],
    ) -> Measured {
        let asked = arrivals.len();
        let mut view = View::new(args.all_events);
        let mut events = self.journal.listen();
        let mut measured = Measured::new(self.clock.now());
        let mut own = Own::new();
        let mut waiting = BTreeSet::new();
        let hang_at = self.clock.now() + Duration::from_secs_f64(f64::from(args.seconds) * HANG_AT);
        let mut hung = false;
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let traffic = driver.drive(arrivals);
        tokio::pin!(traffic);
        loop {
            tokio::select! {
                () = &mut traffic => break,
                event = events.recv() => show(&mut view, event),
                _ = ticks.tick() => {
                    self.pool.sweep();
                    let decisions = self.optimizer.tick().await;
                    self.note(&decisions);
                    let Some(snapshot) = self.optimizer.monitor().snapshot else { continue };
                    self.note_waiters(&snapshot, &mut waiting);
                    measured.look(&snapshot, own.measure(snapshot.at));
                    view.snapshot(&snapshot, driver.answered().len(), asked);
                    if !hung && snapshot.at >= hang_at {
                        hung = self.hang(models, &snapshot);
                    }
                }
            }
        }
        while let Ok(event) = events.try_recv() {
            show(&mut view, Ok(event));
        }
        view.finish();
        measured.end(&self.pool.monitor(), own.measure(self.clock.now()));
        measured
    }

    /// Writes down what the optimizer decided and nobody else tells of.
    fn note(&self, decisions: &[Decision]) {
        for decision in decisions {
            let (subject, kind) = match &decision.planned.action {
                Action::SetLimit { .. } => ("the line".to_owned(), EventKind::Decided),
                Action::SetThreads { consumer, .. } => (consumer.to_string(), EventKind::Decided),
                Action::Retune { strategy } => (strategy.cache.to_string(), EventKind::Decided),
                _ => continue,
            };
            let reason = decision.planned.reason.clone();
            self.journal.tell(Event { at: decision.at, kind, subject, reason });
        }
    }

    /// Writes down who has begun to wait, at which position and for what.
    fn note_waiters(&self, snapshot: &SystemSnapshot, known: &mut BTreeSet<TicketId>) {
        known.retain(|ticket| snapshot.pool.waiters.iter().any(|waiter| waiter.id == *ticket));
        for waiter in &snapshot.pool.waiters {
            let Some(lacking) = waiter.lacking else { continue };
            if waiter.priority > Priority::BestEffort && known.insert(waiter.id) {
                let reason = Reason::Waits { position: waiter.position, lacking };
                let (at, subject) = (waiter.since, waiter.consumer.to_string());
                self.journal.tell(Event { at, kind: EventKind::Wait, subject, reason });
            }
        }
    }

    /// Stops the process of an engine that is asked for all the time, so that it hangs. True when
    /// there was one.
    fn hang(&self, models: &[DemoModel], snapshot: &SystemSnapshot) -> bool {
        let ready = |model: &&DemoModel| {
            let mut engines = snapshot.engines.iter();
            engines.any(|e| e.model == model.spec.id && e.state == EngineState::Ready)
        };
        let mut steady = models.iter().filter(|model| model.pattern.is_steady());
        let Some(victim) = steady.find(ready) else { return false };
        let Some(model) = self.engines.model(&victim.spec.id) else { return false };
        let Phase::Ready(running) = model.phase() else { return false };
        if !running.pid.is_some_and(stop_process) {
            return false;
        }
        let (at, subject) = (self.clock.now(), victim.spec.id.to_string());
        let reason = Reason::Requested;
        self.journal.tell(Event { at, kind: EventKind::Injected, subject, reason });
        true
    }

    fn view(&self) -> Seen {
        let report = self.optimizer.validate(&self.integration);
        Seen {
            judged: (report.kept, report.rolled_back),
            optimizer_broken: self.optimizer.invariants_broken(),
            checks: report.checks,
            cache: self.front.answers.monitor(),
            alerts: self.optimizer.monitor().alerts.len(),
        }
    }
}

/// Bytes that an answer takes with its key.
fn weigh(key: &AnswerKey, answer: &bytes::Bytes) -> u32 {
    /// What an entry takes in the cache's own tables, roughly.
    const ENTRY: usize = 200;
    u32::try_from(key.1.len() + answer.len() + ENTRY).unwrap_or(u32::MAX)
}

fn show(view: &mut View, event: Result<Arc<Event>, broadcast::error::RecvError>) {
    match event {
        Ok(event) => view.event(&event),
        Err(broadcast::error::RecvError::Lagged(missed)) => {
            view.print(&format!("          ({missed} events were too many to show)"));
        }
        Err(broadcast::error::RecvError::Closed) => {}
    }
}

/// Makes a process hang, as one does that waits for a device which never answers.
fn stop_process(pid: u32) -> bool {
    let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    pid.is_some_and(|pid| rustix::process::kill_process(pid, rustix::process::Signal::STOP).is_ok())
}

/// This process's own memory and CPU.
struct Own {
    memory: Option<ProcessMemory>,
    cpu: Option<ProcessCpu>,
}

/// What this process takes for itself.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct OwnUse {
    pub(super) anonymous: Option<Bytes>,
    pub(super) cpu: Option<Duration>,
}

impl Own {
    fn new() -> Self {
        let pid = std::process::id();
        Self { memory: ProcessMemory::open(pid).ok(), cpu: ProcessCpu::open(pid).ok() }
    }

    fn measure(&mut self, now: plimsoll_core_types::Timestamp) -> OwnUse {
        OwnUse {
            anonymous: self.memory.as_ref().and_then(|m| m.sample().ok()).map(|m| m.anonymous),
            cpu: self.cpu.as_ref().and_then(|c| c.sample(now).ok()).map(|c| c.cpu),
        }
    }
}

//! The demo from its start to its end.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    AmountOrShare, Bytes, CacheOptimizer, Clock, EngineState, Reason, ResourceOptimizer as _,
    ResourcePool as _, SystemClock, SystemSnapshot,
};
use plimsoll_cpu::process::ProcessCpu;
use plimsoll_integration::PlanConfig;
use plimsoll_memory::process::ProcessMemory;
use tokio::net::TcpListener;
use tokio::sync::broadcast;

use super::answers::{Answers, Remembering, answers};
use super::catalog::{DemoModel, models};
use super::driver::Driver;
use super::host::Host;
use super::summary::{Measured, Summary};
use super::traffic::arrivals;
use super::view::View;
use super::{DemoArgs, DemoError};
use crate::config::{Config, GroupsConfig, HostConfig, ServerConfig};
use crate::fleet::{Lasting, Phase};
use crate::journal::{Event, EventKind};
use crate::output::line;
use crate::serve::{Broker, Foundation, build, listen, note, note_waiters};

/// How often the loop goes round.
pub(super) const TICK: Duration = Duration::from_millis(100);
/// How long a request may take.
pub(super) const WITHIN: Duration = Duration::from_secs(20);
/// When the hang is injected, as a share of the traffic's length.
const HANG_AT: f64 = 0.55;
/// The exit code of a demo that was interrupted.
const INTERRUPTED: u8 = 130;

/// Everything that runs during the demo.
struct System {
    broker: Arc<Broker>,
    answers: Answers,
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
    let remembering = Remembering::new(system.answers.clone(), Arc::clone(&system.broker));
    let front = listen(listener, None, Arc::clone(&system.broker), remembering);
    let front = tokio::spawn(front);
    let driver = Driver::new(address, WITHIN + Duration::from_secs(5), Arc::clone(clock));
    let measured = system.drive(args, &driver, arrivals, &models).await;
    front.abort();
    let summary = Summary::new(args, system.view(), measured, &driver.answered(), &models, host);
    summary.print(&system.broker.journal);
    if args.json {
        line(&summary.json(&system.broker.journal)?);
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
        let answers = answers(clock)?;
        let foundation = Foundation {
            clock: Arc::clone(clock),
            memory: Arc::clone(&host.memory),
            cpu: Arc::clone(&host.cpu),
            budget: host.budget,
            specs: models.iter().map(|model| model.spec.clone()).collect(),
            lasting: Lasting::default(),
            leases: Vec::new(),
            caches: vec![Arc::new(answers.clone()) as Arc<dyn CacheOptimizer>],
            plan: PlanConfig::new(host.budget),
        };
        let broker = build(foundation, &config(host, models)).await;
        let broker = broker.map_err(|error| DemoError::internal("making the broker", &error))?;
        Ok(Self { broker: Arc::new(broker), answers })
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
        let broker = &*self.broker;
        let mut events = broker.journal.listen();
        let mut measured = Measured::new(broker.clock.now());
        let mut own = Own::new();
        let mut waiting = BTreeSet::new();
        let hang_at =
            broker.clock.now() + Duration::from_secs_f64(f64::from(args.seconds) * HANG_AT);
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
                    broker.pool.sweep();
                    let decisions = broker.optimizer.tick().await;
                    note(broker, &decisions);
                    let Some(snapshot) = broker.optimizer.monitor().snapshot else { continue };
                    note_waiters(broker, &snapshot, &mut waiting);
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
        measured.end(&broker.pool.monitor(), own.measure(broker.clock.now()));
        measured
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
        let Some(model) = self.broker.engines.model(&victim.spec.id) else { return false };
        let Phase::Ready(running) = model.phase() else { return false };
        if !running.pid.is_some_and(stop_process) {
            return false;
        }
        let (at, subject) = (self.broker.clock.now(), victim.spec.id.to_string());
        let reason = Reason::Requested;
        self.broker.journal.tell(Event { at, kind: EventKind::Injected, subject, reason });
        true
    }

    fn view(&self) -> Seen {
        let broker = &*self.broker;
        let report = broker.optimizer.validate(&broker.integration);
        Seen {
            judged: (report.kept, report.rolled_back),
            optimizer_broken: broker.optimizer.invariants_broken(),
            checks: report.checks,
            cache: self.answers.monitor(),
            alerts: broker.optimizer.monitor().alerts.len(),
        }
    }
}

/// The same as a config would say it.
fn config(host: &Host, models: &[DemoModel]) -> Config {
    let memory = AmountOrShare::Amount(host.budget.memory());
    let cpu = AmountOrShare::Amount(host.budget.cpu());
    Config {
        host: HostConfig { memory, cpu, ..HostConfig::default() },
        server: ServerConfig { within: WITHIN, ..ServerConfig::default() },
        tenants: BTreeMap::new(),
        models: models.iter().map(DemoModel::config).collect(),
        groups: GroupsConfig::default(),
    }
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

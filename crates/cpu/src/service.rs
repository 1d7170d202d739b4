//! The CPU manager: a thin shell that holds the clock, the host and a lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    Clock, ConsumerId, CpuManager, Task, TaskClass, ThreadPlan, Timestamp, WorkerId, WorkerMoves,
};
use serde::{Deserialize, Serialize};

use crate::account::Accountant;
use crate::balance::Balancer;
use crate::config::CpuConfig;
use crate::host::{Effective, HostCpu, HostSignals};
use crate::process::{Monitor, MonitorReading, WatchError};
use crate::runtime::{self, RuntimeAdvice, RuntimeLoad};
use crate::threads::{EngineLimits, ThreadPlanner, Throughput};
use crate::usage::{ClassUsage, UsageTable};

/// Accounts CPU by task class, evens out workers, and divides the host's cores among engines.
///
/// Does nothing by itself: it learns when it is told, and answers when it is asked.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use plimsoll_core_types::{
///     Clock, ConsumerId, CpuManager, ManualClock, Priority, Task, TaskClass, TaskId, TenantId,
/// };
/// use plimsoll_cpu::{CpuConfig, CpuService, HostCpu};
///
/// let clock = Arc::new(ManualClock::new());
/// let cpu = CpuService::new(Arc::new(HostCpu::system()), clock.clone(), CpuConfig::default());
///
/// clock.advance(Duration::from_secs(1));
/// cpu.track_usage(&Task {
///     id: TaskId::new(1),
///     consumer: ConsumerId::new("llama-8b")?,
///     class: TaskClass { model: None, tenant: TenantId::DEFAULT, priority: Priority::Normal },
///     worker: None,
///     at: clock.now(),
///     cpu: Duration::from_millis(400),
///     waited: Duration::ZERO,
///     work: 12,
///     threads: 1,
/// });
/// let plan = cpu.optimize_threads();
/// assert_eq!(plan.assignments[0].consumer.as_str(), "llama-8b");
/// assert!(plan.assignments[0].threads >= 1);
/// assert_eq!(cpu.status().classes[0].cpu, Duration::from_millis(400));
/// # Ok::<(), plimsoll_core_types::NameError>(())
/// ```
#[derive(Debug)]
pub struct CpuService {
    host: Arc<HostCpu>,
    clock: Arc<dyn Clock>,
    accountant: Accountant,
    state: Mutex<State>,
    /// Apart from the rest, because looking at many processes takes a while.
    monitor: Mutex<Monitor>,
}

#[derive(Debug)]
struct State {
    planner: ThreadPlanner,
    balancer: Balancer,
    usage: UsageTable,
    /// What the accountant had said when it was last asked.
    accounted: BTreeMap<Option<TaskClass>, Duration>,
}

/// What a [`CpuService`] knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CpuStatus {
    /// When.
    pub at: Timestamp,
    /// How many cores there are to count on.
    pub effective: Effective,
    /// How busy they are.
    pub signals: HostSignals,
    /// What each class has used, the one that uses the most now first.
    pub classes: Vec<ClassUsage>,
}

impl CpuService {
    /// A manager of `host`'s cores.
    pub fn new(host: Arc<HostCpu>, clock: Arc<dyn Clock>, config: CpuConfig) -> Self {
        let state = State {
            planner: ThreadPlanner::new(config.threads),
            balancer: Balancer::new(config.balance),
            usage: UsageTable::new(config.most_classes, config.shares_over),
            accounted: BTreeMap::new(),
        };
        let accountant = Accountant::new(&config.account);
        let monitor = Mutex::new(Monitor::new(config.most_processes));
        Self { host, clock, accountant, state: Mutex::new(state), monitor }
    }

    /// Accounts futures by class; what it counts is in the [`status`](Self::status) too.
    pub const fn accountant(&self) -> &Accountant {
        &self.accountant
    }

    /// Watches process `pid` on behalf of `consumer`.
    ///
    /// # Errors
    ///
    /// When it can't be measured, or there are too many.
    pub fn watch(&self, consumer: ConsumerId, pid: u32) -> Result<(), WatchError> {
        self.monitor.lock().watch(consumer, pid)
    }

    /// Watches process `pid` no more.
    pub fn unwatch(&self, pid: u32) {
        self.monitor.lock().unwatch(pid);
    }

    /// Looks at every process that is watched, and at the host.
    pub fn monitor(&self) -> MonitorReading {
        let now = self.clock.now();
        self.monitor.lock().tick(&self.host, now)
    }

    /// How to set up the runtime of the application itself, beside the engines of the last plan.
    pub fn advise_runtime(&self, load: &RuntimeLoad) -> RuntimeAdvice {
        let now = self.clock.now();
        let cores = self.host.effective(now).cores;
        let engines = self.state.lock().planner.planned();
        runtime::advise(cores, engines, load)
    }

    /// Learns how fast an engine was, from somebody who knows for how long it had something to do.
    ///
    /// [`track_usage`](CpuManager::track_usage) learns it too, from CPU time alone. That is right
    /// for engines whose threads all work, or spin at a barrier, while there is something to do
    /// (OpenMP, ggml, BLAS); one whose threads sleep while a serial part runs seems faster with
    /// many threads than it is. Who knows the time itself tells both: this for speed, and
    /// `track_usage` with a `work` of zero for the account.
    pub fn observe_throughput(&self, seen: &Throughput) {
        self.state.lock().planner.observe(seen);
    }

    /// Sets how many threads `consumer` may have, and lets it take part in plans.
    pub fn limit_threads(&self, consumer: &ConsumerId, limits: EngineLimits) {
        let now = self.clock.now();
        self.state.lock().planner.limit(consumer, limits, now);
    }

    /// Forgets how fast `consumer` is, and leaves it out of plans: it is gone for good.
    pub fn forget(&self, consumer: &ConsumerId) {
        self.state.lock().planner.forget(consumer);
    }

    /// Lets `worker` take tasks, even before it has one.
    pub fn add_worker(&self, worker: WorkerId) {
        self.state.lock().balancer.add_worker(worker);
    }

    /// Takes `worker` and its tasks out.
    pub fn remove_worker(&self, worker: WorkerId) {
        self.state.lock().balancer.remove_worker(worker);
    }

    /// What is known now.
    pub fn status(&self) -> CpuStatus {
        let at = self.clock.now();
        let (effective, signals) = (self.host.effective(at), self.host.signals(at));
        let mut state = self.state.lock();
        state.collect(&self.accountant, at);
        let classes = state.usage.list(at);
        drop(state);
        CpuStatus { at, effective, signals, classes }
    }
}

impl State {
    /// Adds what the accountant has counted since it was last asked.
    fn collect(&mut self, accountant: &Accountant, now: Timestamp) {
        for (class, totals) in accountant.totals() {
            let before = self.accounted.insert(class.clone(), totals.cpu).unwrap_or_default();
            let cpu = totals.cpu.saturating_sub(before);
            self.usage.add(class.as_ref(), cpu, Duration::ZERO, 0, now);
        }
    }
}

impl CpuManager for CpuService {
    fn track_usage(&self, task: &Task) {
        let mut state = self.state.lock();
        state.usage.add(Some(&task.class), task.cpu, task.waited, task.work, task.at);
        state.balancer.track(task);
        if task.worker.is_none() {
            state.planner.observe(&throughput(task));
        }
    }

    fn balance_load(&self) -> WorkerMoves {
        let now = self.clock.now();
        self.state.lock().balancer.balance(now)
    }

    fn optimize_threads(&self) -> ThreadPlan {
        let now = self.clock.now();
        let cores = self.host.effective(now).cores;
        self.state.lock().planner.plan(cores, now)
    }
}

/// What a task's CPU time says about how fast its engine is, when all its threads are taken to
/// work, or wait for a core, while it is busy.
fn throughput(task: &Task) -> Throughput {
    let thread_time = task.cpu.saturating_add(task.waited);
    let busy: Duration = thread_time / task.threads.max(1);
    Throughput {
        consumer: task.consumer.clone(),
        priority: task.class.priority,
        at: task.at,
        threads: task.threads,
        work: task.work,
        busy,
    }
}

//! A pool, two models and a cache on which actions come about and are done.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{
    Action, ActionError, ActionOutcome, CachePolicy, Clock, ConsumerId, EngineSnapshot,
    EngineState, Fleet, LoadMetrics, ManualClock, ModelId, PlannedAction, Priority, Resource,
    ResourcePool as _, ResourceRequest, ServiceLevel, SystemComponents,
};
use plimsoll_pool::{LedgerConfig, LedgerPool};

use super::super::{Engines, Host, mem};
use super::others::{Answers, Fails, Three};

/// A host on which everything that is decided is really done.
#[derive(Debug)]
pub(super) struct Stage {
    pub(super) clock: Arc<ManualClock>,
    pub(super) pool: Arc<LedgerPool>,
    pub(super) host: Arc<Host>,
    pub(super) cache: Arc<Answers>,
    engines: Engines,
    leases: Mutex<BTreeMap<String, Resource>>,
    levels: Mutex<BTreeMap<ModelId, ServiceLevel>>,
    refused_below: Mutex<Option<Priority>>,
    pub(super) fails: Arc<Fails>,
}

impl Stage {
    /// A pool of 500 MiB, a model `a` of 300 MiB that serves, and a cache of 200 MiB.
    pub(super) fn new() -> Self {
        let clock = Arc::new(ManualClock::new());
        clock.advance(Duration::from_secs(100));
        let own = Arc::clone(&clock) as Arc<dyn Clock>;
        let pool = LedgerPool::new(mem(500), LedgerConfig::default(), own).unwrap();
        let host = Host { fails: AtomicBool::new(false), used: Mutex::new(0) };
        let fails = Arc::<Fails>::default();
        let cache = Answers {
            policy: Mutex::new(CachePolicy::Sieve),
            bytes: Mutex::new(200),
            lookups: AtomicU64::new(0),
            fails: Arc::clone(&fails),
        };
        let stage = Self {
            clock,
            pool: Arc::new(pool),
            host: Arc::new(host),
            cache: Arc::new(cache),
            engines: Engines::default(),
            leases: Mutex::default(),
            levels: Mutex::default(),
            refused_below: Mutex::default(),
            fails,
        };
        stage.engines.add("a", 300, None);
        stage.engines.add("b", 150, None);
        stage.start("a");
        let answers = stage.lease("answers", 200).expect("there is room");
        stage.leases.lock().insert("answers".to_owned(), answers);
        stage
    }

    fn lease(&self, name: &str, mib: u64) -> Option<Resource> {
        let request = ResourceRequest::new(ConsumerId::new(name).unwrap(), mem(mib)).unwrap();
        self.pool.try_allocate(request).unwrap()
    }

    pub(super) fn with<T>(&self, model: &str, change: impl FnOnce(&mut EngineSnapshot) -> T) -> T {
        let mut engines = self.engines.all.lock();
        change(engines.iter_mut().find(|engine| engine.model.as_str() == model).unwrap())
    }

    fn start(&self, model: &str) {
        let mib = self.with(model, |e| e.believed.memory().get() >> 20);
        let Some(lease) = self.lease(model, mib) else { return };
        let now = self.clock.now();
        self.with(model, |engine| {
            engine.state = EngineState::Ready;
            engine.lease = Some(lease.id());
            engine.promised = *lease.amount();
            (engine.used, engine.peak) = (engine.promised, engine.promised);
            engine.ready_since = Some(now);
            engine.threads = 1;
        });
        self.leases.lock().insert(model.to_owned(), lease);
    }

    pub(super) fn resize(&self, name: &str, change: impl FnOnce(u64) -> u64) -> u64 {
        let mut leases = self.leases.lock();
        let lease = leases.get_mut(name).unwrap();
        let mib = change(lease.amount().memory().get() >> 20);
        lease.resize(mem(mib)).unwrap();
        mib
    }

    /// All that actions change.
    pub(super) fn looks(&self) -> String {
        let engines = self.engines.all.lock();
        let engines = engines
            .iter()
            .map(|e| (e.state, e.promised.memory(), e.threads, e.slots, e.missed_probes));
        format!(
            "{:?} {} {:?} {:?} {} {}",
            engines.collect::<Vec<_>>(),
            self.pool.monitor().limit,
            self.levels.lock(),
            self.refused_below.lock(),
            self.cache.policy.lock(),
            self.cache.bytes.lock(),
        )
    }

    pub(super) fn components(self: &Arc<Self>) -> SystemComponents {
        SystemComponents {
            clock: Arc::clone(&self.clock) as _,
            pool: Arc::clone(&self.pool) as _,
            fleet: Arc::clone(self) as _,
            probes: vec![Arc::clone(&self.host) as _],
            memory: None,
            cpu: Some(Arc::new(Three)),
            caches: vec![Arc::clone(&self.cache) as _],
            predictor: None,
            load: None,
        }
    }
}

#[async_trait]
impl Fleet for Stage {
    fn engines(&self) -> Vec<EngineSnapshot> {
        self.engines.engines()
    }

    fn traffic(&self) -> Option<LoadMetrics> {
        None
    }

    async fn apply(&self, planned: &PlannedAction) -> Result<ActionOutcome, ActionError> {
        if self.fails.now() {
            let (action, cause) = (planned.action.to_string(), "not today".to_owned());
            return Err(ActionError::Failed { action, step: "beginning", cause });
        }
        match &planned.action {
            Action::Prewarm { model } => self.start(model.as_str()),
            Action::Evict { model, .. } => {
                self.leases.lock().remove(model.as_str());
                self.engines.stop(model);
                self.with(model.as_str(), |e| (e.promised, e.used) = (mem(0), mem(0)));
            }
            Action::Replace { model } => self.with(model.as_str(), |e| e.missed_probes = 0),
            Action::ResizeLease { model, to } => {
                self.resize(model.as_str(), |_| to.memory().get() >> 20);
                self.with(model.as_str(), |e| (e.promised, e.used, e.peak) = (*to, *to, *to));
            }
            Action::SetLimit { limit } => self.pool.set_limit(*limit),
            Action::SetThreads { consumer, threads } => {
                self.with(consumer.as_str(), |e| e.threads = *threads);
            }
            Action::Scale { model, replicas } => {
                self.with(model.as_str(), |e| (e.slots, e.waiting) = (*replicas as usize, 0));
            }
            Action::Shed { below } => {
                *self.refused_below.lock() = *below;
                self.with("a", |e| e.waiting /= 2);
            }
            Action::Degrade { model, to } => {
                self.levels.lock().insert(model.clone(), to.clone());
                self.with(model.as_str(), |e| e.waiting /= 2);
            }
            Action::ShiftBytes { from, bytes, .. } => {
                let left = self.resize(from.as_str(), |mib| mib - (bytes.get() >> 20));
                *self.cache.bytes.lock() = left;
            }
            other => unreachable!("{other} is asked of others"),
        }
        Ok(ActionOutcome::Done)
    }
}

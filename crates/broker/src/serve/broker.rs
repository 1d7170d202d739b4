//! What every handler of a running broker shares.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use plimsoll_core_types::{Clock, Integration, ResourceVector};
use plimsoll_integration::{Exporter, Optimizer};
use plimsoll_load::Admission;
use plimsoll_pool::LedgerPool;
use tokio_util::sync::CancellationToken;

use super::settings::{Route, Settings};
use crate::config::HostConfig;
use crate::fleet::{Engines, Model, Phase, World};
use crate::journal::Journal;
use crate::lease::Book;
use crate::wall::Wall;

/// A running broker: its parts, and what changes while it runs.
#[derive(Debug)]
pub(crate) struct Broker {
    parts: Parts,
    /// Cancelled when the broker is to stop: nothing new is begun then.
    pub(crate) stopping: CancellationToken,
    settings: ArcSwap<Settings>,
    /// How often the config has been read anew.
    pub(crate) reloads: AtomicU64,
}

/// What a [`Broker`] is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) wall: Wall,
    pub(crate) engines: Arc<Engines>,
    pub(crate) pool: Arc<LedgerPool>,
    pub(crate) journal: Arc<Journal>,
    pub(crate) world: Arc<World>,
    pub(crate) book: Book,
    pub(crate) optimizer: Optimizer,
    pub(crate) integration: Integration,
    pub(crate) admission: Arc<Admission>,
    pub(crate) exporter: Exporter,
    /// What the config said of the host when the broker was started, and what that came to.
    pub(crate) host: HostConfig,
    pub(crate) budget: ResourceVector,
}

impl Deref for Broker {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.parts
    }
}

impl Broker {
    pub(crate) fn new(parts: Parts, settings: Settings) -> Self {
        Self {
            parts,
            stopping: CancellationToken::new(),
            settings: ArcSwap::from_pointee(settings),
            reloads: AtomicU64::new(0),
        }
    }

    pub(crate) fn settings(&self) -> Arc<Settings> {
        self.settings.load_full()
    }

    /// Requests that come from now on are judged by `settings`.
    pub(crate) fn set_settings(&self, settings: Settings) {
        self.settings.store(Arc::new(settings));
        self.reloads.fetch_add(1, Ordering::Relaxed);
    }

    /// Which replica of `route` serves the next request: the ready one with the most free slots;
    /// where none has any, another replica is begun. None where the config has just dropped all.
    pub(crate) fn pick(&self, route: &Route) -> Option<Arc<Model>> {
        let members: Vec<_> =
            route.members.iter().filter_map(|id| self.engines.model(id)).collect();
        if let [only] = &members[..] {
            return Some(Arc::clone(only));
        }
        let free = |model: &Arc<Model>| Engines::free_slots(model);
        let ready = members.iter().filter(|model| matches!(model.phase(), Phase::Ready(_)));
        let best = ready.max_by_key(|model| free(model));
        if best.is_none_or(|best| free(best) <= 0)
            && let Some(next) = members.iter().find(|m| matches!(m.phase(), Phase::Stopped))
            && best.is_some()
        {
            Engines::begin_replica(next);
        }
        let loading =
            || members.iter().find(|m| !matches!(m.phase(), Phase::Stopped | Phase::Failed(_)));
        best.or_else(loading).or(members.first()).cloned()
    }
}

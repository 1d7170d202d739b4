//! The engines of this host: loaded when asked for, unloaded when told to.

mod acquire;
mod apply;
mod company;
mod connections;
mod counters;
mod guards;
mod health;
mod keeper;
mod launch;
mod loading;
mod meter;
mod model;
mod orders;
mod own;
mod owner;
mod process;
mod running;
mod snapshot;
mod spec;
mod task;
mod words;
mod world;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use plimsoll_core_types::ModelId;

use crate::traffic_meter::TrafficMeter;
pub(crate) use acquire::{AcquireError, Acquired};
pub(crate) use connections::Connections;
pub(crate) use guards::{Guarded, Guards};
pub(crate) use loading::Loading;
pub(crate) use meter::{Meter, members_of};
pub(crate) use model::{LoadFailure, Model, Phase};
pub(crate) use owner::owner_of;
pub(crate) use spec::{CommandSpec, EngineCommand, EngineSpec, ModelSpec};
pub(crate) use task::Inherited;
pub(crate) use words::{KEPT, Lines, printed};
pub(crate) use world::{Lasting, World};

/// How long a load ahead of its requests may wait for its lease.
const PREWARM_WITHIN: Duration = Duration::from_secs(2);

type Models = BTreeMap<ModelId, Arc<Model>>;

/// The models of this host, and their engines.
#[derive(Debug)]
pub(crate) struct Engines {
    world: Arc<World>,
    models: ArcSwap<Models>,
    pub(crate) meter: TrafficMeter,
}

impl Engines {
    /// The models `specs`, of which those are loaded that another broker has left behind.
    pub(crate) fn new(
        world: Arc<World>,
        specs: Vec<ModelSpec>,
        inherited: BTreeMap<ModelId, Inherited>,
    ) -> Self {
        let engines = Self { world, models: ArcSwap::default(), meter: TrafficMeter::default() };
        engines.begin(specs, inherited);
        engines
    }

    /// There are the models `specs` from now on. An engine that serves one of them as it is now
    /// goes on; others go on until the last of their requests has its answer.
    pub(crate) fn set_models(&self, specs: Vec<ModelSpec>) {
        self.begin(specs, BTreeMap::new());
    }

    fn begin(&self, specs: Vec<ModelSpec>, mut inherited: BTreeMap<ModelId, Inherited>) {
        let old = self.models.load_full();
        let keep_or_start = |spec: ModelSpec| {
            let kept = old.get(&spec.id).filter(|model| model.spec().same_engine(&spec));
            let model = if let Some(model) = kept {
                model.set_spec(spec);
                Arc::clone(model)
            } else {
                let inherited = inherited.remove(&spec.id).map(Box::new);
                Arc::new(Model::start(self.as_measured(spec), &self.world, inherited))
            };
            (model.id.clone(), model)
        };
        let models = specs.into_iter().map(keep_or_start).collect();
        self.models.store(Arc::new(models));
    }

    /// The same model, with the time that its last load took, where that is known.
    fn as_measured(&self, spec: ModelSpec) -> ModelSpec {
        let load_time = self.world.last_load(&spec.id).or(spec.load_time);
        ModelSpec { load_time, ..spec }
    }

    pub(crate) fn model(&self, id: &ModelId) -> Option<Arc<Model>> {
        self.models.load().get(id).cloned()
    }

    /// Every model, by name.
    pub(crate) fn all(&self) -> Vec<Arc<Model>> {
        self.models.load().values().cloned().collect()
    }

    /// `model`, and those that are loaded when it is.
    pub(crate) fn party(&self, model: &Arc<Model>) -> Vec<Arc<Model>> {
        std::iter::once(Arc::clone(model)).chain(self.companions(model)).collect()
    }

    /// Those that are loaded when `model` is.
    fn companions(&self, model: &Model) -> Vec<Arc<Model>> {
        let groups = self.world.company.groups();
        let others = groups.loaded_with(&model.id).iter().filter(|id| **id != model.id);
        others.filter_map(|id| self.model(id)).collect()
    }

    /// Forgets every model, and ends every engine that would not end with this process.
    pub(crate) fn abandon(&self) {
        self.models.store(Arc::default());
        if let Some(guards) = &self.world.guards {
            guards.end_all();
        }
    }
}

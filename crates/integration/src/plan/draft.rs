//! A plan in the making.

use std::collections::{BTreeSet, HashSet};

use plimsoll_core_types::{
    Action, EngineSnapshot, EngineState, ModelId, PlannedAction, Reason, ResourceVector,
    SystemSnapshot,
};

use crate::sight::Sight;

/// The actions so far, and what they leave free.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) snapshot: &'a SystemSnapshot,
    pub(super) sight: &'a Sight<'a>,
    /// What is free, or will be once everything that is on its way out has gone.
    pub(super) free: ResourceVector,
    leaving: BTreeSet<&'a ModelId>,
    resized: HashSet<ModelId>,
    actions: Vec<PlannedAction>,
}

impl<'a> Draft<'a> {
    pub(super) fn new(sight: &'a Sight<'a>) -> Self {
        let snapshot = sight.snapshot;
        let draining = snapshot.engines.iter().filter(|e| e.state == EngineState::Draining);
        let on_its_way =
            draining.fold(ResourceVector::ZERO, |sum, e| sum.saturating_add(&e.promised));
        let free = snapshot.pool.available.saturating_add(&on_its_way);
        let (leaving, resized, actions) = Default::default();
        Self { snapshot, sight, free, leaving, resized, actions }
    }

    /// Engines that serve and are not to be evicted by this plan.
    pub(super) fn resident(&self) -> impl Iterator<Item = &'a EngineSnapshot> + '_ {
        let engines = self.snapshot.engines.iter();
        engines.filter(|e| e.state == EngineState::Ready && !self.leaving.contains(&e.model))
    }

    pub(super) fn push(&mut self, action: Action, reason: Reason) {
        if let Action::ResizeLease { model, .. } = &action {
            self.resized.insert(model.clone());
        }
        self.actions.push(PlannedAction { action, reason });
    }

    /// Puts the eviction of `engine` into the plan, and counts what it frees.
    pub(super) fn evict(&mut self, engine: &'a EngineSnapshot, action: Action, reason: Reason) {
        self.leaving.insert(&engine.model);
        self.free = self.free.saturating_add(&engine.promised);
        self.push(action, reason);
    }

    /// Sets `amount` of what is free aside.
    pub(super) fn take(&mut self, amount: &ResourceVector) {
        self.free = self.free.saturating_sub(amount);
    }

    /// True where somebody gives way to `consumer` by this plan.
    pub(super) fn helps(&self, consumer: &plimsoll_core_types::ConsumerId) -> bool {
        self.actions.iter().any(|planned| {
            matches!(&planned.action, Action::Evict { beneficiary: Some(to), .. } if to == consumer)
        })
    }

    /// True where the plan evicts `model`.
    pub(super) fn leaves(&self, model: &ModelId) -> bool {
        self.leaving.contains(model)
    }

    /// True where the plan changes what `model`'s lease holds.
    pub(super) fn resizes(&self, model: &ModelId) -> bool {
        self.resized.contains(model)
    }

    pub(super) fn into_actions(self) -> Vec<PlannedAction> {
        self.actions
    }
}

//! Whether parts make a system: limits, units, names, circles, and what is missing.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use plimsoll_core_types::{
    Bytes, ComponentKind, EngineSnapshot, Health, IntegrateError, Integration, ModelId,
    ResourceStatus, ResourceVector, SystemComponents,
};

use super::Loop;
use super::contain::Part;
use super::sense::total;
use crate::config::PlanConfig;

/// A model or a budget with less memory than this is probably written in another unit.
const TINY: Bytes = Bytes::from_kib(1);

impl Loop {
    /// Sees that the parts fit together, and says what is missing.
    pub(super) fn inspect(&mut self) -> Result<Integration, IntegrateError> {
        let now = self.components.clock.now();
        self.probe(now);
        let capacity = total(&self.last.capacity);
        let (pool, fleet) = (Arc::clone(&self.components.pool), Arc::clone(&self.components.fleet));
        let status = self.wards.ask((ComponentKind::Pool, 0), move || pool.monitor());
        let status = status.ok_or_else(|| self.silent((ComponentKind::Pool, 0)))?;
        let engines = self.wards.ask((ComponentKind::Fleet, 0), move || fleet.engines());
        let engines = engines.ok_or_else(|| self.silent((ComponentKind::Fleet, 0)))?;
        check_limits(&status, &capacity)?;
        check_probes(&self.last.capacity, &self.last.used)?;
        check_names(&engines)?;
        self.check_caches()?;
        let config = self.planner.config();
        check_aliases(config, &engines)?;
        check_needs(config, &self.components)?;
        let mut warnings = doubts(config, &engines, &status, &capacity);
        warnings.extend(self.admit());
        Ok(Integration { at: now, components: self.wards.statuses(), warnings })
    }

    fn silent(&self, part: Part) -> IntegrateError {
        let why = match self.wards.health(part) {
            Some(Health::Failed { why } | Health::Degraded { why }) => why.clone(),
            _ => "no answer".to_owned(),
        };
        IntegrateError::Silent { part: part.0, why }
    }

    fn check_caches(&mut self) -> Result<(), IntegrateError> {
        let mut names = BTreeSet::new();
        for index in 0..self.components.caches.len() {
            let cache = Arc::clone(&self.components.caches[index]);
            let metrics = self.wards.ask((ComponentKind::Cache, index), move || cache.monitor());
            // One that does not answer now is contained later, as it would be at any time.
            let Some(metrics) = metrics else { continue };
            if !names.insert(metrics.cache.clone()) {
                return Err(IntegrateError::CacheTwice { cache: metrics.cache.to_string() });
            }
        }
        Ok(())
    }

    /// Takes note of the parts there are, and says what goes without.
    fn admit(&mut self) -> Vec<String> {
        let parts = &self.components;
        let present = [
            (ComponentKind::Pool, true, ""),
            (ComponentKind::Fleet, true, ""),
            (ComponentKind::Probe, !parts.probes.is_empty(), "the limit stays what it is"),
            (ComponentKind::Memory, parts.memory.is_some(), "memory pressure is not seen"),
            (ComponentKind::Cpu, parts.cpu.is_some(), "threads stay what they are"),
            (ComponentKind::Cache, !parts.caches.is_empty(), "no cache is retuned"),
            (ComponentKind::Predictor, parts.predictor.is_some(), "nothing is loaded ahead"),
            (ComponentKind::Load, parts.load.is_some(), "admission limits stay what they are"),
        ];
        let mut warnings = Vec::new();
        for (kind, there, without) in present {
            if there {
                self.wards.admit(kind);
            } else {
                warnings.push(format!("no {kind}: {without}"));
            }
        }
        warnings
    }
}

fn check_limits(status: &ResourceStatus, capacity: &ResourceVector) -> Result<(), IntegrateError> {
    for (dimension, limit) in status.limit.iter() {
        let capacity = capacity.get(dimension);
        if capacity > 0 && limit > capacity {
            return Err(IntegrateError::LimitAboveCapacity { dimension, limit, capacity });
        }
    }
    Ok(())
}

/// Nobody can use twice what there is: one of both numbers is in another unit.
fn check_probes(
    capacity: &[ResourceVector],
    used: &[ResourceVector],
) -> Result<(), IntegrateError> {
    for (capacity, used) in capacity.iter().zip(used) {
        for (dimension, most) in capacity.iter() {
            let used = used.get(dimension);
            if used / 2 > most {
                let (used, most) = (dimension.format(used), dimension.format(most));
                let problem = format!("{used} of {most} {dimension} are used");
                return Err(IntegrateError::Unit { part: ComponentKind::Probe, problem });
            }
        }
    }
    Ok(())
}

fn check_names(engines: &[EngineSnapshot]) -> Result<(), IntegrateError> {
    let mut names = BTreeSet::new();
    match engines.iter().find(|engine| !names.insert(&engine.model)) {
        Some(twice) => Err(IntegrateError::Twice { model: twice.model.to_string() }),
        None => Ok(()),
    }
}

/// Each alias is there, and no model stands in for itself by way of others.
fn check_aliases(config: &PlanConfig, engines: &[EngineSnapshot]) -> Result<(), IntegrateError> {
    let Some(degrading) = &config.degrading else { return Ok(()) };
    let aliases = &degrading.aliases;
    let known: BTreeSet<_> = engines.iter().map(|engine| &engine.model).collect();
    if let Some(name) = aliases.iter().flat_map(|(a, b)| [a, b]).find(|m| !known.contains(m)) {
        return Err(IntegrateError::Unknown { field: "aliases", name: name.to_string() });
    }
    aliases.keys().try_for_each(|start| follow(aliases, start))
}

fn follow(aliases: &BTreeMap<ModelId, ModelId>, start: &ModelId) -> Result<(), IntegrateError> {
    let mut path = vec![start.to_string()];
    let mut at = start;
    while let Some(next) = aliases.get(at) {
        path.push(next.to_string());
        if next == start {
            return Err(IntegrateError::Cycle { field: "aliases", path });
        }
        // A circle that does not come by here is found from one of its own names.
        if path.len() > aliases.len() {
            break;
        }
        at = next;
    }
    Ok(())
}

fn check_needs(config: &PlanConfig, parts: &SystemComponents) -> Result<(), IntegrateError> {
    if config.cache_least.is_some() && parts.caches.is_empty() {
        let needed_by = "cache_least".to_owned();
        return Err(IntegrateError::Missing { part: ComponentKind::Cache, needed_by });
    }
    Ok(())
}

/// What fits together and is probably not meant.
fn doubts(
    config: &PlanConfig,
    engines: &[EngineSnapshot],
    status: &ResourceStatus,
    capacity: &ResourceVector,
) -> Vec<String> {
    let mut doubts = Vec::new();
    let budget = &config.budget;
    for (dimension, limit) in status.limit.iter() {
        let budget = budget.get(dimension);
        if budget > 0 && limit > budget {
            let (limit, budget) = (dimension.format(limit), dimension.format(budget));
            doubts.push(format!(
                "the pool's limit of {limit} {dimension} is above the budget of {budget}"
            ));
        }
    }
    let unseen = budget.iter().filter(|(d, _)| !capacity.is_zero() && capacity.get(*d) == 0);
    doubts.extend(unseen.map(|(dimension, _)| {
        format!("no probe measures {dimension}: its budget is taken as it is")
    }));
    for engine in engines {
        let (model, asks) = (&engine.model, engine.believed);
        if let Some(dimension) = asks.first_exceeding(&status.limit) {
            let (asks, limit) = (asks.get(dimension), status.limit.get(dimension));
            let (asks, limit) = (dimension.format(asks), dimension.format(limit));
            doubts.push(format!(
                "{model} can never load: {dimension} asks {asks}, the limit is {limit}"
            ));
        }
        let memory = engine.declared.memory();
        if !memory.is_zero() && memory < TINY {
            doubts.push(format!("{model} declares {memory} of memory: check its unit"));
        }
        if engine.slots == 0 {
            doubts.push(format!("{model} has no slots: it can work on no request"));
        }
    }
    let pinned = engines.iter().filter(|engine| engine.pinned);
    let pinned = pinned.fold(ResourceVector::ZERO, |sum, e| sum.saturating_add(&e.believed));
    if let Some(dimension) = pinned.first_exceeding(&status.limit) {
        let (asks, limit) = (pinned.get(dimension), status.limit.get(dimension));
        let (asks, limit) = (dimension.format(asks), dimension.format(limit));
        doubts.push(format!(
            "pinned models ask {asks} of {dimension} together, the limit is {limit}"
        ));
    }
    doubts
}

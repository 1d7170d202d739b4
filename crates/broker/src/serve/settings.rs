//! What a config means on this host: models to load, names to route, tenants to tell apart.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use plimsoll_core_types::{Bytes, Millicores, ModelId, ResourceVector, TenantId};
use plimsoll_memory::footprint::{Load, ModelFile};
use plimsoll_pool::LedgerConfig;

use crate::config::{Config, EngineConfig, Footprint, ModelConfig, ServerConfig, TenantConfig};
use crate::fleet::{CommandSpec, EngineSpec, ModelSpec};

/// What an embedded engine takes beside its weights.
const EMBEDDED_BASE: Bytes = Bytes::from_mib(4);
/// The first load of a model of which nothing is known asks for this at most, and for a quarter of
/// what there is. What it is measured to take replaces that within seconds.
const UNKNOWN: Bytes = Bytes::from_gib(2);
/// Replicas beyond the first are unloaded when idle for this long, unless the config says.
const REPLICA_KEEP: Duration = Duration::from_mins(5);
/// What a server that somebody else runs takes of this host's CPU, unless the config says.
const ELSEWHERE: Millicores = Millicores::new(1);
/// What an engine takes of the CPU at least, unless the config says: it is shared by turns.
const CPU: Millicores = Millicores::new(100);
/// The most models that stand in for one another in a row.
const CHAIN: usize = 8;

/// Everything that a request is judged by. Replaced whole when the config is read anew.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) server: ServerConfig,
    pub(crate) tenants: BTreeMap<TenantId, TenantConfig>,
    routes: BTreeMap<ModelId, Route>,
}

/// Where requests for a name go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) id: ModelId,
    /// The models of the fleet that serve it: one for each replica.
    pub(crate) members: Vec<ModelId>,
    /// Who answers where it can't.
    pub(crate) fallback: Option<ModelId>,
    /// What the engine calls it.
    pub(crate) upstream: Option<String>,
}

impl Settings {
    pub(crate) fn new(config: &Config) -> Self {
        let route = |model: &ModelConfig| {
            let members = (1..=model.replicas).filter_map(|number| member(&model.id, number));
            let route = Route {
                id: model.id.clone(),
                members: members.collect(),
                fallback: model.fallback.clone(),
                upstream: model.upstream.clone(),
            };
            (model.id.clone(), route)
        };
        Self {
            server: config.server.clone(),
            tenants: config.tenants.clone(),
            routes: config.models.iter().map(route).collect(),
        }
    }

    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.values()
    }

    pub(crate) fn route(&self, name: &str) -> Option<&Route> {
        self.routes.get(name)
    }

    /// The route of `name` and of those that stand in for it, in their order.
    pub(crate) fn chain(&self, name: &str) -> Vec<&Route> {
        let mut chain: Vec<&Route> = Vec::new();
        let mut next = self.route(name);
        while let Some(route) = next {
            if chain.len() == CHAIN || chain.iter().any(|seen| seen.id == route.id) {
                break;
            }
            chain.push(route);
            next = route.fallback.as_ref().and_then(|name| self.route(name.as_str()));
        }
        chain
    }

    /// The names that can be asked for, separated by commas.
    pub(crate) fn names(&self) -> String {
        self.routes.keys().map(ModelId::as_str).collect::<Vec<_>>().join(", ")
    }
}

/// The name of a replica in the fleet: the first one is called as the model is.
fn member(model: &ModelId, number: u32) -> Option<ModelId> {
    if number == 1 {
        return Some(model.clone());
    }
    // A name that leaves no room for its number has one replica.
    ModelId::new(&format!("{model}#{number}")).ok()
}

/// The budget of all models together, on a host that has `capacity`.
pub(crate) fn budget(config: &Config, capacity: &ResourceVector) -> ResourceVector {
    let memory = config.host.memory.of(capacity.memory());
    let cpu = config.host.cpu.of(capacity.cpu());
    let host = ResourceVector::new().with_memory(memory).with_cpu(cpu);
    let devices = plimsoll_core_types::DeviceIndex::all().zip(&config.host.accelerators);
    devices.fold(host, |sum, (device, memory)| sum.with_accelerator(device, *memory))
}

/// The models of the fleet, in a budget of `budget`.
pub(crate) fn specs(config: &Config, budget: &ResourceVector) -> Vec<ModelSpec> {
    let replicas = |model: &ModelConfig| {
        let spec = spec(config, model, budget);
        let replica = |number| {
            let keep_alive = spec.keep_alive.or((number > 1).then_some(REPLICA_KEEP));
            let pinned = spec.pinned && number == 1;
            let id = member(&spec.id, number)?;
            Some(ModelSpec { id, pinned, keep_alive, ..spec.clone() })
        };
        (1..=model.replicas).filter_map(replica).collect::<Vec<_>>()
    };
    config.models.iter().flat_map(replicas).collect()
}

fn spec(config: &Config, model: &ModelConfig, budget: &ResourceVector) -> ModelSpec {
    let elsewhere = matches!(model.engine, EngineConfig::Url { .. });
    let memory = match model.memory {
        Footprint::Declared(bytes) => bytes,
        Footprint::Auto => estimate(&model.engine, budget.memory()),
    };
    let cpu = model.cpu.unwrap_or(if elsewhere { ELSEWHERE } else { CPU.min(budget.cpu()) });
    let declared = ResourceVector::new().with_memory(memory).with_cpu(cpu);
    let declared = match model.accelerator {
        Some((device, bytes)) => declared.with_accelerator(device, bytes),
        None => declared,
    };
    ModelSpec {
        id: model.id.clone(),
        engine: engine(config, model),
        declared,
        slots: model.slots,
        load_time: None,
        load_within: model.load_within,
        drain_within: config.server.drain_within,
        priority: model.priority,
        tenant: model.tenant.clone(),
        // Those that go together stay together.
        pinned: config
            .models
            .iter()
            .any(|other| other.pin && config.groups.together(&model.id).contains(&other.id)),
        keep_alive: model.keep_alive,
    }
}

fn engine(config: &Config, model: &ModelConfig) -> EngineSpec {
    match model.engine.clone() {
        EngineConfig::Command { command, health, env, folder, port } => {
            EngineSpec::Command(CommandSpec { command, env, folder, port, health })
        }
        EngineConfig::Url { authority, prefix, health, kind } => {
            let name = model.upstream.clone().unwrap_or_else(|| model.id.to_string());
            let alone = alone(config, &authority);
            EngineSpec::Url { authority, prefix, health, kind, name, alone }
        }
        EngineConfig::Embedded { weights } => EngineSpec::Embedded { weights, rounds: 2, seed: 1 },
    }
}

/// Whether only one model is served at `authority`.
pub(crate) fn alone(config: &Config, authority: &str) -> bool {
    let at = |model: &&ModelConfig| matches!(&model.engine, EngineConfig::Url { authority: other, .. } if other == authority);
    config.models.iter().filter(at).map(|model| model.replicas).sum::<u32>() == 1
}

/// What a model is taken to need before it was ever measured: what its file says where it has one.
fn estimate(engine: &EngineConfig, budget: Bytes) -> Bytes {
    match engine {
        EngineConfig::Embedded { weights } => weights.saturating_add(EMBEDDED_BASE),
        // It has its memory already, and not from here; it is measured where it is on this host.
        EngineConfig::Url { .. } => Bytes::ZERO,
        EngineConfig::Command { command, .. } => {
            let files = command.iter().map(Path::new).filter(|path| is_model(path));
            let opened = files.filter_map(|path| ModelFile::open(path).ok());
            let sum: Bytes = opened.map(|file| file.estimate(&Load::default()).total()).sum();
            if sum.is_zero() { UNKNOWN.min(Bytes::new(budget.get() / 4)) } else { sum }
        }
    }
}

fn is_model(path: &Path) -> bool {
    let kind = path.extension().and_then(|kind| kind.to_str());
    matches!(kind, Some("gguf" | "safetensors"))
}

/// How the ledger treats tenants, and whom it takes leases back from.
pub(crate) fn ledger(config: &Config, budget: &ResourceVector) -> LedgerConfig {
    let tenant = |(id, tenant): (&TenantId, &TenantConfig)| {
        let memory = |share: &plimsoll_core_types::AmountOrShare<Bytes>| share.of(budget.memory());
        let quota = tenant.quota.as_ref().map_or(Bytes::ZERO, memory);
        let limit = tenant.limit.as_ref().map(|limit| budget.with_memory(memory(limit)));
        let quota = ResourceVector::new().with_memory(quota);
        let weight = tenant.weight as f64;
        (id.clone(), plimsoll_pool::TenantConfig { weight, quota, limit })
    };
    let tenants = config.tenants.iter().map(tenant).collect();
    LedgerConfig { tenants, ..LedgerConfig::default() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Overrides;

    fn config(text: &str) -> Config {
        Config::parse(text, &Overrides::default()).unwrap()
    }

    #[test]
    fn those_who_stand_in_are_asked_in_their_order_and_once() {
        let model = |name: &str, next: &str| {
            format!("[models.{name}]\nembedded = \"8Mi\"\nfallback = \"{next}\"\n")
        };
        let text = [model("a", "b"), model("b", "c"), model("c", "a")].concat();
        let settings = Settings::new(&config(&text));
        let names: Vec<_> = settings.chain("a").iter().map(|route| route.id.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(settings.chain("nobody").is_empty());
    }

    #[test]
    fn a_budget_may_be_a_share_and_replicas_have_names_of_their_own() {
        let text =
            "[host]\nmemory = \"50%\"\n[models.a]\nembedded = \"8Mi\"\nreplicas = 2\npin = true\n";
        let config = config(text);
        let host = ResourceVector::new().with_memory(Bytes::from_gib(2));
        let budget = budget(&config, &host.with_cpu(Millicores::from_cores(2)));
        assert_eq!(budget.memory(), Bytes::from_gib(1));
        let specs = specs(&config, &budget);
        let names: Vec<_> = specs.iter().map(|spec| spec.id.as_str()).collect();
        assert_eq!(names, ["a", "a#2"]);
        assert!(specs[0].pinned && !specs[1].pinned);
        assert_eq!(specs[0].declared.memory(), Bytes::from_mib(12));
    }
}

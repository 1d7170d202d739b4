//! `plimsoll check`: everything that is wrong with a config, and what is probably not meant.

use std::net::ToSocketAddrs as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use plimsoll_cache::residency::{Group, GroupKind};
use plimsoll_core_types::{ResourceVector, SystemClock};
use plimsoll_cpu::HostCpu;
use plimsoll_memory::HostMemory;
use serde_json::json;

use crate::USAGE;
use crate::config::{Config, ConfigError, EngineConfig, Footprint, Overrides, SCHEMA};
use crate::fleet::owner_of;
use crate::output::{complain, line};
use crate::serve::settings::{alone, budget, specs};
use crate::tls::Tls;

/// What `check` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct CheckArgs {
    /// The config
    #[arg(long, env = "PLIMSOLL_CONFIG", default_value = "plimsoll.toml", value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    overrides: Overrides,
    /// Print the JSON schema of configs, and check nothing
    #[arg(long)]
    schema: bool,
    /// Print one object as the last line
    #[arg(long)]
    json: bool,
}

/// Checks a config.
pub(crate) fn run(args: &CheckArgs) -> ExitCode {
    if args.schema {
        line(SCHEMA.trim_end());
        return ExitCode::SUCCESS;
    }
    let config = match Config::read(&args.config, &args.overrides) {
        Ok(config) => config,
        Err(error) => return wrong(args, &error),
    };
    if let Some(Err(error)) = config.server.tls.as_ref().map(Tls::load) {
        return wrong(args, &ConfigError::Tls { path: args.config.clone(), error });
    }
    let capacity =
        crate::serve::host_capacity(&HostMemory::system(), &HostCpu::system(), &SystemClock::new());
    let (capacity, mut doubts) = match capacity {
        Ok(capacity) => (capacity, Vec::new()),
        Err(error) => (ResourceVector::ZERO, vec![error.to_string()]),
    };
    if !capacity.is_zero() {
        doubts.extend(doubts_of(&config, &capacity));
    }
    let path = args.config.display();
    for doubt in &doubts {
        line(&format!("{path}: note: {doubt}"));
    }
    line(&format!("{path}: {} models, nothing wrong", config.models.len()));
    if args.json {
        line(
            &json!({ "models": config.models.len(), "mistakes": [], "notes": doubts }).to_string(),
        );
    }
    ExitCode::SUCCESS
}

fn wrong(args: &CheckArgs, error: &ConfigError) -> ExitCode {
    let code = complain_each(&error.to_string());
    if args.json {
        let mistakes: Vec<_> = match error {
            ConfigError::Wrong { mistakes, .. } => mistakes
                .iter()
                .map(|m| json!({ "line": m.line, "key": m.key, "what": m.what }))
                .collect(),
            ConfigError::Read { .. } | ConfigError::Tls { .. } => {
                vec![json!({ "what": error.to_string() })]
            }
        };
        line(&json!({ "mistakes": mistakes }).to_string());
    }
    code
}

fn complain_each(text: &str) -> ExitCode {
    for one in text.lines() {
        complain(one, USAGE);
    }
    ExitCode::from(USAGE)
}

/// What fits the grammar and probably not this host.
fn doubts_of(config: &Config, capacity: &ResourceVector) -> Vec<String> {
    let mut doubts = Vec::new();
    let budget = budget(config, capacity);
    if let Some(dimension) = budget.first_exceeding(&capacity.max(&devices_only(&budget))) {
        let (given, there) = (budget.get(dimension), capacity.get(dimension));
        let (given, there) = (dimension.format(given), dimension.format(there));
        doubts.push(format!("host: {given} of {dimension} is more than this host's {there}"));
    }
    let listen = config.server.listen;
    if !listen.ip().is_loopback() && config.server.tls.is_none() {
        doubts.push(format!("server.listen: tokens reach {listen} in the clear; set server.tls"));
    }
    for spec in specs(config, &budget) {
        if let Some(dimension) = spec.declared.first_exceeding(&budget) {
            let (asks, limit) = (spec.declared.get(dimension), budget.get(dimension));
            let (asks, limit) = (dimension.format(asks), dimension.format(limit));
            let id = &spec.id;
            doubts.push(format!(
                "models.{id} can never load: {dimension} asks {asks}, the limit is {limit}"
            ));
        }
    }
    doubts.extend(too_large(config, &budget));
    for model in &config.models {
        if let EngineConfig::Command { command, .. } = &model.engine
            && let Some(program) = command.first().filter(|program| !can_be_found(program))
        {
            doubts.push(format!("models.{}: there is no program {program} here", model.id));
        }
        if let EngineConfig::Url { authority, .. } = &model.engine
            && model.memory == Footprint::Auto
            && let Some(why) = unmeasured(config, authority)
        {
            let id = &model.id;
            doubts
                .push(format!("models.{id}.memory: auto counts nothing, since {why}; declare it"));
        }
        if !config.tenants.contains_key(&model.tenant) && model.tenant.as_str() != "default" {
            doubts.push(format!("models.{}: tenant {} is not configured", model.id, model.tenant));
        }
    }
    doubts
}

/// Groups that are loaded together and don't fit in `budget` together.
fn too_large(config: &Config, budget: &ResourceVector) -> Vec<String> {
    let specs = specs(config, budget);
    let groups: Vec<Group> = config.groups.groups.clone().into();
    let together = groups.iter().zip(&config.groups.names);
    let together = together.filter(|(group, _)| group.kind == GroupKind::Together);
    let whole = |group: &Group| {
        let members = specs.iter().filter(|spec| group.members.contains(&spec.id));
        members.fold(ResourceVector::ZERO, |sum, spec| sum.saturating_add(&spec.declared))
    };
    let doubt = |(group, name): (&Group, &String)| {
        let asks = whole(group);
        let dimension = asks.first_exceeding(budget)?;
        let asks = dimension.format(asks.get(dimension));
        let limit = dimension.format(budget.get(dimension));
        Some(format!(
            "groups.{name} can never load whole: {dimension} asks {asks}, the limit is {limit}"
        ))
    };
    together.filter_map(doubt).collect()
}

/// Why what the server at `authority` holds can't be measured; none where it can.
fn unmeasured(config: &Config, authority: &str) -> Option<String> {
    if !alone(config, authority) {
        return Some(format!("several models share {authority}"));
    }
    let addresses = authority.to_socket_addrs().map(Iterator::collect::<Vec<_>>);
    match addresses.unwrap_or_default().into_iter().find_map(owner_of) {
        Some(_) => None,
        None => Some(format!("no process of this host that can be seen listens at {authority}")),
    }
}

/// The accelerators of a budget, which nobody measures here.
fn devices_only(budget: &ResourceVector) -> ResourceVector {
    let none = (plimsoll_core_types::Millicores::ZERO, plimsoll_core_types::Bytes::ZERO);
    budget.with_cpu(none.0).with_memory(none.1)
}

/// Whether a shell would find the program.
pub(crate) fn can_be_found(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths).any(|folder| folder.join(program).is_file())
}

//! One model's part of the config.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use plimsoll_core_types::{
    Bytes, DeviceIndex, Millicores, ModelId, Priority, QuantityError, TenantId,
};

use super::reader::{Reader, Section};
use crate::adopt::Kind;

/// A model that can be loaded.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ModelConfig {
    pub(crate) id: ModelId,
    pub(crate) engine: EngineConfig,
    pub(crate) memory: Footprint,
    pub(crate) cpu: Option<Millicores>,
    /// Memory of an accelerator.
    pub(crate) accelerator: Option<(DeviceIndex, Bytes)>,
    /// How many engines serve it at most.
    pub(crate) replicas: u32,
    /// Requests that it may work on at once.
    pub(crate) slots: usize,
    /// Unloaded when idle for this long; none keeps it until its room is wanted.
    pub(crate) keep_alive: Option<Duration>,
    /// Never evicted.
    pub(crate) pin: bool,
    pub(crate) priority: Priority,
    /// Who answers where it can't.
    pub(crate) fallback: Option<ModelId>,
    /// How long its load may take.
    pub(crate) load_within: Duration,
    /// On whose behalf its lease is held.
    pub(crate) tenant: TenantId,
    /// What the engine calls it; none is as it is called here.
    pub(crate) upstream: Option<String>,
}

/// What serves a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum EngineConfig {
    /// A program that is launched; `{port}`, `{threads}` and `{model}` in its arguments are filled in.
    Command {
        command: Vec<String>,
        /// The path that answers 200 when it is ready.
        health: String,
        /// Variables of its environment.
        env: BTreeMap<String, String>,
        /// The folder that it runs in.
        folder: Option<PathBuf>,
        /// Its port; none takes a free one.
        port: Option<u16>,
    },
    /// A server that runs already.
    Url {
        /// Host and port.
        authority: String,
        /// What comes before `/v1`.
        prefix: String,
        /// The path that answers when it is well.
        health: String,
        /// What it is, where its memory can be freed by its own verbs.
        kind: Option<Kind>,
    },
    /// The embedded engine, with weights of this size.
    Embedded { weights: Bytes },
}

/// What a model takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Footprint {
    /// Learned by measuring it.
    Auto,
    /// As its owner says, until it is measured.
    Declared(Bytes),
}

impl FromStr for Footprint {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "auto" { Ok(Self::Auto) } else { text.parse().map(Self::Declared) }
    }
}

/// Every model of the document.
pub(super) fn models(root: &mut Section<'_>, reader: &mut Reader<'_>) -> Vec<ModelConfig> {
    let Some(all) = root.section("models", reader) else { return Vec::new() };
    let sections = all.named(reader);
    let names: BTreeSet<String> = sections.iter().map(|(name, _)| name.clone()).collect();
    let read = |(name, section): (String, Section<'_>)| model(&name, section, &names, reader);
    sections.into_iter().filter_map(read).collect()
}

fn model(
    name: &str,
    mut section: Section<'_>,
    names: &BTreeSet<String>,
    reader: &mut Reader<'_>,
) -> Option<ModelConfig> {
    let engine = engine(&mut section, reader);
    let id = ModelId::new(name);
    if let Err(error) = &id {
        section.object("", error.to_string(), reader);
    }
    let fallback: Option<ModelId> = section.parse("fallback", reader);
    if let Some(unknown) = fallback.as_ref().filter(|model| !names.contains(model.as_str())) {
        section.object("fallback", format!("there is no model {unknown}"), reader);
    }
    if fallback.as_ref().is_some_and(|model| model.as_str() == name) {
        section.object("fallback", "a model can't stand in for itself".to_owned(), reader);
    }
    let slots = section.whole("slots", 1..=4096, reader).unwrap_or(1);
    let replicas = section.whole("replicas", 1..=64, reader).unwrap_or(1);
    let memory = section.parse("memory", reader).unwrap_or(Footprint::Auto);
    let cpu = section.parse("cpu", reader);
    let accelerator = accelerator(&mut section, reader);
    let keep_alive = section.duration("keep_alive", reader);
    let pin = section.flag("pin", reader).unwrap_or(false);
    let priority = section.parse("priority", reader).unwrap_or_default();
    let load_within = section.duration("load_within", reader).unwrap_or(Duration::from_mins(5));
    let tenant = section.parse("tenant", reader).unwrap_or_default();
    let upstream = section.parse("upstream", reader);
    section.finish(reader);
    let slots = usize::try_from(slots).unwrap_or(usize::MAX);
    let replicas = u32::try_from(replicas).unwrap_or(u32::MAX);
    Some(ModelConfig {
        id: id.ok()?,
        engine: engine?,
        memory,
        cpu,
        accelerator,
        replicas,
        slots,
        keep_alive,
        pin,
        priority,
        fallback,
        load_within,
        tenant,
        upstream,
    })
}

fn accelerator(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<(DeviceIndex, Bytes)> {
    let device = section.whole("device", 0..=15, reader);
    let memory: Option<Bytes> = section.parse("accelerator", reader);
    if device.is_some() && memory.is_none() {
        let what = "say how much of it as accelerator, such as \"8Gi\"".to_owned();
        section.object("device", what, reader);
    }
    let device = u8::try_from(device.unwrap_or(0)).ok()?;
    Some((DeviceIndex::new(device).ok()?, memory?))
}

fn engine(section: &mut Section<'_>, reader: &mut Reader<'_>) -> Option<EngineConfig> {
    let command = section.texts("command", reader);
    let url: Option<Url> = section.parse("url", reader);
    let embedded: Option<Bytes> = section.parse("embedded", reader);
    let env = section.named_texts("env", reader);
    let folder = section.parse("folder", reader);
    let port = section.whole("port", 1..=65535, reader);
    let health: Option<String> = section.parse("health", reader);
    let engine_kind: Option<Kind> = section.parse("kind", reader);
    let has = |key| section.has(key);
    let said: Vec<_> = ["command", "url", "embedded"].into_iter().filter(|key| has(key)).collect();
    let kind = match said[..] {
        [] => {
            section.object("engine", "say one of command, url, embedded".to_owned(), reader);
            return None;
        }
        [kind] => kind,
        _ => {
            section.object("engine", "say only one of command, url, embedded".to_owned(), reader);
            return None;
        }
    };
    let allowed: &[&str] = match kind {
        "command" => &["env", "folder", "port", "health"],
        "url" => &["health", "kind"],
        _ => &[],
    };
    for key in ["env", "folder", "port", "health", "kind"] {
        if section.has(key) && !allowed.contains(&key) {
            section.object(key, format!("it means nothing for an engine by {kind}"), reader);
        }
    }
    if health.as_ref().is_some_and(|path| !path.starts_with('/')) {
        section.object("health", "it must be a path that begins with /".to_owned(), reader);
    }
    let usual = engine_kind.map_or("/health", Kind::health);
    let health = health.unwrap_or_else(|| usual.to_owned());
    if command.as_ref().is_some_and(Vec::is_empty) {
        section.object("command", "it is empty; name a program".to_owned(), reader);
        return None;
    }
    if let Some(command) = command {
        let env = env.unwrap_or_default();
        let port = port.and_then(|port| u16::try_from(port).ok());
        return Some(EngineConfig::Command { command, health, env, folder, port });
    }
    if let Some(Url { authority, prefix }) = url {
        return Some(EngineConfig::Url { authority, prefix, health, kind: engine_kind });
    }
    embedded.map(|weights| EngineConfig::Embedded { weights })
}

/// A server's address, taken apart.
struct Url {
    authority: String,
    prefix: String,
}

/// Why a text is no server's address.
#[derive(Debug, thiserror::Error)]
enum UrlError {
    #[error("{0:?} does not begin with http://; write such as \"http://127.0.0.1:11434\"")]
    Scheme(String),
    #[error("{0:?} has no host and port; write such as \"http://127.0.0.1:11434\"")]
    Authority(String),
}

impl FromStr for Url {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = text.strip_prefix("http://").ok_or_else(|| UrlError::Scheme(text.to_owned()))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let wrong = || UrlError::Authority(text.to_owned());
        let authority: hyper::http::uri::Authority = authority.parse().map_err(|_| wrong())?;
        if authority.host().is_empty() {
            return Err(wrong());
        }
        let port = authority.port_u16().unwrap_or(80);
        let path = path.trim_end_matches('/').trim_end_matches("v1").trim_end_matches('/');
        let prefix = if path.is_empty() { String::new() } else { format!("/{path}") };
        Ok(Self { authority: format!("{}:{port}", authority.host()), prefix })
    }
}

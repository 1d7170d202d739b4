//! `plimsoll.toml`: what may be loaded, by what, and how much of the host it may take.

mod model;
mod reader;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use plimsoll_core_types::{
    AmountOrShare, Bytes, DeviceIndex, Millicores, Priority, QuantityError, Ratio, TenantId,
};
use toml::de::DeTable;

pub(crate) use model::{EngineConfig, Footprint, ModelConfig};
pub(crate) use reader::Mistake;
use reader::{Reader, Section};

/// Where the front listens where nothing else is said.
pub(crate) const LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 7077);

/// What a config may hold, as JSON schema.
pub(crate) const SCHEMA: &str = include_str!("schema.json");

/// The whole config.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) host: HostConfig,
    pub(crate) server: ServerConfig,
    pub(crate) tenants: BTreeMap<TenantId, TenantConfig>,
    pub(crate) models: Vec<ModelConfig>,
}

/// How much of the host all models together may take.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HostConfig {
    pub(crate) memory: AmountOrShare<Bytes>,
    pub(crate) cpu: AmountOrShare<Millicores>,
    /// Memory of each accelerator, by its number.
    pub(crate) accelerators: Vec<Bytes>,
    /// Memory left to everybody else.
    pub(crate) reserve: Bytes,
}

/// Where and how the broker is reached.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ServerConfig {
    pub(crate) listen: SocketAddr,
    /// What clients must send as bearer token.
    pub(crate) token: Option<String>,
    /// The folder that holds the lease journal and what was learned.
    pub(crate) state: Option<PathBuf>,
    /// How long engines wait for another broker where this one ends without ending them; nothing
    /// has them end with it.
    pub(crate) adopt_grace: Duration,
    /// How long a request may wait for its model.
    pub(crate) within: Duration,
    /// How long an engine may take to begin its answer.
    pub(crate) answer_within: Duration,
    /// How long requests in progress may take when the broker is to stop.
    pub(crate) drain_within: Duration,
    /// The largest body of a request.
    pub(crate) body: Bytes,
    /// Requests in progress, and in line, at most.
    pub(crate) requests: usize,
    pub(crate) queue: usize,
}

/// What a tenant is entitled to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TenantConfig {
    /// Its part of what is contended, beside others' parts.
    pub(crate) weight: u64,
    /// Memory that is its own.
    pub(crate) quota: Option<AmountOrShare<Bytes>>,
    /// Memory that it may hold at most.
    pub(crate) limit: Option<AmountOrShare<Bytes>>,
    /// Whoever sends this as bearer token is this tenant.
    pub(crate) token: Option<String>,
    /// The highest priority that it may ask for.
    pub(crate) priority: Priority,
}

/// What the environment and the command line say instead of the file; the command line wins.
#[derive(Args, Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// Address of the front, instead of the config's
    #[arg(long, env = "PLIMSOLL_LISTEN", value_name = "ADDRESS:PORT")]
    pub(crate) listen: Option<SocketAddr>,
    /// Memory that all models together may take, instead of the config's
    #[arg(long, env = "PLIMSOLL_MEMORY", value_name = "QUANTITY|PERCENT")]
    pub(crate) memory: Option<AmountOrShare<Bytes>>,
    /// CPU that all models together may take, instead of the config's
    #[arg(long, env = "PLIMSOLL_CPU", value_name = "QUANTITY|PERCENT")]
    pub(crate) cpu: Option<AmountOrShare<Millicores>>,
    /// Bearer token that clients must send, instead of the config's
    #[arg(long, env = "PLIMSOLL_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    pub(crate) token: Option<String>,
    /// Folder of what is kept between runs, instead of the config's
    #[arg(long, env = "PLIMSOLL_STATE", value_name = "FOLDER")]
    pub(crate) state: Option<PathBuf>,
}

impl Default for HostConfig {
    fn default() -> Self {
        Self {
            memory: AmountOrShare::Share(Ratio::saturating(0.8)),
            cpu: AmountOrShare::Share(Ratio::ONE),
            accelerators: Vec::new(),
            reserve: Bytes::from_mib(64),
        }
    }
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: LISTEN,
            token: None,
            state: None,
            adopt_grace: Duration::from_secs(30),
            within: Duration::from_mins(2),
            answer_within: Duration::from_mins(10),
            drain_within: Duration::from_secs(30),
            body: Bytes::from_mib(32),
            requests: 256,
            queue: 1024,
        }
    }
}

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    /// It can, and is wrong.
    #[error("{}", lines(path, mistakes))]
    Wrong { path: PathBuf, mistakes: Vec<Mistake> },
}

fn lines(path: &Path, mistakes: &[Mistake]) -> String {
    let lines: Vec<_> = mistakes.iter().map(|m| format!("{}: {m}", path.display())).collect();
    lines.join("\n")
}

impl Config {
    /// Reads the file at `path`, with `overrides` in place of what it says.
    pub(crate) fn read(path: &Path, overrides: &Overrides) -> Result<Self, ConfigError> {
        let read = std::fs::read_to_string(path);
        let text = read.map_err(|cause| ConfigError::Read { path: path.to_owned(), cause })?;
        let wrong = |mistakes| ConfigError::Wrong { path: path.to_owned(), mistakes };
        Self::parse(&text, overrides).map_err(wrong)
    }

    /// What `text` means, with `overrides` in place of what it says, or everything that is wrong
    /// in it.
    pub(crate) fn parse(text: &str, overrides: &Overrides) -> Result<Self, Vec<Mistake>> {
        let mut reader = Reader::new(text);
        let (document, errors) = DeTable::parse_recoverable(text);
        for error in errors {
            let span = error.span().unwrap_or(0..0);
            reader.complain(&span, "", error.message().to_owned());
        }
        let mut root = Section::new("", document.get_ref(), document.span());
        let config = Self {
            host: host(&mut root, overrides, &mut reader),
            server: server(&mut root, overrides, &mut reader),
            tenants: tenants(&mut root, &mut reader),
            models: model::models(&mut root, &mut reader),
        };
        root.finish(&mut reader);
        let mistakes = reader.into_mistakes();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }
}

fn host(root: &mut Section<'_>, overrides: &Overrides, reader: &mut Reader<'_>) -> HostConfig {
    let mut host = HostConfig::default();
    if let Some(mut section) = root.section("host", reader) {
        host.memory = section.parse("memory", reader).unwrap_or(host.memory);
        host.cpu = section.parse("cpu", reader).unwrap_or(host.cpu);
        host.reserve = section.parse("reserve", reader).unwrap_or(host.reserve);
        for text in section.texts("accelerators", reader).unwrap_or_default() {
            match text.parse() {
                Ok(memory) => host.accelerators.push(memory),
                Err(error) => section.object("accelerators", error_text(&error), reader),
            }
        }
        if host.accelerators.len() > DeviceIndex::all().count() {
            let what = format!("at most {} can be counted", DeviceIndex::all().count());
            section.object("accelerators", what, reader);
        }
        section.finish(reader);
    }
    host.memory = overrides.memory.unwrap_or(host.memory);
    host.cpu = overrides.cpu.unwrap_or(host.cpu);
    host
}

fn error_text(error: &QuantityError) -> String {
    error.to_string()
}

fn server(root: &mut Section<'_>, overrides: &Overrides, reader: &mut Reader<'_>) -> ServerConfig {
    let mut server = ServerConfig::default();
    let section = root.section("server", reader);
    let mut section = section.unwrap_or_else(|| Section::absent("server"));
    server.listen = section.parse("listen", reader).unwrap_or(server.listen);
    server.token = section.parse("token", reader);
    server.state = section.parse("state", reader);
    let adopt_grace = section.duration("adopt_grace", reader);
    server.adopt_grace = adopt_grace.unwrap_or(server.adopt_grace);
    server.within = section.duration("within", reader).unwrap_or(server.within);
    let answer_within = section.duration("answer_within", reader);
    server.answer_within = answer_within.unwrap_or(server.answer_within);
    server.drain_within = section.duration("drain_within", reader).unwrap_or(server.drain_within);
    server.body = section.parse("body", reader).unwrap_or(server.body);
    let count = |value: Option<u64>, default: usize| {
        value.and_then(|value| usize::try_from(value).ok()).unwrap_or(default)
    };
    server.requests = count(section.whole("requests", 1..=65536, reader), server.requests);
    server.queue = count(section.whole("queue", 0..=65536, reader), server.queue);
    server.listen = overrides.listen.unwrap_or(server.listen);
    server.token = overrides.token.clone().or(server.token);
    server.state = overrides.state.clone().or(server.state);
    if server.token.as_ref().is_some_and(String::is_empty) {
        section.object("token", "it is empty, which protects nothing".to_owned(), reader);
    }
    if !server.listen.ip().is_loopback() && server.token.is_none() {
        let listen = server.listen;
        let what = format!("{listen} can be reached from elsewhere: set a token, or use loopback");
        section.object("listen", what, reader);
    }
    section.finish(reader);
    server
}

fn tenants(root: &mut Section<'_>, reader: &mut Reader<'_>) -> BTreeMap<TenantId, TenantConfig> {
    let mut tenants = BTreeMap::new();
    let Some(all) = root.section("tenants", reader) else { return tenants };
    for (name, mut section) in all.named(reader) {
        let weight = section.whole("weight", 1..=1_000_000, reader).unwrap_or(1);
        let quota = section.parse("quota", reader);
        let limit = section.parse("limit", reader);
        let token = section.parse("token", reader);
        let priority = section.parse("priority", reader).unwrap_or(Priority::Critical);
        match TenantId::new(&name) {
            Ok(tenant) => {
                let config = TenantConfig { weight, quota, limit, token, priority };
                tenants.insert(tenant, config);
            }
            Err(error) => section.object("", error.to_string(), reader),
        }
        section.finish(reader);
    }
    tenants
}

#[cfg(test)]
mod tests {
    use super::*;
    use plimsoll_core_types::ModelId;

    fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
        Config::parse(text, &Overrides::default())
    }

    const WHOLE: &str = r#"
[host]
memory = "80%"
cpu = 2
reserve = "128Mi"

[server]
listen = "127.0.0.1:9000"
within = "30s"

[tenants.batch]
weight = 3
limit = "25%"

[models.llama]
command = ["llama-server", "-m", "llama.gguf", "--port", "{port}", "--threads", "{threads}"]
memory = "auto"
cpu = "500m"
slots = 4
keep_alive = "10m"
pin = true
priority = "high"
fallback = "small"

[models.small]
url = "http://127.0.0.1:8081"
memory = "2Gi"

[models.toy]
embedded = "64Mi"
"#;

    #[test]
    fn a_whole_config_means_what_it_says() {
        let config = parse(WHOLE).unwrap();
        assert_eq!(config.host.cpu, AmountOrShare::Amount(Millicores::from_cores(2)));
        assert_eq!(config.host.reserve, Bytes::from_mib(128));
        assert_eq!(config.server.within, Duration::from_secs(30));
        assert_eq!(config.tenants[&TenantId::new("batch").unwrap()].weight, 3);
        let llama = config.models.iter().find(|model| model.id.as_str() == "llama").unwrap();
        assert_eq!((llama.slots, llama.pin, llama.priority), (4, true, Priority::High));
        assert_eq!(llama.memory, Footprint::Auto);
        assert_eq!(llama.keep_alive, Some(Duration::from_mins(10)));
        assert_eq!(llama.fallback, Some(ModelId::new("small").unwrap()));
        let small = config.models.iter().find(|model| model.id.as_str() == "small").unwrap();
        assert!(matches!(&small.engine, EngineConfig::Url { .. }), "{small:?}");
    }

    #[test]
    fn an_empty_config_is_the_default() {
        let config = parse("").unwrap();
        assert_eq!(config.host, HostConfig::default());
        assert_eq!(config.server.listen, LISTEN);
        assert!(config.models.is_empty());
    }

    #[test]
    fn every_mistake_is_named_with_its_line_and_key() {
        let text = r#"
[host]
memory = "4Gx"
cpus = 2

[server]
listen = "0.0.0.0:80"

[models.a]
memory = "1Gi"

[models.b]
url = "http://127.0.0.1:1"
embedded = "64Mi"
slots = 0
priority = "urgent"
fallback = "nobody"
"#;
        let mistakes = parse(text).unwrap_err();
        let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
        let check = |line: usize, key: &str, part: &str| {
            let found = lines.iter().any(|text| {
                text.starts_with(&format!("line {line}: {key}: ")) && text.contains(part)
            });
            assert!(found, "line {line} {key} {part}: {lines:#?}");
        };
        check(3, "host.memory", "4Gx");
        check(4, "host.cpus", "did you mean cpu?; known are accelerators, cpu, memory, reserve");
        check(7, "server.listen", "set a token");
        check(9, "models.a.engine", "one of command, url, embedded");
        check(12, "models.b.engine", "only one of command, url, embedded");
        check(15, "models.b.slots", "from 1 to");
        check(16, "models.b.priority", "urgent");
        check(17, "models.b.fallback", "there is no model nobody");
        assert_eq!(lines.len(), 8, "{lines:#?}");
    }

    #[test]
    fn the_environment_and_flags_win_over_the_file() {
        let overrides = Overrides {
            listen: Some("0.0.0.0:80".parse().unwrap()),
            token: Some("secret".to_owned()),
            memory: Some("50%".parse().unwrap()),
            ..Overrides::default()
        };
        let config = Config::parse(WHOLE, &overrides).unwrap();
        assert_eq!(config.server.listen, "0.0.0.0:80".parse().unwrap());
        assert_eq!(config.host.memory, "50%".parse().unwrap());
        assert_eq!(config.host.cpu, AmountOrShare::Amount(Millicores::from_cores(2)));
        let open = Overrides { token: None, ..overrides };
        let mistakes = Config::parse(WHOLE, &open).unwrap_err();
        assert!(mistakes[0].to_string().contains("set a token"), "{mistakes:?}");
    }

    #[test]
    fn what_means_nothing_for_an_engine_is_complained_of() {
        let text = "[models.a]\nurl = \"http://127.0.0.1:1\"\nport = 9\n\n[models.b]\nurl = \"https://x\"\n";
        let mistakes: Vec<_> = parse(text).unwrap_err().iter().map(ToString::to_string).collect();
        assert!(mistakes[0].starts_with("line 3: models.a.port: "), "{mistakes:?}");
        assert!(mistakes[1].starts_with("line 6: models.b.url: "), "{mistakes:?}");
    }

    /// What is known stands in the complaint of what is not.
    #[test]
    fn the_schema_knows_what_the_reader_knows() {
        let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
        let properties = &schema["properties"];
        let check = |text: &str, schema: &serde_json::Value| {
            let mistakes = parse(text).unwrap_err();
            let unknown = mistakes.iter().find(|mistake| mistake.what.starts_with("unknown key"));
            let known = unknown.unwrap().what.rsplit_once("known are ").unwrap().1;
            let known: std::collections::BTreeSet<_> = known.split(", ").collect();
            let keys = schema["properties"].as_object().unwrap().keys();
            assert_eq!(known, keys.map(String::as_str).collect(), "{text}");
        };
        check("zzzzzz = 1", &schema);
        check("[host]\nzzzzzz = 1", &properties["host"]);
        check("[server]\nzzzzzz = 1", &properties["server"]);
        check("[tenants.a]\nzzzzzz = 1", &properties["tenants"]["additionalProperties"]);
        let model = &properties["models"]["additionalProperties"];
        check("[models.a]\nembedded = \"8Mi\"\nzzzzzz = 1", model);
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let mistakes = parse("[host]\nmemory = \n").unwrap_err();
        assert_eq!(mistakes[0].line, 2, "{mistakes:?}");
    }
}

//! `plimsoll.toml`: what may be loaded, by what, and how much of the host it may take.

mod group;
mod host;
mod model;
mod reader;
mod server;
mod tenant;
mod tls;

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::Args;
use plimsoll_core_types::{AmountOrShare, Bytes, Millicores, TenantId};
use toml::de::DeTable;

pub(crate) use group::GroupsConfig;
pub(crate) use host::HostConfig;
pub(crate) use model::{EngineConfig, Footprint, ModelConfig};
pub(crate) use reader::Mistake;
use reader::{Reader, Section};
pub(crate) use server::ServerConfig;
pub(crate) use tenant::TenantConfig;
pub(crate) use tls::TlsConfig;

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
    pub(crate) groups: GroupsConfig,
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

/// Why there is no config.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigError {
    /// The file can't be read.
    #[error("{}: {cause}", path.display())]
    Read { path: PathBuf, cause: std::io::Error },
    /// A file that it names can't be used.
    #[error("{}: {error}", path.display())]
    Tls { path: PathBuf, error: crate::tls::TlsError },
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
        let host = host::host(&mut root, overrides, &mut reader);
        let server = server::server(&mut root, overrides, &mut reader);
        let tenants = tenant::tenants(&mut root, &mut reader);
        let models = model::models(&mut root, &mut reader);
        let groups = group::groups(&mut root, &models, &mut reader);
        let config = Self { host, server, tenants, models, groups };
        root.finish(&mut reader);
        let mistakes = reader.into_mistakes();
        if mistakes.is_empty() { Ok(config) } else { Err(mistakes) }
    }
}

#[cfg(test)]
mod tests;

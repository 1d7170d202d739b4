//! `plimsoll serve`: one address for every model of a config, loaded when asked for.

mod admin;
mod assemble;
mod auth;
mod broker;
mod listen;
mod metrics;
mod proxy;
mod recover;
mod relay;
mod reload;
mod router;
pub(crate) mod settings;
mod upkeep;

use std::num::NonZero;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;

use crate::config::{Config, ConfigError, Overrides};
use crate::fleet::Guards;
use crate::output::{complain, line};
use crate::tls::{Tls, TlsError};
use crate::{FAILED, USAGE};
pub(crate) use assemble::capacity as host_capacity;
pub(crate) use assemble::{Foundation, build};
pub(crate) use broker::Broker;
pub(crate) use listen::serve as listen;
pub(crate) use proxy::proxy;
pub(crate) use router::Answerer;
pub(crate) use upkeep::{note, note_waiters};

/// What `serve` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServeArgs {
    /// The config; `plimsoll init` writes one
    #[arg(long, env = "PLIMSOLL_CONFIG", default_value = "plimsoll.toml", value_name = "FILE")]
    pub(crate) config: PathBuf,
    #[command(flatten)]
    pub(crate) overrides: Overrides,
    /// Print no events, only what goes wrong
    #[arg(long)]
    pub(crate) quiet: bool,
}

/// Why the broker can't serve.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ServeError {
    /// The config is not there, or wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The front's address is taken.
    #[error(
        "{listen} can't be bound: {cause}; use another one with --listen, or port 0 for a free one"
    )]
    Listen { listen: std::net::SocketAddr, cause: std::io::Error },
    /// The host does not tell what it has.
    #[error(transparent)]
    Probe(#[from] plimsoll_core_types::ProbeError),
    /// The folder of what is kept can't be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// What the front should prove itself by can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Something else that should not happen.
    #[error("{step} failed: {cause}")]
    Internal { step: &'static str, cause: String },
}

impl ServeError {
    pub(crate) fn internal(step: &'static str, cause: &dyn std::fmt::Display) -> Self {
        Self::Internal { step, cause: cause.to_string() }
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Listen { .. } | Self::Store(_) | Self::Tls(_) => USAGE,
            Self::Probe(_) | Self::Internal { .. } => FAILED,
        }
    }
}

/// Serves until it is told to stop.
pub(crate) fn run(args: &ServeArgs) -> ExitCode {
    crate::output::log_to_stderr();
    match serve(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(ServeError::Config(ConfigError::Read { path, cause }))
            if cause.kind() == std::io::ErrorKind::NotFound =>
        {
            let path = path.display();
            complain(&format!("there is no {path}; `plimsoll init` writes one"), USAGE)
        }
        Err(error) => complain(&error.to_string(), error.code()),
    }
}

fn serve(args: &ServeArgs) -> Result<(), ServeError> {
    let config = Config::read(&args.config, &args.overrides)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(workers(std::thread::available_parallelism().map_or(1, NonZero::get)))
        .enable_all()
        .build()
        .map_err(|error| ServeError::internal("starting the runtime", &error))?;
    // Leaving this scope drops the runtime, and with it every task that owns an engine's process.
    runtime.block_on(until_stopped(args, config))
}

/// How many threads pass requests on, of a host with so many cores. One passes on several thousand
/// a second; a second one that has nothing to do is woken for each all the same, to look for work.
fn workers(cores: usize) -> usize {
    (cores / 8).clamp(1, 4)
}

async fn until_stopped(args: &ServeArgs, config: Config) -> Result<(), ServeError> {
    let tls = config.server.tls.as_ref().map(Tls::load).transpose()?.map(Arc::new);
    let listen = config.server.listen;
    let listener =
        TcpListener::bind(listen).await.map_err(|cause| ServeError::Listen { listen, cause })?;
    let address =
        listener.local_addr().map_err(|error| ServeError::internal("reading the port", &error))?;
    let broker = Arc::new(assemble::assemble(&config).await?);
    let reload = tokio::spawn(reload::on_hangup(Arc::clone(&broker), args.clone(), tls.clone()));
    introduce(&broker, &config, address);
    // What it says is in force, and a long one takes a megabyte.
    drop(config);
    let events = (!args.quiet).then(|| tokio::spawn(upkeep::print_events(Arc::clone(&broker))));
    let signals = tokio::spawn(stop_on_signal(Arc::clone(&broker)));
    let answerer = Answerer::new(Arc::clone(&broker));
    // On this thread, which passes no request on and so delays none.
    let drained = tokio::select! {
        drained = listen::serve(listener, tls, Arc::clone(&broker), answerer) => drained,
        never = upkeep::run(Arc::clone(&broker)) => match never {},
    };
    if !drained {
        line("some requests took longer than drain_within and were broken off");
    }
    reload.abort();
    upkeep::unload_all(&broker).await;
    signals.abort();
    if let Some(events) = events {
        events.abort();
    }
    line("stopped");
    Ok(())
}

fn introduce(broker: &Broker, config: &Config, address: std::net::SocketAddr) {
    let scheme = if config.server.tls.is_some() { "https" } else { "http" };
    line(&format!("plimsoll serves {scheme}://{address}/v1 ({} models)", config.models.len()));
    let limit = plimsoll_core_types::ResourcePool::monitor(&*broker.pool).limit;
    line(&format!("line: {limit} for all models together"));
    if let Some(grace) = broker.world.guards.as_ref().and_then(Guards::grace) {
        line(&format!("engines: they wait {grace:?} for another broker where this one is killed"));
    }
    for warning in &broker.integration.warnings {
        line(&format!("note: {warning}"));
    }
}

/// Asks the broker to stop at the first signal, and ends this process at the second.
async fn stop_on_signal(broker: Arc<Broker>) {
    crate::signals::interrupted().await;
    line("stopping: requests in progress are finished first; once more to stop at once");
    broker.stopping.cancel();
    crate::signals::interrupted().await;
    broker.engines.abandon();
    crate::output::leave(130);
}

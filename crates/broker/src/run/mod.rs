//! `plimsoll run`: any command, once there is room for it.

mod child;
mod daemon;
mod local;
mod place;

use std::ffi::OsString;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use plimsoll_core_types::{Bytes, ConsumerId, DeviceIndex, Millicores, Priority, ResourceVector};

use crate::client::{Client, ServerArgs};
use crate::config::Footprint;
use crate::output::complain;
use crate::{FAILED, USAGE};
use child::Child;
use daemon::DaemonLease;
use local::{LocalLease, LocalLedger};

/// The exit code where there was no room in time, which schedulers know as "try again".
const NO_ROOM: u8 = 75;

/// What `run` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct RunArgs {
    /// What it is called: what is learned of it is kept under this name
    #[arg(long)]
    name: ConsumerId,
    /// Memory that it needs, or `auto`: what it was measured to need
    #[arg(long, default_value = "auto", value_name = "QUANTITY|auto")]
    memory: Footprint,
    /// Cores that it may use
    #[arg(long, default_value = "1", value_name = "QUANTITY")]
    cpu: Millicores,
    /// Memory of an accelerator that it needs
    #[arg(long, value_name = "QUANTITY")]
    accelerator: Option<Bytes>,
    /// Which accelerator
    #[arg(long, default_value_t = 0, value_name = "NUMBER")]
    device: u8,
    /// Who goes first
    #[arg(long, default_value = "normal")]
    priority: Priority,
    /// How long to wait for room; then it ends with exit code 75
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    wait: Option<Duration>,
    /// Ask no broker, even where one runs: share the host with other `run`s alone
    #[arg(long)]
    no_daemon: bool,
    #[command(flatten)]
    server: ServerArgs,
    /// Folder that all `run`s of this host share where there is no broker
    #[arg(long, env = "PLIMSOLL_STATE", value_name = "FOLDER")]
    state: Option<std::path::PathBuf>,
    /// Memory that all `run`s together may take where there is no broker, such as 8Gi or 80%
    #[arg(long, env = "PLIMSOLL_MEMORY", default_value = "80%", value_name = "QUANTITY|PERCENT")]
    budget: plimsoll_core_types::AmountOrShare<Bytes>,
    /// The command; `{threads}` in its arguments is filled in
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    command: Vec<OsString>,
}

/// What is asked for.
#[derive(Clone, Debug)]
struct Want {
    name: ConsumerId,
    /// None asks for what the name was measured to need.
    memory: Option<Bytes>,
    rest: ResourceVector,
    priority: Priority,
    wait: Option<Duration>,
}

/// A lease, whoever has granted it.
#[derive(Debug)]
enum Lease {
    Daemon(Box<DaemonLease>),
    Local(Box<LocalLease>),
}

/// Why the command was not run.
#[derive(Debug, thiserror::Error)]
enum RunError {
    /// A value is wrong.
    #[error("{0}")]
    Usage(String),
    /// There was no room in time.
    #[error("{0}")]
    NoRoom(String),
    /// It can never be run here.
    #[error("{0}")]
    Never(String),
    /// It was interrupted while it waited.
    #[error("interrupted while it waited for room")]
    Interrupted,
    /// Something else that should not happen.
    #[error("{step} failed: {cause}")]
    Internal { step: &'static str, cause: String },
}

impl RunError {
    fn internal(step: &'static str, cause: &dyn std::fmt::Display) -> Self {
        Self::Internal { step, cause: cause.to_string() }
    }

    const fn code(&self) -> u8 {
        match self {
            Self::Usage(_) => USAGE,
            Self::NoRoom(_) => NO_ROOM,
            Self::Never(_) | Self::Internal { .. } => FAILED,
            Self::Interrupted => 130,
        }
    }
}

/// Waits for room, runs the command, and ends as it does.
pub(crate) fn run(args: &RunArgs) -> ExitCode {
    crate::output::log_to_stderr();
    match crate::client::block_on(until_it_ends(args)) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => complain(&error.to_string(), error.code()),
        Err(error) => complain(&format!("starting the runtime failed: {error}"), FAILED),
    }
}

async fn until_it_ends(args: &RunArgs) -> Result<u8, RunError> {
    let want = want(args)?;
    let mut interrupts = std::pin::pin!(crate::signals::interrupted());
    let lease = tokio::select! {
        lease = take(args, &want) => lease?,
        _ = &mut interrupts => return Err(RunError::Interrupted),
    };
    let amount = lease.amount();
    let child = Child::launch(&args.command, &amount, args.accelerator.map(|_| args.device))?;
    // Should this process be killed, the lease is the child's: it goes on as long as that does.
    lease.hand_to(child.pid());
    let ended = child.ended(&lease).await;
    lease.release(ended.peak, &amount).await;
    Ok(ended.code)
}

fn want(args: &RunArgs) -> Result<Want, RunError> {
    let memory = match args.memory {
        Footprint::Auto => None,
        Footprint::Declared(bytes) => Some(bytes),
    };
    let mut rest = ResourceVector::new().with_cpu(args.cpu);
    if let Some(bytes) = args.accelerator {
        let device = DeviceIndex::new(args.device);
        let device = device.map_err(|error| RunError::Usage(format!("--device: {error}")))?;
        rest = rest.with_accelerator(device, bytes);
    }
    let (name, priority, wait) = (args.name.clone(), args.priority, args.wait);
    Ok(Want { name, memory, rest, priority, wait })
}

/// A lease of the broker where one runs, else of the ledger that all `run`s share.
async fn take(args: &RunArgs, want: &Want) -> Result<Lease, RunError> {
    if !args.no_daemon {
        let client = Client::new(&args.server).map_err(|e| RunError::Usage(e.to_string()))?;
        if client.get("/health").await.is_ok() {
            return DaemonLease::take(client, want).await.map(Box::new).map(Lease::Daemon);
        }
    }
    let folder = args.state.clone().unwrap_or_else(place::state_folder);
    let ledger = LocalLedger::open(&folder, args.budget)?;
    ledger.take(want).await.map(Box::new).map(Lease::Local)
}

impl Lease {
    fn amount(&self) -> ResourceVector {
        match self {
            Self::Daemon(lease) => lease.amount(),
            Self::Local(lease) => lease.amount(),
        }
    }

    fn hand_to(&self, pid: u32) {
        if let Self::Local(lease) = self {
            lease.hand_to(pid);
        }
    }

    /// Keeps it from expiring; says what it is that has gone wrong, once it has.
    async fn keep(&self) {
        match self {
            Self::Daemon(lease) => lease.keep().await,
            Self::Local(_) => std::future::pending().await,
        }
    }

    async fn release(self, peak: Option<Bytes>, declared: &ResourceVector) {
        match self {
            Self::Daemon(lease) => lease.release(peak).await,
            Self::Local(lease) => lease.release(peak, declared),
        }
    }
}

/// Says how the wait goes, where that has changed.
#[derive(Debug, Default)]
struct Told(String);

impl Told {
    fn tell(&mut self, text: String) {
        if self.0 != text {
            crate::output::aside(&text);
            self.0 = text;
        }
    }
}

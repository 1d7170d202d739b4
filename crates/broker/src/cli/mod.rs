//! The command line.

pub(crate) mod adopt;
pub(crate) mod check;
pub(crate) mod init;
pub(crate) mod profile;
pub(crate) mod ps;
pub(crate) mod top;
pub(crate) mod why;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::client::ClientError;
use crate::demo::DemoArgs;
use crate::engine::EngineArgs;
use crate::guard::GuardArgs;
use crate::hold::HoldArgs;
use crate::output::complain;
use crate::replay::ReplayArgs;
use crate::run::RunArgs;
use crate::serve::ServeArgs;
use crate::{FAILED, USAGE};
use adopt::AdoptArgs;
use check::CheckArgs;
use init::InitArgs;
use profile::ProfileArgs;
use ps::PsArgs;
use top::TopArgs;
use why::WhyArgs;

/// Loads a machine with models up to the line, and never past it.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve the models of a config at one address, loaded when asked for
    Serve(ServeArgs),
    /// Run any command once there is room for it, and learn what it needs
    Run(RunArgs),
    /// List who runs, who holds a lease and who waits
    Ps(PsArgs),
    /// Tell the last decisions about one model, with their reasons
    Why(WhyArgs),
    /// Watch a broker in the terminal
    Top(TopArgs),
    /// Look at a workload for a while: usage, bottlenecks, allocation, and what would help
    Profile(ProfileArgs),
    /// Find engines that others have started, and have them free their memory by their own verbs
    Adopt(AdoptArgs),
    /// Write a config from what runs on this host
    Init(InitArgs),
    /// Say everything that is wrong with a config, by line and key
    Check(CheckArgs),
    /// Serve real requests by real model processes in a small budget, and show every decision
    Demo(DemoArgs),
    /// See what Plimsoll, and others, would do with a recorded workload
    Replay(ReplayArgs),
    /// Run one embedded engine, as `demo` does for each of its models
    #[command(hide = true)]
    Engine(EngineArgs),
    /// Become another program that ends with its parent
    #[command(hide = true)]
    Hold(HoldArgs),
    /// Hold one engine for as long as a broker wants it
    #[command(hide = true)]
    Guard(GuardArgs),
}

/// Runs a command that asks a broker; says in one line what is wrong.
fn told(work: impl Future<Output = Result<(), ClientError>>) -> ExitCode {
    match crate::client::block_on(work) {
        Ok(Ok(())) => ExitCode::SUCCESS,
        Ok(Err(error)) => {
            let usage = matches!(error, ClientError::Url { .. });
            complain(&error.to_string(), if usage { USAGE } else { FAILED })
        }
        Err(error) => complain(&format!("starting the runtime failed: {error}"), FAILED),
    }
}

/// A name as a part of a path.
fn escaped(name: &str) -> String {
    let kept = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/:".contains(&byte);
    let part = |byte: u8| {
        if kept(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
    };
    name.bytes().map(part).collect()
}

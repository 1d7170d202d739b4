//! The command line.

use clap::{Parser, Subcommand};

use crate::demo::DemoArgs;
use crate::engine::EngineArgs;
use crate::replay::ReplayArgs;

/// Loads a machine with models up to the line, and never past it.
#[derive(Debug, Parser)]
#[command(name = "plimsoll", version, about, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Serve real requests by real model processes in a small budget, and show every decision
    Demo(DemoArgs),
    /// See what Plimsoll, and others, would do with a recorded workload
    Replay(ReplayArgs),
    /// Run one embedded engine, as `demo` does for each of its models
    #[command(hide = true)]
    Engine(EngineArgs),
}

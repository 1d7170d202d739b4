//! The command line.

pub(crate) mod check;

use clap::{Parser, Subcommand};

use crate::demo::DemoArgs;
use crate::engine::EngineArgs;
use crate::hold::HoldArgs;
use crate::replay::ReplayArgs;
use crate::run::RunArgs;
use crate::serve::ServeArgs;
use check::CheckArgs;

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
}

//! The `plimsoll` binary: engines as processes, under leases, behind one HTTP front.

mod cli;
mod demo;
mod engine;
mod fleet;
mod front;
mod http;
mod journal;
mod openai;
mod output;
mod replay;
mod traffic_meter;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use output::complain;

/// Something went wrong that is not the user's doing, or an invariant broke.
const FAILED: u8 = 1;
/// The command line or its values are wrong.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return output::usage(&error),
    };
    match cli.command {
        Command::Engine(args) => match engine::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.to_string(), FAILED),
        },
        Command::Replay(args) => match replay::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.to_string(), USAGE),
        },
        Command::Demo(args) => match demo::run(&args) {
            Ok(code) => ExitCode::from(code),
            Err(error) if error.is_usage() => complain(&error.to_string(), USAGE),
            Err(error) => complain(&error.to_string(), FAILED),
        },
    }
}

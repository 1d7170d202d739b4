//! The `plimsoll` binary: engines as processes, under leases, behind one HTTP front.

mod adopt;
mod cli;
mod client;
mod config;
mod demo;
mod engine;
mod fleet;
mod guard;
mod hold;
mod http;
mod journal;
mod lease;
mod openai;
mod output;
mod replay;
mod run;
mod serve;
mod signals;
mod store;
mod tls;
mod traffic_meter;
mod wall;

use std::process::ExitCode;

use clap::Parser as _;

use cli::{Cli, Command};
use output::complain;

/// Something went wrong that is not the user's doing, or an invariant broke.
const FAILED: u8 = 1;
/// The command line or its values are wrong.
const USAGE: u8 = 2;
/// The program that was to be run can't be, as shells say it.
const NOT_FOUND: u8 = 127;

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
        Command::Serve(args) => serve::run(&args),
        Command::Ps(args) => cli::ps::run(&args),
        Command::Why(args) => cli::why::run(&args),
        Command::Top(args) => cli::top::run(&args),
        Command::Profile(args) => cli::profile::run(&args),
        Command::Adopt(args) => cli::adopt::run(&args),
        Command::Init(args) => cli::init::run(&args),
        Command::Run(args) => run::run(&args),
        Command::Check(args) => cli::check::run(&args),
        Command::Hold(args) => complain(&hold::hold(&args), NOT_FOUND),
        Command::Guard(args) => match guard::run(&args) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => complain(&error.to_string(), FAILED),
        },
        Command::Demo(args) => match demo::run(&args) {
            Ok(code) => ExitCode::from(code),
            Err(error) if error.is_usage() => complain(&error.to_string(), USAGE),
            Err(error) => complain(&error.to_string(), FAILED),
        },
    }
}

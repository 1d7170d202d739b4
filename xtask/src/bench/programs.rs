//! The bench programs: found under `benches/`, built by cargo.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context as _, Result, bail};
use serde_json::Value;

use crate::cargo::{Metadata, Package, cargo};
use crate::line;

/// Packages with benches are named so, followed by their room.
const PREFIX: &str = "plimsoll-bench-";

/// One bench program.
#[derive(Debug)]
pub(super) struct Program {
    /// Package and bench, as `pool/instance`.
    pub(super) name: String,
    pub(super) executable: PathBuf,
    /// The package's folder, where it expects to run.
    pub(super) folder: PathBuf,
}

/// Builds the packages that can have rows named `filter`.
pub(super) fn build(metadata: &Metadata, filter: Option<&str>) -> Result<Vec<Program>> {
    let rooms: Vec<_> = metadata.packages.iter().filter_map(|p| Some((room(p)?, p))).collect();
    let first = filter.and_then(|filter| filter.split('.').next());
    let named = |room: &str, package: &Package| {
        first.is_some_and(|first| first == room || says(package).any(|name| name == first))
    };
    let any_named = rooms.iter().any(|(room, package)| named(room, package));
    let mut programs = Vec::new();
    for (room, package) in rooms {
        // `pool.x` can only be of the pool's benches; any other text may be anywhere.
        if !any_named || named(room, package) {
            line(&format!("building the benches of {room}"));
            programs.extend(build_package(room, package)?);
        }
    }
    programs.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(programs)
}

fn room(package: &Package) -> Option<&str> {
    let room = package.name.strip_prefix(PREFIX)?;
    let has_bench = package.targets.iter().any(|target| target.kind.iter().any(|k| k == "bench"));
    has_bench.then_some(room)
}

/// Whose rows a package says that it has, where its own name does not tell.
fn says(package: &Package) -> impl Iterator<Item = &str> {
    let rows = package.metadata["plimsoll"]["rows"].as_array();
    rows.into_iter().flatten().filter_map(Value::as_str)
}

fn build_package(room: &str, package: &Package) -> Result<Vec<Program>> {
    let output = cargo()
        .args(["bench", "--no-run", "--benches", "--message-format=json-render-diagnostics"])
        .args(["-p", &package.name])
        .stderr(Stdio::inherit())
        .output()
        .context("running cargo bench")?;
    if !output.status.success() {
        bail!("the benches of {room} do not build");
    }
    let folder = package.manifest_path.parent().unwrap_or(Path::new(".")).to_owned();
    let text = String::from_utf8_lossy(&output.stdout);
    let built = text.lines().filter_map(|line| {
        let (bench, executable) = artifact(line)?;
        Some(Program { name: format!("{room}-{bench}"), executable, folder: folder.clone() })
    });
    Ok(built.collect())
}

/// The bench that a line of cargo's output says it built.
fn artifact(line: &str) -> Option<(String, PathBuf)> {
    let message: Value = serde_json::from_str(line).ok()?;
    if message["reason"] != "compiler-artifact" || message["target"]["kind"][0] != "bench" {
        return None;
    }
    let name = message["target"]["name"].as_str()?.to_owned();
    Some((name, PathBuf::from(message["executable"].as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_benches_are_taken_from_what_cargo_says() {
        let line = r#"{"reason":"compiler-artifact","target":{"kind":["bench"],"name":"a"},"executable":"/x/a"}"#;
        assert_eq!(artifact(line), Some(("a".to_owned(), PathBuf::from("/x/a"))));
        let library = r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"a"},"executable":null}"#;
        assert_eq!(artifact(library), None);
        assert_eq!(artifact("no json"), None);
    }
}

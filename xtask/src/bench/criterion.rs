//! What criterion measured: nanoseconds by group and contender.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

/// One contender's time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Timing {
    /// The group: a row's name with its labels, as `name{key=value}`.
    pub(super) group: String,
    /// `plimsoll`, or a peer's name.
    pub(super) contender: String,
    /// Median time of one iteration.
    pub(super) nanos: f64,
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

/// Reads every measurement below `home`.
pub(super) fn read(home: &Path) -> Result<Vec<Timing>> {
    let mut found = Vec::new();
    walk(home, &mut found)?;
    Ok(found)
}

fn walk(folder: &Path, found: &mut Vec<Timing>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
    for entry in entries {
        let path = entry.with_context(|| format!("reading {}", folder.display()))?.path();
        if path.file_name().is_some_and(|name| name == "new")
            && path.join("benchmark.json").exists()
        {
            found.extend(timing(&path)?);
        } else if path.is_dir() {
            walk(&path, found)?;
        }
    }
    Ok(())
}

fn timing(folder: &Path) -> Result<Option<Timing>> {
    let benchmark: Benchmark = parse(&folder.join("benchmark.json"))?;
    let estimates: Estimates = parse(&folder.join("estimates.json"))?;
    let Some(contender) = benchmark.function_id else { return Ok(None) };
    let nanos = estimates.median.point_estimate;
    Ok(Some(Timing { group: benchmark.group_id, contender, nanos }))
}

fn parse<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<T> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("{} is not as expected", path.display()))
}

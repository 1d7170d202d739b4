//! The regret of the online optimizer against the best fixed policy, on recorded traces.
//!
//! `cargo run -p plimsoll-cache --release --features traces --example regret -- FOLDER [TRACE…]`
//! prints the table of `crates/cache/REGRET.md` for `NAME.u32.zst` in FOLDER, all of them unless
//! some are named. `corda+loop+corda` is made from two of them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plimsoll_cache::replay::{Capacity, Engine, Trace, TraceError, replay};

const SHARES: [f64; 5] = [0.001, 0.01, 0.05, 0.1, 0.3];
const LEAST_ENTRIES: f64 = 64.0;

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        say("usage: regret FOLDER [TRACE…]");
        return ExitCode::FAILURE;
    };
    let named: Vec<String> = arguments.map(|name| name.to_string_lossy().into_owned()).collect();
    match table(&folder, &named) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn table(folder: &Path, named: &[String]) -> Result<(), Box<dyn std::error::Error>> {
    say(
        "| trace | capacity | entries | best fixed | its hits | adaptive | regret | Belady | switches |",
    );
    say("|---|--:|--:|---|--:|--:|--:|--:|--:|");
    let mut regrets = Vec::new();
    let names = if named.is_empty() { names(folder)? } else { named.to_vec() };
    for name in names {
        let trace = load(folder, &name)?;
        for share in SHARES {
            if trace.unique_keys() as f64 * share >= LEAST_ENTRIES - 0.5 {
                regrets.push(cell(&name, &trace, Capacity::Share(share))?);
            }
        }
    }
    let mean = regrets.iter().sum::<f64>() / regrets.len().max(1) as f64;
    let most = regrets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let over = regrets.iter().filter(|regret| **regret > 1.0).count();
    let cells = regrets.len();
    say(&format!(
        "\n{cells} cells: regret {mean:.3} points mean, {most:.2} at the most, above 1.0 in {over}."
    ));
    Ok(())
}

fn cell(name: &str, trace: &Trace, capacity: Capacity) -> Result<f64, Box<dyn std::error::Error>> {
    let report = replay(trace, capacity, Engine::Exact)?;
    let percent = |policy: &str| {
        let row = report.rows.iter().find(|row| row.labels["policy"] == policy);
        row.map_or(f64::NAN, |row| row.value * 100.0)
    };
    let (adaptive, belady) = (percent("adaptive"), percent("belady"));
    let fixed = report.rows.iter().filter(|row| {
        row.name == "hit_ratio" && !["adaptive", "belady"].contains(&row.labels["policy"].as_str())
    });
    let best = fixed.max_by(|a, b| a.value.total_cmp(&b.value)).ok_or("no fixed policy")?;
    let hits = best.value * 100.0;
    let (regret, switches) = (hits - adaptive, report.switches.len());
    say(&format!(
        "| {name} | {capacity} | {} | {} | {hits:.2} | {adaptive:.2} | {regret:.2} | {belady:.2} | {switches} |",
        report.capacity, best.labels["policy"],
    ));
    Ok(regret)
}

fn load(folder: &Path, name: &str) -> Result<Trace, TraceError> {
    let read = |name: &str| Trace::read(&folder.join(format!("{name}.u32.zst")));
    if name != "corda+loop+corda" {
        return read(name);
    }
    let corda = read("corda_vaultservice")?;
    let round = read("lirs_loop")?.with_other_keys();
    Ok(corda.clone().then(&round).then(&corda))
}

fn names(folder: &Path) -> std::io::Result<Vec<String>> {
    let mut names = vec!["corda+loop+corda".to_owned()];
    for entry in std::fs::read_dir(folder)? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(name) = name.strip_suffix(".u32.zst").filter(|name| !name.contains(".sizes")) {
            names.push(name.to_owned());
        }
    }
    names.sort();
    Ok(names)
}

fn say(line: &str) {
    // A closed standard output ends the table early, no more.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

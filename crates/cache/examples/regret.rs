//! The regret of the online optimizer against the best fixed policy, on recorded traces.
//!
//! `cargo run -p plimsoll-cache --release --features traces --example regret -- FOLDER [TRACE…]`
//! prints the table of `docs/cache-regret.md` for `NAME.u32.zst` in FOLDER, all of them unless
//! some are named. `corda+loop+corda` is made from two of them. With `--write FILE` first, the
//! table goes into that file too, under its heading.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use plimsoll_cache::replay::{Capacity, Engine, Trace, TraceError, replay};

const SHARES: [f64; 5] = [0.001, 0.01, 0.05, 0.1, 0.3];
const LEAST_ENTRIES: f64 = 64.0;

/// The traces on which the optimizer's settings were chosen.
const CHOSEN_ON: [&str; 10] = [
    "adaptsize_request",
    "arc_P12",
    "arc_P3",
    "cache2k_web07",
    "cloudphysics_w106",
    "corda_vaultservice",
    "lirs_gli",
    "lirs_multi1",
    "lirs_sprite",
    "scarab_recs",
];

const HEADING: &str = "\
# The cache optimizer's regret

Hit ratios in %, from empty, over whole recorded traces. *Best fixed* is the best of the eight
modelled policies on that trace at that capacity, known only afterwards; *adaptive* is the optimizer,
which chooses among six of them while it serves and pays for every miss that its changes cause;
*regret* is the difference in percentage points, *Belady* what a clairvoyant would hit. Capacities
are shares of the trace's unique keys; cells of fewer than 64 entries are left out.

All of the table is from one run of the command below, which is deterministic. The optimizer's
memories, windows and thresholds were chosen on ten of the traces, by a search that saw no others:
adaptsize_request, arc_P12, arc_P3, cache2k_web07, cloudphysics_w106, corda_vaultservice, lirs_gli,
lirs_multi1, lirs_sprite and scarab_recs. The last lines give both halves. Where each policy puts the
entries that it takes over from another, and the candidates, were chosen on traces of both.

The goal is a regret of at most 0.5 points on average and at most 1.0 in every cell. Regenerate with

```sh traces long
cargo run -p plimsoll-cache --release --features traces --example regret -- --write docs/cache-regret.md \"$PLIMSOLL_TRACES/cache\"
```

where the folder holds traces as `NAME.u32.zst`, little-endian keys in the order of the requests.

";

fn main() -> ExitCode {
    let mut arguments: Vec<_> = std::env::args_os().skip(1).collect();
    let mut file = None;
    if arguments.first().is_some_and(|first| first == "--write") && arguments.len() > 1 {
        file = arguments.drain(..2).nth(1).map(PathBuf::from);
    }
    let mut arguments = arguments.into_iter();
    let Some(folder) = arguments.next().map(PathBuf::from) else {
        say("usage: regret [--write FILE] FOLDER [TRACE…]");
        return ExitCode::FAILURE;
    };
    let named: Vec<String> = arguments.map(|name| name.to_string_lossy().into_owned()).collect();
    let written = table(&folder, &named).and_then(|table| match file {
        Some(file) => Ok(std::fs::write(file, format!("{HEADING}{table}"))?),
        None => Ok(()),
    });
    match written {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn table(folder: &Path, named: &[String]) -> Result<String, Box<dyn std::error::Error>> {
    let mut table = String::new();
    let mut add = |line: &str| {
        say(line);
        table.push_str(line);
        table.push('\n');
    };
    add("| trace | capacity | entries | best fixed | its hits | adaptive | regret | Belady |");
    add("|---|--:|--:|---|--:|--:|--:|--:|");
    let mut regrets: Vec<(bool, f64)> = Vec::new();
    let names = if named.is_empty() { names(folder)? } else { named.to_vec() };
    for name in names {
        let trace = load(folder, &name)?;
        for share in SHARES {
            if trace.unique_keys() as f64 * share >= LEAST_ENTRIES - 0.5 {
                let (line, regret) = cell(&name, &trace, Capacity::Share(share))?;
                add(&line);
                regrets.push((CHOSEN_ON.contains(&name.as_str()), regret));
            }
        }
    }
    let of = |chosen: bool| regrets.iter().filter(move |(on, _)| *on == chosen);
    let all: Vec<f64> = regrets.iter().map(|(_, regret)| *regret).collect();
    add(&format!("\n{}", summary("All", &all)));
    for (what, chosen) in [("Settings chosen on these", true), ("Held out", false)] {
        let part: Vec<f64> = of(chosen).map(|(_, regret)| *regret).collect();
        add(&format!("\n{}", summary(what, &part)));
    }
    Ok(table)
}

fn summary(what: &str, regrets: &[f64]) -> String {
    let mean = regrets.iter().sum::<f64>() / regrets.len().max(1) as f64;
    let most = regrets.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let over = regrets.iter().filter(|regret| **regret > 1.0).count();
    let cells = regrets.len();
    format!(
        "{what}: {cells} cells, regret {mean:.3} points mean, {most:.2} at the most, above 1.0 in {over}."
    )
}

fn cell(
    name: &str,
    trace: &Trace,
    capacity: Capacity,
) -> Result<(String, f64), Box<dyn std::error::Error>> {
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
    let regret = hits - adaptive;
    let line = format!(
        "| {name} | {capacity} | {} | {} | {hits:.2} | {adaptive:.2} | {regret:.2} | {belady:.2} |",
        report.capacity, best.labels["policy"],
    );
    Ok((line, regret))
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

//! `cargo xtask bench`: each crate beside its peers, in passes, into one report.
//!
//! Every package under `benches/` is built once and run several times, pass after pass, so that a
//! machine that changes its mood in between does so to all contenders alike. Each figure is the
//! median over the passes.

pub(crate) mod baseline;
mod criterion;
mod merge;
mod programs;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::Args;

use crate::cargo::Metadata;
use crate::line;
use crate::page;
use crate::report::{Report, Row, figure};
use programs::Program;

/// Which benches, and how.
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Only rows whose name holds this, such as `pool.` or `memory.reject`; `targets` for all of
    /// `target.`
    filter_by_name: Option<String>,
    /// The same, as an option
    #[arg(long, value_name = "TEXT", conflicts_with = "filter_by_name")]
    filter: Option<String>,
    /// One short pass: shows that every bench runs; its figures mean nothing
    #[arg(long)]
    smoke: bool,
    /// How many times every bench is run
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=100))]
    passes: u32,
    /// Measure nothing: show this earlier report
    #[arg(long, value_name = "FILE", conflicts_with_all = ["smoke", "passes", "filter", "filter_by_name"])]
    from: Option<PathBuf>,
    /// Compare with this earlier report
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// Fail where a figure, as a ratio to its peer, got worse than in the baseline by more
    #[arg(long, value_name = "PCT", default_value_t = 10.0, requires = "baseline")]
    max_regress: f64,
    /// Write the report to this file too
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
    /// Write the table to this Markdown file too, with how it was made
    #[arg(long, value_name = "FILE", conflicts_with = "smoke")]
    write: Option<PathBuf>,
}

impl BenchArgs {
    fn wanted(&self) -> Option<&str> {
        let wanted = self.filter.as_deref().or(self.filter_by_name.as_deref());
        wanted.map(|text| if text == "targets" { "target." } else { text })
    }
}

/// Runs the benches. True when nothing got worse than the baseline allows.
pub(crate) fn run(args: &BenchArgs) -> Result<bool> {
    let metadata = Metadata::read()?;
    let folder = metadata.report_dir()?;
    let baseline = args.baseline.as_deref().map(Report::read).transpose()?;
    let report = match &args.from {
        Some(earlier) => Report::read(earlier)?,
        None => measured(&metadata, args, &folder.join("bench"))?,
    };
    report.write(&folder, "bench", args.json.as_deref())?;
    line(&report.markdown());
    if let Some(path) = &args.write {
        fs::write(path, summary(&report, args))
            .with_context(|| format!("writing {}", path.display()))?;
    }
    let changes = baseline.as_ref().map(|before| baseline::changes(&before.rows, &report.rows));
    let fine = match (&baseline, &changes) {
        (Some(before), Some(changes)) => compare(before, changes, args.max_regress),
        _ => true,
    };
    page::write(&folder, &report, changes.as_deref().unwrap_or_default(), args.max_regress)?;
    summarize(&report.rows, &folder);
    Ok(fine)
}

/// Builds the benches and runs them, pass by pass.
fn measured(metadata: &Metadata, args: &BenchArgs, scratch: &Path) -> Result<Report> {
    let programs = programs::build(metadata, args.wanted())?;
    if programs.is_empty() {
        bail!("no bench has rows named {:?}", args.wanted().unwrap_or_default());
    }
    // Measurements of an earlier run are not this run's; there may be none.
    let _ = fs::remove_dir_all(scratch);
    let passes = if args.smoke { 1 } else { args.passes };
    let mut merged = merge::Merge::default();
    for pass in 1..=passes {
        for program in &programs {
            line(&format!("pass {pass} of {passes}: {}", program.name));
            merged.add(measure(program, pass, args, scratch)?);
        }
    }
    let rows = merged.rows();
    if rows.is_empty() {
        bail!("no bench has rows named {:?}", args.wanted().unwrap_or_default());
    }
    let mut report = Report::new(rows);
    report.host.insert("passes".to_owned(), passes.to_string());
    if args.smoke {
        report.host.insert("run".to_owned(), "one short pass: figures mean nothing".to_owned());
    }
    Ok(report)
}

/// Runs one program, and reads what it measured.
fn measure(program: &Program, pass: u32, args: &BenchArgs, scratch: &Path) -> Result<merge::Pass> {
    let home = scratch.join(format!("{}-{pass}", program.name));
    fs::create_dir_all(&home).with_context(|| format!("making {}", home.display()))?;
    let rows = home.join("rows.jsonl");
    let mut command = std::process::Command::new(&program.executable);
    command
        .arg("--bench")
        .args(args.wanted())
        .current_dir(&program.folder)
        .env("CRITERION_HOME", &home)
        .env("PLIMSOLL_BENCH_ROWS", &rows)
        .env("PLIMSOLL_BENCH_SMOKE", if args.smoke { "1" } else { "0" });
    let status =
        command.status().with_context(|| format!("running {}", program.executable.display()))?;
    if !status.success() {
        bail!("{} ended with {status}", program.name);
    }
    Ok(merge::Pass { timings: criterion::read(&home)?, said: merge::read(&rows)? })
}

/// The page of documentation that the report makes.
fn summary(report: &Report, args: &BenchArgs) -> String {
    let (passes, wanted) = (args.passes, args.wanted().unwrap_or_default());
    let passes = report.host.get("passes").cloned().unwrap_or_else(|| passes.to_string());
    let path = args.write.as_deref().unwrap_or_else(|| Path::new("FILE")).display();
    let command = ["cargo xtask bench", wanted, "--passes", &passes, "--write"];
    let command: Vec<_> = command.into_iter().filter(|word| !word.is_empty()).collect();
    format!(
        "# Benchmarks\n\nEach crate beside its peers, in one run on one machine, contenders in turn; \
         of several passes, the median. In brackets stands how many times ours a peer's figure is. \
         Compare within a row, never between machines; `floor` is the least that the hardware \
         allows. A goal that was missed is in the table as missed. The same with plots is \
         `target/report/index.html`. Made by\n\n```sh long\n{} {path}\n```\n\n{}",
        command.join(" "),
        report.markdown()
    )
}

/// Says what changed. True when nothing got worse by more than `allowed` percent.
fn compare(before: &Report, changes: &[baseline::Change], allowed: f64) -> bool {
    let mut fine = true;
    for change in changes {
        let worse = change.worse_by > allowed;
        fine = fine && !worse;
        let word = if worse {
            "WORSE"
        } else if change.worse_by < -allowed {
            "better"
        } else {
            ""
        };
        line(&format!(
            "{:<60} {} → {} {word}",
            change.id,
            figure(change.before),
            figure(change.now)
        ));
    }
    line(&format!("{} rows compared with revision {}", changes.len(), before.revision));
    fine
}

fn summarize(rows: &[Row], folder: &Path) {
    let reached = rows.iter().filter(|row| row.reached() == Some(true)).count();
    let missed: Vec<_> = rows.iter().filter(|row| row.reached() == Some(false)).collect();
    for row in &missed {
        let (value, goal) = (figure(row.value), figure(row.goal.unwrap_or_default()));
        line(&format!("missed: {} is {value} {}, the goal is {goal}", row.id(), row.unit));
    }
    line(&format!(
        "{} rows, {reached} goals reached, {} missed; report in {}, page in {}",
        rows.len(),
        missed.len(),
        folder.join("bench.json").display(),
        folder.join("index.html").display()
    ));
}

//! `cargo xtask test`: phase by phase, a line each, the log only where one fails.

mod commands;
mod count;
mod layers;
mod phases;
mod runner;

use std::fs;
use std::io::IsTerminal as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, ValueEnum as _};

use crate::cargo::Metadata;
use crate::line;
use crate::report::{Better, Report, Row};
use count::Counts;
use phases::{Phase, Step};
use runner::Ended;

/// How many lines of a failed phase's log are printed at most; the file holds the rest.
const LOG_LINES: usize = 2000;

/// Which phases, and how.
#[derive(Args, Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of the command line")]
pub(crate) struct TestArgs {
    /// List the phases and what each does, and run none
    #[arg(long)]
    list: bool,
    /// Run this phase; may be given several times [default: all but loom, real, msrv and package]
    #[arg(long, value_enum, value_name = "PHASE")]
    phase: Vec<Phase>,
    /// Only what tells most in little time: fmt, layers, lint, unit
    #[arg(long, conflicts_with_all = ["phase", "all"])]
    fast: bool,
    /// Every phase but real, and ten times the size where a test has one (as `PLIMSOLL_SCALE=10`)
    #[arg(long, conflicts_with = "phase")]
    all: bool,
    /// Go on after a phase that failed
    #[arg(long)]
    keep_going: bool,
    /// Write the report to this file too
    #[arg(long, value_name = "PATH")]
    json: Option<PathBuf>,
}

/// What became of a phase.
#[derive(Debug)]
struct Outcome {
    phase: Phase,
    verdict: Verdict,
    counts: Counts,
    took: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Ok,
    Failed,
    Skipped(String),
}

/// Runs the phases. True when none failed.
pub(crate) fn run(args: &TestArgs) -> Result<bool> {
    if args.list {
        for phase in Phase::value_variants() {
            line(&format!("{:<12} {}", phase.name(), phase.about()));
        }
        return Ok(true);
    }
    let metadata = Metadata::read()?;
    let folder = metadata.report_dir()?;
    let rows_file = folder.join("test-rows.jsonl");
    // Rows of an earlier run are not this run's; there may be none.
    let _ = fs::remove_file(&rows_file);
    let mut outcomes = Vec::new();
    for phase in args.phases() {
        let outcome = run_phase(phase, args, &metadata, &folder, &rows_file)?;
        let failed = outcome.verdict == Verdict::Failed;
        outcomes.push(outcome);
        if failed && !args.keep_going {
            break;
        }
    }
    finish(&outcomes, args, &folder, &rows_file)
}

impl TestArgs {
    fn phases(&self) -> Vec<Phase> {
        let wanted = |phase: &Phase| {
            if self.all {
                *phase != Phase::Real
            } else if self.fast {
                phase.is_fast()
            } else if self.phase.is_empty() {
                phase.is_default()
            } else {
                self.phase.contains(phase)
            }
        };
        Phase::value_variants().iter().copied().filter(wanted).collect()
    }
}

fn run_phase(
    phase: Phase,
    args: &TestArgs,
    metadata: &Metadata,
    folder: &Path,
    rows_file: &Path,
) -> Result<Outcome> {
    let log = folder.join(format!("{}.log", phase.name()));
    fs::write(&log, "").with_context(|| format!("writing {}", log.display()))?;
    let mut outcome =
        Outcome { phase, verdict: Verdict::Ok, counts: Counts::default(), took: Duration::ZERO };
    for step in phase.steps(metadata) {
        let (ended, took) = match step {
            Step::Skip(why) => {
                outcome.verdict = Verdict::Skipped(why);
                break;
            }
            Step::Layers => (runner::note(&log, &layers::check(metadata))?, Duration::ZERO),
            Step::Commands => commands::run(metadata, &log, args.all)?,
            Step::Run(mut command) => {
                command.env("PLIMSOLL_ROWS", rows_file);
                if args.all {
                    command.env("PLIMSOLL_SCALE", "10");
                }
                runner::run(command, &log, phase.name())?
            }
        };
        outcome.took += took;
        if ended == Ended::Badly {
            outcome.verdict = Verdict::Failed;
            break;
        }
    }
    let text = fs::read_to_string(&log).with_context(|| format!("reading {}", log.display()))?;
    outcome.counts = Counts::of(&text);
    if outcome.verdict == Verdict::Failed && outcome.counts.failed == 0 {
        // Something other than a test: a compile error, a lint, a forbidden arrow.
        outcome.counts.failed = 1;
    }
    tell(&outcome, &text, &log);
    Ok(outcome)
}

/// The phase's line, and its log where it failed.
fn tell(outcome: &Outcome, text: &str, log: &Path) {
    let name = outcome.phase.name();
    let word = match &outcome.verdict {
        Verdict::Ok => "ok",
        Verdict::Failed => "FAILED",
        Verdict::Skipped(_) => "skipped",
    };
    if std::io::stdout().is_terminal() {
        runner::clear();
    }
    let counts = outcome.counts.brief();
    line(&format!("{name:<12} {word:<8} {:>7.1} s  {counts}", outcome.took.as_secs_f64()));
    if let Verdict::Skipped(why) = &outcome.verdict {
        line(&format!("    skipped: {name}: {why}"));
    }
    for skipped in &outcome.counts.skips {
        line(&format!("    skipped: {skipped}"));
    }
    if outcome.verdict != Verdict::Failed {
        return;
    }
    let lines: Vec<_> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    if from > 0 {
        line(&format!("    (the first {from} lines are only in {})", log.display()));
    }
    for text in &lines[from..] {
        line(&format!("    {text}"));
    }
    line(&format!("    again: cargo xtask test --phase {name}"));
}

/// The report, the summary, and the last line.
fn finish(outcomes: &[Outcome], args: &TestArgs, folder: &Path, rows: &Path) -> Result<bool> {
    let mut total = Counts::default();
    let mut report = read_rows(rows)?;
    for outcome in outcomes {
        total.add(&outcome.counts);
        if matches!(outcome.verdict, Verdict::Skipped(_)) {
            total.skipped += 1;
            continue;
        }
        let mut row = Row::count("test.seconds", 0, "s", Better::Lower);
        row.value = outcome.took.as_secs_f64();
        row.labels.insert("phase".to_owned(), outcome.phase.name().to_owned());
        report.push(row);
    }
    report.push(Row::count("test.passed", total.passed, "tests", Better::Higher));
    report.push(Row::count("test.failed", total.failed, "tests", Better::Lower));
    report.push(Row::count("test.skipped", total.skipped, "tests", Better::Lower));
    let report = Report::new(report);
    report.write(folder, "test", args.json.as_deref())?;
    let missed: Vec<_> = report.rows.iter().filter(|row| row.reached() == Some(false)).collect();
    for row in missed {
        let (value, goal) = (crate::report::figure(row.value), row.goal.unwrap_or_default());
        line(&format!("missed: {} is {value} {}, the goal is {goal}", row.id(), row.unit));
    }
    let took: Duration = outcomes.iter().map(|outcome| outcome.took).sum();
    let failed: Vec<_> = outcomes.iter().filter(|o| o.verdict == Verdict::Failed).collect();
    let names: Vec<_> = failed.iter().map(|outcome| outcome.phase.name()).collect();
    let verdict =
        if names.is_empty() { "ok".to_owned() } else { format!("failed: {}", names.join(", ")) };
    line(&format!(
        "{} phases in {:.0} s, {verdict}; report in {}",
        outcomes.len(),
        took.as_secs_f64(),
        folder.join("test.json").display()
    ));
    line(&format!("{} passed, {} failed, {} skipped", total.passed, total.failed, total.skipped));
    Ok(failed.is_empty())
}

/// The rows that tests have written, one JSON object a line.
fn read_rows(path: &Path) -> Result<Vec<Row>> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(Vec::new()) };
    let row = |text: &str| {
        serde_json::from_str(text).with_context(|| format!("{}: {text}", path.display()))
    };
    text.lines().map(row).collect()
}

//! Writes `docs/targets.md` from the rows of one run of the tests:
//!
//! ```sh
//! PLIMSOLL_ROWS=/tmp/rows cargo test --release -p plimsoll-sim --test validation --test stress
//! cargo run -p plimsoll-sim --example targets -- /tmp/rows docs/targets.md
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write as _;

use plimsoll_core_types::{Better, Row};

const HEAD: &str = "\
# The targets, as they were last measured

<!-- Made by `cargo run -p plimsoll-sim --example targets`; not written by hand. -->

Everything here is in virtual time with fixed seeds, so that it comes out the same on any machine. It
is made by

```sh long
PLIMSOLL_ROWS=/tmp/rows cargo test --release -p plimsoll-sim --test validation --test stress
cargo run -p plimsoll-sim --example targets -- /tmp/rows docs/targets.md
```

from the traces that the tests say where they look for. A goal that was missed says so. The settings
of the pools were chosen with these traces in view, whole and in halves: all figures of pools but
those of made-up traces are in-sample.
";

const POOLS: &str = "
## Targets on traces

`…-host`: twelve models share a machine on which half of them fit, three draws of an hour. All others:
one pool of like replicas that take two minutes to start (ten for ServeGen, whose rates come in
windows), 40 of which carry the mean. A request is late after ten seconds (a minute for ServeGen, after
which it is lost). `clairvoyant` knows the future, and has the same lead time and the same whole
replicas; it is greedy, so that it is near the best that can be reached rather than a bound, and on
hosts it minds waits rather than use. `margin-in-hindsight` has the same forecasts, and the constant
margin that uses the pool best of those with at most one in a thousand late, known only afterwards:
what these forecasts could be worth. Plimsoll's pool holds enough for work to double unannounced within
some ten minutes, which keeps lateness down where work jumps and costs use where it does not.
`generated-conversation` is made up as even over minutes as Mooncake is, and `generated-restless` three
times as uneven.
";

const BESIDE_OFF: &str = "
## The optimizer on beside the optimizer off

Off leaves the plain rule: load what is asked for, and let the least recently used model give way.
Means over draws of the same scenario; `late` is the share that waited more than ten seconds, `failed`
that which waited more than a minute or was lost, `mean_wait` in seconds.
";

const FAULTS: &str = "
## Faults in every phase of a model's life

Seconds until the model that was hit has served again, the time until somebody asks for it included.
The books of the ledger, of the engines and of the requests are looked at after every event, and each
run is done twice and must come out the same.
";

struct Rows(Vec<Row>);

impl Rows {
    /// What the rows whose names begin so are labelled with.
    fn labels(&self, prefix: &str, label: &str) -> BTreeSet<&str> {
        let rows = self.0.iter().filter(|row| row.name.starts_with(prefix));
        rows.filter_map(|row| row.labels.get(label)).map(String::as_str).collect()
    }

    fn find(&self, name: &str, label: &str, value: &str) -> Option<&Row> {
        let is = |row: &&Row| row.labels.get(label).is_some_and(|found| found == value);
        self.0.iter().rev().filter(|row| row.name == name).find(is)
    }

    fn value(&self, name: &str) -> Option<f64> {
        self.0.iter().rev().find(|row| row.name == name).map(|row| row.value)
    }
}

fn figure(value: f64) -> String {
    format!("{value:.4}")
}

fn targets(rows: &Rows, out: &mut String) -> std::fmt::Result {
    let traces = rows.labels("target.", "trace");
    let names: BTreeSet<&str> = rows.0.iter().map(|row| row.name.as_str()).collect();
    for name in names.into_iter().filter(|name| name.starts_with("target.")) {
        let own: BTreeMap<&str, &Row> = traces
            .iter()
            .filter_map(|trace| Some((*trace, rows.find(name, "trace", trace)?)))
            .collect();
        let peers: BTreeSet<&str> =
            own.values().flat_map(|row| row.peers.keys()).map(String::as_str).collect();
        let better = match own.values().next().map(|row| row.better) {
            Some(Better::Higher) => "more is better",
            _ => "less is better",
        };
        writeln!(out, "\n### `{name}` ({better})\n")?;
        write!(out, "| trace | plimsoll | goal | |")?;
        peers.iter().try_for_each(|peer| write!(out, " {peer} |"))?;
        writeln!(out, "\n|---|---|---|---|{}", "---|".repeat(peers.len()))?;
        for trace in traces.iter().filter(|trace| own.contains_key(*trace)) {
            let row = own[trace];
            let goal = row.goal.map_or_else(|| "–".to_owned(), figure);
            let verdict = match row.reached() {
                Some(true) => "reached",
                Some(false) => "**missed**",
                None => "",
            };
            write!(out, "| {trace} | {} | {goal} | {verdict} |", figure(row.value))?;
            for peer in &peers {
                let value = row.peers.get(*peer).map_or_else(|| "–".to_owned(), |v| figure(*v));
                write!(out, " {value} |")?;
            }
            writeln!(out)?;
        }
    }
    Ok(())
}

fn beside_off(rows: &Rows, out: &mut String) -> std::fmt::Result {
    let columns = ["warm", "late", "failed", "mean_wait"];
    write!(out, "\n| scenario |")?;
    columns.iter().try_for_each(|column| write!(out, " {column} on | off |"))?;
    writeln!(out, "\n|---|{}", "---|---|".repeat(columns.len()))?;
    for scenario in rows.labels("optimizer.", "scenario") {
        write!(out, "| {scenario} |")?;
        for column in columns {
            let row = rows.find(&format!("optimizer.{column}"), "scenario", scenario);
            let on = row.map_or_else(|| "–".to_owned(), |row| figure(row.value));
            let off = row.and_then(|row| row.peers.get("off"));
            write!(out, " {on} | {} |", off.map_or_else(|| "–".to_owned(), |v| figure(*v)))?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn faults(rows: &Rows, out: &mut String) -> std::fmt::Result {
    let (runs, broken) =
        (rows.value("integration.fault_runs"), rows.value("integration.invariants_broken"));
    if let (Some(runs), Some(broken)) = (runs, broken) {
        writeln!(out, "\n{runs:.0} runs, {broken:.0} invariants broken.")?;
    }
    writeln!(out, "\n| fault | p50 s | p99 s | lost requests of all runs |\n|---|---|---|---|")?;
    for fault in rows.labels("integration.recovery_p50", "fault") {
        let value = |name: &str| {
            let row = rows.find(&format!("integration.{name}"), "fault", fault);
            row.map(|row| row.value)
        };
        let seconds = |name| value(name).map_or_else(|| "–".to_owned(), |v| format!("{v:.2}"));
        let lost = value("fault_errors").map_or_else(|| "–".to_owned(), |v| format!("{v:.0}"));
        let (p50, p99) = (seconds("recovery_p50"), seconds("recovery_p99"));
        writeln!(out, "| {fault} | {p50} | {p99} | {lost} |")?;
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "it is what the example is for")]
fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(from), Some(to)) = (args.next(), args.next()) else {
        println!("targets ROWS PAGE: writes the page from a file of rows, one a line");
        return Ok(());
    };
    let text = std::fs::read_to_string(from)?;
    let rows = Rows(text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?);
    let mut page = HEAD.to_owned();
    page.push_str(POOLS);
    targets(&rows, &mut page)?;
    page.push_str(BESIDE_OFF);
    beside_off(&rows, &mut page)?;
    page.push_str(FAULTS);
    faults(&rows, &mut page)?;
    Ok(std::fs::write(to, page)?)
}

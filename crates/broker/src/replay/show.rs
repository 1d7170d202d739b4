//! Rows as a table, and as the report.

use std::collections::{BTreeMap, BTreeSet};

use comfy_table::{CellAlignment, Table, presets};
use plimsoll_core_types::{Report, Row};
use serde::Serialize;

/// The label of figures that grow with the length of their run.
const UNSTABLE: &str = "unstable";

/// A report, and what people are told before its table.
#[derive(Serialize)]
struct Told {
    #[serde(flatten)]
    report: Report,
    notes: Vec<String>,
}

/// The report object, on one line.
pub(super) fn json(rows: Vec<Row>, notes: Vec<String>) -> String {
    let report = Report { revision: env!("CARGO_PKG_VERSION").to_owned(), host: host(), rows };
    // Names, numbers and maps by text: there is nothing in it that JSON lacks.
    serde_json::to_string(&Told { report, notes }).unwrap_or_default()
}

fn host() -> BTreeMap<String, String> {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let known = [
        ("os", std::env::consts::OS.to_owned()),
        ("arch", std::env::consts::ARCH.to_owned()),
        ("cores", cores.to_string()),
    ];
    known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// A table for each combination of labels other than `by`, of which each value gets a line, and
/// each figure a column.
pub(super) fn tables(rows: &[Row], by: &str) -> String {
    let varying = varying(rows, by);
    let mut groups: Vec<(String, Vec<&Row>)> = Vec::new();
    for row in rows {
        let title = title(row, &varying);
        match groups.iter_mut().find(|(known, _)| *known == title) {
            Some((_, members)) => members.push(row),
            None => groups.push((title, vec![row])),
        }
    }
    let text = groups.iter().map(|(title, rows)| {
        let table = table(rows, by);
        if title.is_empty() { table } else { format!("\n{title}\n{table}") }
    });
    text.collect::<Vec<_>>().join("\n")
}

fn table(rows: &[&Row], by: &str) -> String {
    let mut columns: Vec<String> = Vec::new();
    let mut lines: Vec<(String, BTreeMap<usize, f64>)> = Vec::new();
    for row in rows {
        let column = heading(row);
        let at = columns.iter().position(|known| *known == column).unwrap_or_else(|| {
            columns.push(column);
            columns.len() - 1
        });
        let name = name(row, by);
        match lines.iter_mut().find(|(known, _)| *known == name) {
            Some((_, cells)) => {
                cells.insert(at, row.value);
            }
            None => lines.push((name, BTreeMap::from([(at, row.value)]))),
        }
    }
    let mut table = Table::new();
    table.load_preset(presets::UTF8_BORDERS_ONLY);
    table.set_header([by.to_owned()].into_iter().chain(columns.iter().cloned()));
    for (name, cells) in lines {
        let figures =
            (0..columns.len()).map(|at| cells.get(&at).copied().map_or(String::new(), figure));
        table.add_row([name].into_iter().chain(figures));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table.to_string()
}

fn name(row: &Row, by: &str) -> String {
    let name = row.labels.get(by).map_or("", String::as_str);
    if row.labels.contains_key(UNSTABLE) { format!("{name} ({UNSTABLE})") } else { name.to_owned() }
}

/// The labels, other than `by`, that are not the same everywhere.
fn varying<'a>(rows: &'a [Row], by: &str) -> BTreeSet<&'a str> {
    let differs = |key: &str| rows.iter().any(|row| row.labels.get(key) != rows[0].labels.get(key));
    let keys = rows.iter().flat_map(|row| row.labels.keys()).map(String::as_str);
    keys.filter(|key| *key != by && *key != UNSTABLE && differs(key)).collect()
}

fn title(row: &Row, varying: &BTreeSet<&str>) -> String {
    let labels = row.labels.iter().filter(|(key, _)| varying.contains(key.as_str()));
    labels.map(|(key, value)| format!("{key} {value}")).collect::<Vec<_>>().join(", ")
}

/// The figure's name, with its unit where the name does not say it.
fn heading(row: &Row) -> String {
    // The room is told by the command.
    let name = row.name.rsplit('.').next().unwrap_or_default().replace('_', " ");
    if row.unit == "ratio" || row.unit == name { name } else { format!("{name}, {}", row.unit) }
}

/// Four significant digits, whole where it is large.
fn figure(value: f64) -> String {
    let size = value.abs();
    if size >= 1000.0 || value == value.round() {
        return format!("{value:.0}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 6);
    format!("{value:.*}", digits as usize)
}

#[cfg(test)]
mod tests {
    use plimsoll_core_types::Better;

    use super::*;

    #[test]
    fn policies_are_lines_and_figures_columns() {
        let row = |name, policy, value| {
            Row::new(name, value, "ratio", Better::Higher).label("policy", policy)
        };
        let rows = [
            row("hit_ratio", "moka-lru", 0.25),
            row("hit_ratio", "belady", 0.5),
            Row::new("loads", 1234.0, "loads", Better::Lower).label("policy", "belady"),
        ];
        let text = tables(&rows, "policy");
        let line = text.lines().find(|line| line.contains("belady")).unwrap();
        assert!(line.contains("0.5000") && line.contains("1234"), "{text}");
        assert!(text.contains("hit ratio") && text.contains("loads"), "{text}");
    }

    #[test]
    fn other_labels_that_differ_make_tables_of_their_own() {
        let row = |horizon| {
            Row::new("rel_mae", 1.0, "ratio", Better::Lower)
                .label("model", "naive")
                .label("season", "48")
                .label("horizon", horizon)
        };
        let text = tables(&[row("1"), row("12")], "model");
        assert!(text.contains("\nhorizon 1\n") && text.contains("\nhorizon 12\n"), "{text}");
        assert!(!text.contains("48"), "{text}");
    }

    #[test]
    fn the_report_names_host_and_revision() {
        let text =
            json(vec![Row::new("loads", 1.0, "loads", Better::Lower)], vec!["seed 7".into()]);
        let report: Report = serde_json::from_str(&text).unwrap();
        assert_eq!(report.rows.len(), 1);
        assert!(report.host.contains_key("arch") && !report.revision.is_empty());
        assert!(text.contains("\"notes\":[\"seed 7\"]"), "{text}");
    }
}

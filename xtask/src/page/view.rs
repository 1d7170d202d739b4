//! What the page shows of a report.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::bars::{Chart, chart};
use crate::bench::baseline::Change;
use crate::report::{Better, Report, Row, figure};

/// More rows of one name than this are a table.
const MOST_CHARTS: usize = 6;

/// How many goals were reached.
#[derive(Debug, Serialize)]
pub(super) struct Tally {
    rows: usize,
    reached: usize,
    missed: usize,
}

/// The rows of one crate.
#[derive(Debug, Serialize)]
pub(super) struct Room {
    name: String,
    cards: Vec<Card>,
    tables: Vec<Table>,
}

/// One row as a chart.
#[derive(Debug, Serialize)]
struct Card {
    id: String,
    unit: String,
    better: &'static str,
    goal: Option<String>,
    verdict: &'static str,
    chart: Chart,
}

/// Many rows of one name.
#[derive(Debug, Serialize)]
struct Table {
    name: String,
    unit: String,
    better: &'static str,
    columns: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Debug, Serialize)]
struct Line {
    cells: Vec<String>,
    verdict: &'static str,
}

/// A row that moved since the baseline.
#[derive(Debug, Serialize)]
pub(super) struct Moved {
    id: String,
    before: String,
    now: String,
    percent: String,
    word: &'static str,
}

pub(super) fn tally(report: &Report) -> Tally {
    let count = |wanted| report.rows.iter().filter(|row| row.reached() == Some(wanted)).count();
    Tally { rows: report.rows.len(), reached: count(true), missed: count(false) }
}

/// The rows whose name is `wanted`, by crate.
pub(super) fn rooms(report: &Report, wanted: impl Fn(&str) -> bool) -> Vec<Room> {
    let mut by_room: BTreeMap<&str, BTreeMap<&str, Vec<&Row>>> = BTreeMap::new();
    for row in report.rows.iter().filter(|row| wanted(&row.name)) {
        by_room.entry(row.room()).or_default().entry(&row.name).or_default().push(row);
    }
    by_room.into_iter().map(|(name, groups)| room(name, &groups)).collect()
}

pub(super) fn changes(changes: &[Change], allowed: f64) -> Vec<Moved> {
    let moved = changes.iter().filter(|change| change.worse_by.abs() > allowed);
    moved
        .map(|change| Moved {
            id: change.id.clone(),
            before: figure(change.before),
            now: figure(change.now),
            percent: format!("{:.0}", change.worse_by.abs()),
            word: if change.worse_by > 0.0 { "worse" } else { "better" },
        })
        .collect()
}

fn room(name: &str, groups: &BTreeMap<&str, Vec<&Row>>) -> Room {
    let (few, many): (Vec<_>, Vec<_>) =
        groups.iter().partition(|(_, rows)| rows.len() <= MOST_CHARTS);
    let cards = few.into_iter().flat_map(|(_, rows)| rows.iter().map(|row| card(row)));
    let tables = many.into_iter().map(|(name, rows)| table(name, rows));
    Room { name: name.to_owned(), cards: cards.collect(), tables: tables.collect() }
}

fn card(row: &Row) -> Card {
    let row = &row.for_people();
    Card {
        id: row.id(),
        unit: row.unit.clone(),
        better: direction(row),
        goal: row.goal.map(figure),
        verdict: verdict(row),
        chart: chart(row),
    }
}

fn table(name: &str, rows: &[&Row]) -> Table {
    let keys: BTreeSet<_> = rows.iter().flat_map(|row| row.labels.keys()).collect();
    let peers: BTreeSet<_> = rows.iter().flat_map(|row| row.peers.keys()).collect();
    let line = |row: &&Row| {
        let labels = keys.iter().map(|key| row.labels.get(*key).cloned().unwrap_or_default());
        let peer = |name: &&String| row.peers.get(*name).copied().map(figure).unwrap_or_default();
        let cells = labels.chain([figure(row.value)]).chain(peers.iter().map(peer));
        Line { cells: cells.collect(), verdict: verdict(row) }
    };
    let columns = keys.iter().map(|key| (*key).clone()).chain(["plimsoll".to_owned()]);
    Table {
        name: name.to_owned(),
        unit: rows[0].unit.clone(),
        better: direction(rows[0]),
        columns: columns.chain(peers.iter().map(|peer| (*peer).clone())).collect(),
        lines: rows.iter().map(line).collect(),
    }
}

fn direction(row: &Row) -> &'static str {
    match row.better {
        Better::Lower => "lower is better",
        Better::Higher => "higher is better",
    }
}

fn verdict(row: &Row) -> &'static str {
    match row.reached() {
        Some(true) => "reached",
        Some(false) => "missed",
        None => "",
    }
}

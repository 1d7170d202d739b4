//! From the measurements of several passes to rows.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::Deserialize;

use super::criterion::Timing;
use crate::report::{Better, Row};

/// The contender whose figure is the row's value.
const OWN: &str = "plimsoll";

/// What one program measured in one pass.
#[derive(Debug, Default)]
pub(super) struct Pass {
    pub(super) timings: Vec<Timing>,
    pub(super) said: Vec<Said>,
}

/// One line of what a program says beside criterion's measurements.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(super) enum Said {
    /// A figure that is no time of one iteration.
    Row(Row),
    /// What a row should reach.
    Goal {
        /// The row's name, with its labels.
        row: String,
        goal: Goal,
    },
}

/// What a row should reach.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Goal {
    /// This figure.
    Value(f64),
    /// This many times a peer's figure of the same run.
    TimesPeer { peer: String, times: f64 },
}

/// Figures by row and contender.
#[derive(Debug, Default)]
pub(super) struct Merge {
    figures: BTreeMap<String, BTreeMap<String, Vec<f64>>>,
    templates: BTreeMap<String, Row>,
    goals: BTreeMap<String, Goal>,
}

/// Reads what a program wrote; nothing where it wrote nothing.
pub(super) fn read(path: &Path) -> Result<Vec<Said>> {
    let Ok(text) = fs::read_to_string(path) else { return Ok(Vec::new()) };
    let said = |line: &str| {
        serde_json::from_str(line).with_context(|| format!("{}: {line}", path.display()))
    };
    text.lines().map(said).collect()
}

impl Merge {
    pub(super) fn add(&mut self, pass: Pass) {
        for timing in pass.timings {
            let template = parse_id(&timing.group, "ns");
            let id = template.id();
            self.templates.entry(id.clone()).or_insert(template);
            self.push(&id, &timing.contender, timing.nanos);
        }
        for said in pass.said {
            match said {
                Said::Row(row) => self.add_row(row),
                Said::Goal { row, goal } => {
                    self.goals.insert(parse_id(&row, "").id(), goal);
                }
            }
        }
    }

    fn add_row(&mut self, row: Row) {
        let id = row.id();
        self.push(&id, OWN, row.value);
        for (peer, value) in &row.peers {
            self.push(&id, peer, *value);
        }
        self.templates.insert(id, Row { peers: BTreeMap::new(), ..row });
    }

    fn push(&mut self, id: &str, contender: &str, value: f64) {
        let row = self.figures.entry(id.to_owned()).or_default();
        row.entry(contender.to_owned()).or_default().push(value);
    }

    /// The rows that have a figure of our own, each figure the median over the passes.
    pub(super) fn rows(mut self) -> Vec<Row> {
        let mut rows = Vec::new();
        for (id, contenders) in self.figures {
            let spread = spread(&contenders);
            let mut medians: BTreeMap<_, _> =
                contenders.into_iter().map(|(name, values)| (name, median(values))).collect();
            let Some(value) = medians.remove(OWN) else { continue };
            let Some(mut row) = self.templates.remove(&id) else { continue };
            row.value = value;
            row.goal = match self.goals.get(&id) {
                Some(Goal::Value(goal)) => Some(*goal),
                Some(Goal::TimesPeer { peer, times }) => medians.get(peer).map(|peer| peer * times),
                None => row.goal,
            };
            row.peers = medians;
            row.spread = spread;
            rows.push(row);
        }
        rows
    }
}

/// The least and the most of each contender that was measured more than once.
fn spread(contenders: &BTreeMap<String, Vec<f64>>) -> BTreeMap<String, [f64; 2]> {
    let several = contenders.iter().filter(|(_, values)| values.len() > 1);
    let ends = |values: &[f64]| {
        let least = values.iter().copied().fold(f64::INFINITY, f64::min);
        [least, values.iter().copied().fold(f64::NEG_INFINITY, f64::max)]
    };
    several.map(|(name, values)| (name.clone(), ends(values))).collect()
}

/// The row that `name{key=value,…}` names.
fn parse_id(id: &str, unit: &str) -> Row {
    let mut row = Row::count(id, 0, unit, Better::Lower);
    let Some((name, labels)) = id.strip_suffix('}').and_then(|id| id.split_once('{')) else {
        return row;
    };
    name.clone_into(&mut row.name);
    let pairs = labels.split(',').filter_map(|label| label.split_once('='));
    row.labels = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
    row
}

/// The middle value, or the mean of the two.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        f64::midpoint(values[middle - 1], values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn timing(contender: &str, nanos: f64) -> Timing {
        let group = "pool.get{threads=2}".to_owned();
        Timing { group, contender: contender.to_owned(), nanos }
    }

    #[test]
    fn a_row_is_the_median_beside_its_peers_and_its_goal() {
        let mut merge = Merge::default();
        for nanos in [10.0, 30.0, 12.0] {
            let timings = vec![timing("plimsoll", nanos), timing("floor", 5.0)];
            merge.add(Pass { timings, said: Vec::new() });
        }
        let said =
            r#"{"row":"pool.get{threads=2}","goal":{"times_peer":{"peer":"floor","times":2.5}}}"#;
        merge.add(Pass { timings: Vec::new(), said: vec![serde_json::from_str(said).unwrap()] });
        let rows = merge.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].name.as_str(), rows[0].value), ("pool.get", 12.0));
        assert_eq!(rows[0].labels["threads"], "2");
        assert_eq!((rows[0].goal, rows[0].peers["floor"]), (Some(12.5), 5.0));
        assert_eq!(rows[0].reached(), Some(true));
        assert_eq!(rows[0].spread["plimsoll"], [10.0, 30.0]);
    }

    #[test]
    fn figures_that_are_no_times_are_taken_as_said() {
        let mut merge = Merge::default();
        for value in [0.98, 1.0] {
            let said = format!(
                r#"{{"name":"pool.jain","value":{value},"unit":"","better":"higher","goal":0.99,"peers":{{"bb8":0.8}}}}"#
            );
            let said = vec![serde_json::from_str(&said).unwrap()];
            merge.add(Pass { timings: Vec::new(), said });
        }
        let rows = merge.rows();
        assert_eq!((rows[0].value, rows[0].goal, rows[0].peers["bb8"]), (0.99, Some(0.99), 0.8));
    }

    #[test]
    fn a_peer_alone_is_no_row() {
        let mut merge = Merge::default();
        merge.add(Pass { timings: vec![timing("floor", 5.0)], said: Vec::new() });
        assert!(merge.rows().is_empty());
    }
}

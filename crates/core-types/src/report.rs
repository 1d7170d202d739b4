//! The report that every command with `--json` prints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Better {
    /// Less is better.
    Lower,
    /// More is better.
    Higher,
}

/// One figure. What was not measured is no row, rather than a zero.
///
/// ```
/// use plimsoll_core_types::{Better, Row};
/// let row = Row::new("demo.requests", 1200.0, "requests", Better::Higher).label("seed", "7");
/// assert_eq!(row.labels["seed"], "7");
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was measured, as `room.figure`.
    pub name: String,
    /// Under which conditions.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// The figure.
    pub value: f64,
    /// Its unit.
    pub unit: String,
    /// Which way it gets better.
    pub better: Better,
    /// What it should reach, where that was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub goal: Option<f64>,
    /// The same figure of others, by name, in the same unit.
    #[serde(default)]
    pub peers: BTreeMap<String, f64>,
}

impl Row {
    /// A figure without labels, goal or peers.
    pub fn new(name: &str, value: f64, unit: &str, better: Better) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            value,
            unit: unit.to_owned(),
            better,
            goal: None,
            peers: BTreeMap::new(),
        }
    }

    /// The same row under one more condition.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// The same row with what it should reach.
    #[must_use]
    pub const fn goal(mut self, goal: f64) -> Self {
        self.goal = Some(goal);
        self
    }

    /// The same row beside one more peer.
    #[must_use]
    pub fn peer(mut self, name: &str, value: f64) -> Self {
        self.peers.insert(name.to_owned(), value);
        self
    }

    /// Whether the goal was reached; none where none was set.
    pub fn reached(&self) -> Option<bool> {
        self.goal.map(|goal| match self.better {
            Better::Lower => self.value <= goal,
            Better::Higher => self.value >= goal,
        })
    }
}

/// The figures of one run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The source's revision.
    pub revision: String,
    /// The host, by property.
    pub host: BTreeMap<String, String>,
    /// The figures.
    pub rows: Vec<Row>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_is_judged_by_its_direction() {
        let check = |better, value, expected| {
            let row = Row::new("a.b", value, "s", better).goal(2.0);
            assert_eq!(row.reached(), Some(expected));
        };
        check(Better::Lower, 1.0, true);
        check(Better::Lower, 3.0, false);
        check(Better::Higher, 1.0, false);
        check(Better::Higher, 2.0, true);
        assert_eq!(Row::new("a.b", 1.0, "s", Better::Lower).reached(), None);
    }
}

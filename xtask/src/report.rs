//! The report: rows of figures, as JSON for programs and as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde::{Deserialize, Serialize};

use crate::host;

/// Which way a figure gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Better {
    Lower,
    Higher,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) name: String,
    #[serde(default)]
    pub(crate) labels: BTreeMap<String, String>,
    pub(crate) value: f64,
    pub(crate) unit: String,
    pub(crate) better: Better,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) goal: Option<f64>,
    #[serde(default)]
    pub(crate) peers: BTreeMap<String, f64>,
    /// The least and the most over the passes, by contender, where there was more than one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) spread: BTreeMap<String, [f64; 2]>,
}

impl Row {
    /// A count that is not judged against others.
    pub(crate) fn count(name: &str, count: usize, unit: &str, better: Better) -> Self {
        Self {
            name: name.to_owned(),
            labels: BTreeMap::new(),
            value: count as f64,
            unit: unit.to_owned(),
            better,
            goal: None,
            peers: BTreeMap::new(),
            spread: BTreeMap::new(),
        }
    }

    /// Whether the goal was reached; none where none was set.
    pub(crate) fn reached(&self) -> Option<bool> {
        self.goal.map(|goal| match self.better {
            Better::Lower => self.value <= goal,
            Better::Higher => self.value >= goal,
        })
    }

    /// The same in units that people read: short times and large sizes are not told in seconds and
    /// bytes.
    pub(crate) fn for_people(&self) -> Self {
        let (factor, unit) = match (self.unit.as_str(), self.value.abs()) {
            ("s", size) if size < 1e-3 => (1e6, "us"),
            ("s", size) if size < 1.0 => (1e3, "ms"),
            ("bytes" | "B", size) if size >= 1_048_576.0 => (1.0 / 1_048_576.0, "MiB"),
            _ => return self.clone(),
        };
        let mut row = self.clone();
        unit.clone_into(&mut row.unit);
        let own = [&mut row.value].into_iter().chain(row.goal.as_mut());
        let spread = row.spread.values_mut().flatten();
        own.chain(row.peers.values_mut()).chain(spread).for_each(|value| *value *= factor);
        row
    }

    /// The crate that it is of.
    pub(crate) fn room(&self) -> &str {
        self.name.split('.').next().unwrap_or_default()
    }

    /// Its line of a table.
    fn line(&self) -> String {
        let goal = self.goal.map(figure).unwrap_or_default();
        let reached = match self.reached() {
            Some(true) => "yes",
            Some(false) => "**missed**",
            None => "",
        };
        let peer = |(name, &value): (&String, &f64)| {
            let ratio = value / self.value;
            let times =
                if ratio.is_finite() { format!(" ({}×)", figure(ratio)) } else { String::new() };
            format!("{name} {}{times}", figure(value))
        };
        let peers = self.peers.iter().map(peer).collect::<Vec<_>>().join(", ");
        let (id, value, unit) = (self.id(), figure(self.value), &self.unit);
        format!("| {id} | {value} | {unit} | {goal} | {reached} | {peers} |")
    }

    /// The name with its labels, as `name{key=value}`.
    pub(crate) fn id(&self) -> String {
        if self.labels.is_empty() {
            return self.name.clone();
        }
        let labels: Vec<_> =
            self.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        format!("{}{{{}}}", self.name, labels.join(","))
    }
}

/// The figures of one run.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    pub(crate) revision: String,
    pub(crate) host: BTreeMap<String, String>,
    pub(crate) rows: Vec<Row>,
}

impl Report {
    /// `rows`, measured here and now, sorted by name.
    pub(crate) fn new(mut rows: Vec<Row>) -> Self {
        rows.sort_by_key(Row::id);
        Self { revision: host::revision(), host: host::describe(), rows }
    }

    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = std::fs::read_to_string(path)
            .with_context(|| format!("reading the report {}", path.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no report", path.display()))
    }

    /// Writes `NAME.json` and `NAME.md` into `folder`, and the JSON to `also` where asked.
    pub(crate) fn write(&self, folder: &Path, name: &str, also: Option<&Path>) -> Result<()> {
        let json = serde_json::to_string(self)? + "\n";
        put(&folder.join(format!("{name}.json")), &json)?;
        put(&folder.join(format!("{name}.md")), &self.markdown())?;
        also.map_or(Ok(()), |path| put(path, &json))
    }

    /// A table for each crate, with a line a row. In brackets stands how many times ours a peer's
    /// figure is.
    pub(crate) fn markdown(&self) -> String {
        let mut text = format!("Revision {}", self.revision);
        for (name, value) in &self.host {
            let _ = write!(text, ", {name} {value}");
        }
        let count = |wanted| self.rows.iter().filter(|row| row.reached() == Some(wanted)).count();
        let (all, reached, missed) = (self.rows.len(), count(true), count(false));
        let _ = writeln!(text, ". {all} rows, {reached} goals reached, {missed} missed.");
        let mut room = "";
        for row in &self.rows {
            if row.room() != room {
                room = row.room();
                let _ = writeln!(text, "\n## {room}\n");
                text.push_str("| row | value | unit | goal | reached | peers |\n");
                text.push_str("|---|--:|---|--:|---|---|\n");
            }
            let _ = writeln!(text, "{}", row.for_people().line());
        }
        text
    }
}

/// Four significant digits, without an exponent where it can be helped.
pub(crate) fn figure(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || size >= 1000.0 {
        return format!("{value:.0}");
    }
    let digits = (3 - size.log10().floor() as i32).clamp(0, 9);
    let text = format!("{value:.*}", digits as usize);
    if text.contains('.') {
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        text
    }
}

fn put(path: &Path, text: &str) -> Result<()> {
    std::fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_keep_four_digits() {
        let check = |value, expected: &str| assert_eq!(figure(value), expected);
        check(0.0, "0");
        check(1234.6, "1235");
        check(12.0, "12");
        check(12.345, "12.35");
        check(0.012_345, "0.01235");
        check(-2.5, "-2.5");
    }

    #[test]
    fn people_are_told_of_microseconds_and_mebibytes() {
        let check = |value, unit: &str, expected: (f64, &str)| {
            let mut row = Row::count("a.b", 0, unit, Better::Lower);
            row.value = value;
            row.goal = Some(2.0 * value);
            let shown = row.for_people();
            assert_eq!((shown.value, shown.unit.as_str()), expected);
            assert_eq!(shown.goal, Some(2.0 * expected.0));
        };
        check(0.000_25, "s", (250.0, "us"));
        check(0.25, "s", (250.0, "ms"));
        check(2.5, "s", (2.5, "s"));
        check(3_145_728.0, "bytes", (3.0, "MiB"));
        check(8104.0, "B", (8104.0, "B"));
        check(12.0, "ns", (12.0, "ns"));
    }

    #[test]
    fn a_missed_goal_is_written_down() {
        let mut row = Row::count("a.b", 5, "ns", Better::Lower);
        row.goal = Some(4.0);
        row.labels.insert("threads".to_owned(), "2".to_owned());
        let report = Report { revision: "r".to_owned(), host: BTreeMap::new(), rows: vec![row] };
        let text = report.markdown();
        assert!(text.contains("| a.b{threads=2} | 5 | ns | 4 | **missed** |  |"), "{text}");
    }
}

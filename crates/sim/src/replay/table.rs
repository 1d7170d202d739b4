//! A replay as a table for people.

use std::fmt;

use super::{PolicyName, Replay};

/// The figures in the order of their columns, with their heads.
const COLUMNS: [(&str, &str); 9] = [
    ("utilization", "used"),
    ("waste", "waste GiB·h"),
    ("warm_hit_rate", "warm"),
    ("late_share", "late"),
    ("error_rate", "errors"),
    ("wait_p50", "wait p50 s"),
    ("wait_p99", "wait p99 s"),
    ("loads", "loads"),
    ("decisions", "decisions"),
];
const NAME: usize = 20;
const COLUMN: usize = 12;

/// One table for each scenario, a line for each policy, then the notes. A figure that a scenario
/// does not have has no column there.
impl fmt::Display for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for scenario in ["pool", "host"] {
            self.scenario(scenario, f)?;
        }
        self.notes.iter().try_for_each(|note| writeln!(f, "{note}"))
    }
}

impl Replay {
    fn scenario(&self, scenario: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let figure = |name: &str, policy| self.figure(name, policy, scenario);
        let there = |name: &str| PolicyName::ALL.iter().any(|p| figure(name, *p).is_some());
        let columns: Vec<_> = COLUMNS.into_iter().filter(|(name, _)| there(name)).collect();
        if columns.is_empty() {
            return Ok(());
        }
        write!(f, "{scenario:NAME$}")?;
        columns.iter().try_for_each(|(_, head)| write!(f, "{head:>COLUMN$}"))?;
        writeln!(f)?;
        for policy in PolicyName::ALL {
            let figures: Vec<_> = columns.iter().map(|(name, _)| figure(name, policy)).collect();
            if figures.iter().all(Option::is_none) {
                continue;
            }
            write!(f, "{policy:NAME$}")?;
            for (value, (name, _)) in figures.iter().zip(&columns) {
                let text = value.map_or_else(|| "–".to_owned(), |value| format_figure(name, value));
                write!(f, "{text:>COLUMN$}")?;
            }
            writeln!(f)?;
        }
        writeln!(f)
    }
}

fn format_figure(name: &str, value: f64) -> String {
    match name {
        "utilization" | "warm_hit_rate" => format!("{:.1}%", value * 100.0),
        "late_share" | "error_rate" => format!("{:.3}%", value * 100.0),
        "loads" | "decisions" => format!("{value:.0}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use plimsoll_core_types::{Better, Row};

    use super::*;
    use crate::capacity::{Demand, PoolSpec};

    #[test]
    fn each_scenario_is_a_table_of_what_it_has() {
        let row = |name: &str, value, policy, scenario| {
            let row = Row::new(name, value, "", Better::Lower);
            row.label("policy", policy).label("scenario", scenario)
        };
        let demand = Demand { parcels: Vec::new(), span: std::time::Duration::from_secs(1) };
        let replay = Replay {
            rows: vec![
                row("utilization", 0.875, "plimsoll", "pool"),
                row("loads", 12.0, "plimsoll", "pool"),
                row("utilization", 0.5, "vpa", "pool"),
                row("warm_hit_rate", 0.99, "lru-count", "host"),
            ],
            notes: vec!["a note".to_owned()],
            points: BTreeMap::new(),
            pool: PoolSpec::of(&demand),
        };
        let expected = "\
pool                        used       loads
plimsoll                   87.5%          12
vpa                        50.0%           –

host                        warm
lru-count                  99.0%

a note
";
        assert_eq!(replay.to_string(), expected);
    }
}

//! What got better or worse since an earlier report.

use std::collections::BTreeMap;

use crate::report::{Better, Row};

/// One row in two reports.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) id: String,
    pub(crate) before: f64,
    pub(crate) now: f64,
    /// In percent; negative is better.
    pub(crate) worse_by: f64,
}

/// The rows that both reports have, compared as ratios to a common peer where there is one: that
/// takes the machine out of a time.
pub(super) fn changes(before: &[Row], now: &[Row]) -> Vec<Change> {
    let known: BTreeMap<_, _> = before.iter().map(|row| (row.id(), row)).collect();
    now.iter().filter_map(|row| change(known.get(&row.id())?, row)).collect()
}

fn change(before: &Row, now: &Row) -> Option<Change> {
    let (old, new) = (score(before, now), score(now, before));
    if old == 0.0 {
        return None;
    }
    let grown = (new / old - 1.0) * 100.0;
    let worse_by = match now.better {
        Better::Lower => grown,
        Better::Higher => -grown,
    };
    Some(Change { id: now.id(), before: old, now: new, worse_by })
}

/// The figure, or its ratio to the first peer that `other` has too, the floor before all.
fn score(row: &Row, other: &Row) -> f64 {
    let common = |name: &&String| other.peers.contains_key(*name);
    let floor = row.peers.keys().find(|name| *name == "floor" && common(name));
    let peer = floor.or_else(|| row.peers.keys().find(common));
    match peer.map(|name| row.peers[name]) {
        Some(peer) if peer != 0.0 => row.value / peer,
        _ => row.value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(value: f64, better: Better, floor: Option<f64>) -> Row {
        let mut row = Row::count("a.b", 0, "ns", better);
        row.value = value;
        row.peers = floor.map(|value| ("floor".to_owned(), value)).into_iter().collect();
        row
    }

    #[test]
    fn ratios_take_the_machine_out() {
        let check = |before: Row, now: Row, worse: f64| {
            let changes = changes(&[before], &[now]);
            assert!((changes[0].worse_by - worse).abs() < 1e-9, "{changes:?}");
        };
        check(row(10.0, Better::Lower, Some(5.0)), row(20.0, Better::Lower, Some(10.0)), 0.0);
        check(row(10.0, Better::Lower, None), row(12.0, Better::Lower, None), 20.0);
        check(row(10.0, Better::Higher, None), row(12.0, Better::Higher, None), -20.0);
        check(row(10.0, Better::Lower, Some(5.0)), row(12.0, Better::Lower, None), 20.0);
    }

    #[test]
    fn rows_of_one_report_alone_are_left_out() {
        let mut other = row(1.0, Better::Lower, None);
        other.name = "c.d".to_owned();
        assert!(changes(&[other], &[row(1.0, Better::Lower, None)]).is_empty());
    }
}

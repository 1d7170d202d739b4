//! `plimsoll replay` over small workloads written here.

use std::fmt::Write as _;
use std::path::PathBuf;

use plimsoll_core_types::{Report, Row};

use crate::harness::{output, plimsoll};

/// A file in a folder that goes with it.
struct Workload {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl Workload {
    fn new(name: &str, text: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join(name);
        std::fs::write(&path, text).expect("a temporary file");
        Self { _folder: folder, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("temporary paths are text")
    }
}

fn rows(args: &[&str]) -> Vec<Row> {
    let (code, text, said) = output(&mut plimsoll(args));
    assert_eq!(code, Some(0), "{args:?}: {said}");
    let last = text.trim_end().lines().last().expect("a line");
    serde_json::from_str::<Report>(last).expect("a report").rows
}

fn figure(rows: &[Row], name: &str, label: (&str, &str)) -> f64 {
    let is = |row: &&Row| row.name == name && row.labels[label.0] == label.1;
    rows.iter().find(is).unwrap_or_else(|| panic!("no {name} of {label:?}")).value
}

#[test]
fn a_loop_is_lru_s_worst_case_and_the_online_choice_sees_it() {
    let keys: String = (0..30_000).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "page-{}", at % 200);
        text
    });
    let trace = Workload::new("keys.txt", &keys);
    let rows = rows(&["replay", "cache", trace.path(), "--capacity", "100", "--json"]);
    let hits = |policy| figure(&rows, "hit_ratio", ("policy", policy));
    assert!(hits("moka-lru") < 0.01, "{}", hits("moka-lru"));
    assert!(hits("adaptive") > 0.35 && hits("adaptive") <= hits("belady"));
    assert!(rows.iter().all(|row| row.labels["capacity"] == "100" && row.unit == "ratio"));
}

#[test]
fn several_capacities_are_replayed_and_told_apart() {
    let keys: String = (0..6000).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "page-{}", at % 200);
        text
    });
    let trace = Workload::new("keys.txt", &keys);
    let args = ["replay", "cache", trace.path(), "--capacity", "100,75%"];
    let (_, text, _) = output(plimsoll(&args).arg("--json"));
    for part in ["6000 accesses of 200 keys", "capacity 75%: the cache holds 150 of 200"] {
        assert!(text.contains(part), "the report lacks {part:?}: {text}");
    }
    let report = serde_json::from_str::<Report>(text.trim_end()).expect("a report");
    let of = |capacity| {
        let same = |row: &&Row| row.labels["capacity"] == capacity;
        let rows: Vec<Row> = report.rows.iter().filter(same).cloned().collect();
        figure(&rows, "hit_ratio", ("policy", "belady"))
    };
    assert!(of("100") < of("75%"));
    let (_, text, _) = output(&mut plimsoll(&args));
    assert!(text.contains("\ncapacity 100\n") && text.contains("\ncapacity 75%\n"), "{text}");
}

#[test]
fn sizes_weigh_and_bad_lines_and_engines_are_named() {
    let keys = (0..3000).fold(String::new(), |mut text, at| {
        let _ = writeln!(text, "page-{}, {}", at % 40, 1000 + at % 40);
        text
    });
    let trace = Workload::new("keys.csv", &keys);
    for engine in ["exact", "moka"] {
        let args = ["replay", "cache", trace.path(), "--capacity", "100%", "--json"];
        let rows = rows(&args.iter().copied().chain(["--engine", engine]).collect::<Vec<_>>());
        let hits = |name, policy| figure(&rows, name, ("policy", policy));
        assert!((hits("hit_ratio", "belady") - 1.0 + 40.0 / 3000.0).abs() < 1e-9);
        assert!(hits("weight_hit_ratio", "adaptive") > 0.9, "{engine}");
    }
    let check = |args: &[&str], parts: &[&str]| {
        let (code, _, said) = output(&mut plimsoll(args));
        assert_eq!(code, Some(2), "{args:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?} lacks {part:?}: {said}");
        }
    };
    let bad = Workload::new("bad.txt", "a 10\nb 20\nc many\n");
    check(&["replay", "cache", bad.path()], &["bad.txt", "line 3", "many"]);
    check(&["replay", "cache", trace.path(), "--engine", "x"], &["--engine", "exact, moka"]);
    check(&["replay", "cache", trace.path(), "--capacity", "0.001%"], &["40 keys", "40780"]);
}

#[test]
fn a_daily_rhythm_is_forecast_better_than_by_its_last_value() {
    let text = (0..24 * 28).fold("t,load\n".to_owned(), |mut text, hour| {
        let angle = f64::from(hour % 24) / 24.0 * std::f64::consts::TAU;
        let _ =
            writeln!(text, "{},{}", hour * 3600, 100.0 + 50.0 * angle.sin() + f64::from(hour % 7));
        text
    });
    let series = Workload::new("load.csv", &text);
    let rows = rows(&["replay", "series", series.path(), "--column", "load", "--json"]);
    let at_12 = |row: &&Row| row.name == "rel_mae" && row.labels["horizon"] == "12";
    let own = rows.iter().filter(at_12).find(|row| row.labels["model"] == "plimsoll").unwrap();
    assert!(own.value < 0.3, "{}", own.value);
}

#[test]
fn requests_are_replayed_under_each_policy_with_a_picture() {
    let text =
        (0..3000).fold("timestamp_ms,input_tokens,output_tokens\n".to_owned(), |mut text, at| {
            let _ = writeln!(text, "{},{},{}", at * 400, 100 + at % 50, 20 + at % 7);
            text
        });
    let trace = Workload::new("requests.csv", &text);
    let svg = trace.path.with_file_name("capacity.svg");
    let picture = svg.to_str().unwrap();
    let rows = rows(&["replay", "serving", trace.path(), "--svg", picture, "--json"]);
    for policy in ["plimsoll", "static-peak", "clairvoyant"] {
        let used = figure(&rows, "utilization", ("policy", policy));
        assert!(used > 0.0 && used <= 1.0, "{policy}: {used}");
    }
    assert!(std::fs::read_to_string(svg).unwrap().contains("<svg"));
}

#[test]
fn balancing_is_replayed_beside_the_clairvoyant_and_the_same_each_time() {
    let args = |requests| {
        let policies = ["--policy", "random", "--policy", "predicted-completion"];
        let start = ["replay", "balance", "--json", "--seeds", "1", "--requests", requests];
        start.into_iter().chain(policies).collect::<Vec<_>>()
    };
    let first = rows(&args("20000"));
    assert_eq!(first, rows(&args("20000")), "the same options give the same figures");
    assert_ne!(first, rows(&args("10000")));
    let ratio = |policy| figure(&first, "load.slowdown_p99_ratio", ("policy", policy));
    assert!(ratio("predicted-completion") < ratio("random") / 10.0);
}

#[test]
fn what_can_not_be_replayed_is_named() {
    let check = |args: &[&str], parts: &[&str]| {
        let (code, _, said) = output(&mut plimsoll(args));
        assert_eq!((code, said.trim_end().lines().count()), (Some(2), 1), "{args:?}: {said}");
        for part in parts {
            assert!(said.contains(part), "{args:?} lacks {part:?}: {said}");
        }
    };
    let text = Workload::new("words.csv", "t,v\n0,1\n60,many\n");
    check(&["replay", "series", text.path()], &["line 3", "many"]);
    check(&["replay", "series", text.path(), "--column", "x"], &["\"x\"", "t, v"]);
    check(&["replay", "serving", text.path()], &["words.csv"]);
    check(&["replay", "cache", "/no/such/file"], &["/no/such/file"]);
    check(&["replay", "cache", text.path(), "--capacity", "0%"], &["--capacity", "0%"]);
    check(&["replay", "balance", "--load", "7"], &["--load", "7", "at most 2"]);
    check(&["replay", "balance", "--policy", "x"], &["--policy", "peak-ewma"]);
    check(&["replay", "serving", text.path(), "--policy", "x"], &["--policy", "static-peak"]);
}

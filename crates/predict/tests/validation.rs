//! What the forecasts are worth on real series. Everything is deterministic; the data is not part
//! of the project, and where it is absent the tests say that they did not run.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use plimsoll_core_types::{Better, Row, Timestamp};
use plimsoll_predict::evaluate::{EvaluateOptions, Evaluation, Series, evaluate, read_csv};
use plimsoll_predict::{Backtest, Forecaster, ForecasterConfig, Intake, Sizer, SizingConfig};
use plimsoll_testkit::{report, trace};

/// Coverage is judged on series of so many points or more.
const LONG: usize = 500;
const HORIZONS: [&str; 4] = ["1", "4", "12", "season"];

fn text(path: &Path) -> String {
    let bytes = std::fs::read(path).unwrap();
    let mut text = String::new();
    if path.extension().is_some_and(|extension| extension == "gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).unwrap();
        return text;
    }
    String::from_utf8(bytes).unwrap()
}

fn series(path: &Path) -> Series {
    Series::from_samples(&read_csv(&text(path), None).unwrap()).unwrap()
}

/// The shared series, by name.
fn files(test: &str) -> Vec<PathBuf> {
    let Some(folder) = trace(test, "series") else { return Vec::new() };
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.filter(|path| path.to_string_lossy().contains(".csv")).collect();
    files.sort();
    files
}

fn geometric_mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len() as f64).exp()
}

/// The relative errors at a horizon, of the series that have one.
fn relative(all: &[(usize, Evaluation)], model: &str, place: usize) -> Vec<f64> {
    let at = |(_, found): &(usize, Evaluation)| {
        let ahead = [1, 4, 12, found.season][place];
        found.get(model, ahead).filter(|score| score.scored > 0)?.relative
    };
    all.iter().filter_map(at).collect()
}

/// The share of the long series whose 95% interval held within a point of 95% of the time.
fn coverage_share(all: &[(usize, Evaluation)], model: &str, place: usize) -> f64 {
    let mut counts = (0, 0);
    for (_, found) in all.iter().filter(|(length, _)| *length >= LONG) {
        let ahead = [1, 4, 12, found.season][place];
        if let Some(score) = found.get(model, ahead).filter(|score| score.scored > 0) {
            counts.0 += u32::from((score.coverage95 - 0.95).abs() <= 0.01);
            counts.1 += 1;
        }
    }
    f64::from(counts.0) / f64::from(counts.1)
}

/// Share of the long series whose paths are covered within two points.
fn path_share(all: &[(usize, Evaluation)]) -> f64 {
    let long = all.iter().filter(|(length, _)| *length >= LONG);
    let paths: Vec<f64> = long.filter_map(|(_, found)| found.models[0].path_coverage95).collect();
    let held = paths.iter().filter(|covered| (*covered - 0.95).abs() <= 0.02).count();
    held as f64 / paths.len() as f64
}

#[test]
fn forecasts_of_the_shared_series_are_accurate_and_calibrated() {
    let files = files("predict.series");
    if files.is_empty() {
        return;
    }
    let found: Vec<(usize, Evaluation)> = files
        .iter()
        .map(|path| {
            let series = series(path);
            (series.values().len(), evaluate(&series, &EvaluateOptions::default()).unwrap())
        })
        .collect();
    let goals = [Some(0.80), None, Some(0.84), Some(0.75)];
    // What is reached, with a margin for what changes in a digit that does not matter.
    let held = [0.77, 0.70, 0.65, 0.752];
    let covered = [0.95, 0.95, 0.93, 0.43];
    for (place, horizon) in HORIZONS.into_iter().enumerate() {
        let own = geometric_mean(&relative(&found, "plimsoll", place));
        let mut row = Row::new("predict.rel_mae", own, "ratio", Better::Lower);
        row.goal = goals[place];
        for peer in ["seasonal-naive", "ewma", "holt"] {
            row = row.peer(peer, geometric_mean(&relative(&found, peer, place)));
        }
        report(&row.label("horizon", horizon));
        assert!(own <= held[place], "error at {horizon}: {own}");

        let share = coverage_share(&found, "plimsoll", place);
        let mut row = Row::new("predict.coverage_ok_share", share, "ratio", Better::Higher);
        row.goal = Some(0.95);
        for peer in ["naive", "seasonal-naive", "ewma", "holt"] {
            row = row.peer(peer, coverage_share(&found, peer, place));
        }
        report(&row.label("horizon", horizon));
        assert!(share >= covered[place], "coverage at {horizon}: {share}");
    }
    let share = path_share(&found);
    let mut row = Row::new("predict.coverage_ok_share", share, "ratio", Better::Higher);
    row.goal = Some(0.95);
    report(&row.label("horizon", "path"));
    assert!(share >= 0.71, "{share}");
    for (_, found) in &found {
        let [own, seasonal] = ["plimsoll", "seasonal-naive"]
            .map(|model| found.get(model, found.season).map_or(f64::NAN, |score| score.mae));
        assert!(own.is_nan() || own <= 2.0 * seasonal, "{own} {seasonal}");
    }
}

/// Provides for a series of ten-minute windows, each amount decided `steps` windows ahead, from its
/// second day on, and says what that saved and lost beside the clairvoyant static peak.
fn provide(values: &[Option<f64>], steps: u32) -> (f64, f64) {
    let window = Duration::from_mins(10);
    let series = ForecasterConfig::new(window);
    let config = SizingConfig { lead: window * steps, ..SizingConfig::new(series) };
    let mut sizer = Sizer::new(config).unwrap();
    let known = 144;
    let mut before = Backtest::default();
    for (step, value) in values.iter().enumerate() {
        if step == known {
            before = *sizer.backtest();
        }
        sizer.observe(Timestamp::from_nanos((step as u64 + 1) * 600_000_000_000), *value);
    }
    let after = sizer.backtest();
    let demand = after.demand - before.demand;
    let lost = after.lost - before.lost;
    let waste = after.waste() - before.waste();
    let scored = values[known..].iter().flatten();
    let peak = scored.fold(0.0_f64, |peak, value| peak.max(*value));
    let idle = peak * (after.compared - before.compared) as f64 - demand;
    (1.0 - waste / idle, lost / demand)
}

#[test]
fn provisioning_by_forecast_wastes_less_than_the_clairvoyant_static_peak() {
    // What is held at each lead. At one window the amount is decided when the window before it
    // ends; at two, a whole window of ten minutes passes in between.
    let held =
        [("m-large", 1, 0.40), ("m-large", 2, 0.05), ("m-small", 1, 0.60), ("m-small", 2, 0.50)];
    for (name, steps, least) in held {
        let file = format!("series/servegen_{name}_total_10min.csv");
        let Some(path) = trace("predict.provisioning", &file) else { return };
        let (saved, lost) = provide(series(&path).values(), steps);
        let figures = [
            ("predict.waste_reduction", saved, Better::Higher, 0.40),
            ("predict.volume_lost", lost, Better::Lower, 0.001),
        ];
        for (row, value, better, goal) in figures {
            let mut row = Row::new(row, value, "ratio", better);
            row.goal = Some(goal);
            report(&row.label("trace", name).label("lead_windows", &steps.to_string()));
        }
        assert!(saved >= least, "{name} at {steps}: {saved} saved");
        assert!(lost <= 0.00105, "{name} at {steps}: {lost} lost");
    }
}

/// Moments in the notation of the files, in their own time.
fn moments(text: &[&str]) -> Vec<Timestamp> {
    let rows = text.join(",0\n");
    let samples = read_csv(&format!("timestamp,value\n{rows},0\n"), None).unwrap();
    samples.into_iter().map(|(at, _)| at).collect()
}

/// What happened inside and outside of the windows in which series are known to have misbehaved.
#[derive(Default)]
struct Labelled {
    steps: [f64; 2],
    alarms: [f64; 2],
    /// Error inside, relative to the last value's, of each series.
    relative: Vec<f64>,
}

impl Labelled {
    fn replay(&mut self, path: &Path, windows: &[(Timestamp, Timestamp)]) {
        let samples = read_csv(&text(path), None).unwrap();
        let mut config = ForecasterConfig::new(Series::from_samples(&samples).unwrap().interval());
        config.floor = None;
        let mut forecaster = Forecaster::new(config).unwrap();
        let (mut last, mut own, mut naive) = (None::<f64>, 0.0, 0.0);
        for (step, (at, value)) in samples.iter().enumerate() {
            let said = forecaster.point(1);
            // Labels in the first tenth are not to be noticed by anybody who begins there.
            if forecaster.observe(*at, *value) != Intake::Learnt || step < samples.len() / 10 {
                continue;
            }
            let inside = windows.iter().any(|(from, to)| (*from..=*to).contains(at));
            self.steps[usize::from(inside)] += 1.0;
            if forecaster.drifted() == Some(config.interval) {
                self.alarms[usize::from(inside)] += 1.0;
            }
            if let (Some(said), Some(last), Some(value), true) = (said, last, *value, inside) {
                own += (said - value).abs();
                naive += (last - value).abs();
            }
            last = *value;
        }
        if naive > 0.0 {
            self.relative.push(own / naive);
        }
    }
}

#[test]
fn known_trouble_is_noticed_and_lived_through() {
    let Some(labels) = trace("predict.drift", "series/nab_anomaly_windows.json") else { return };
    let labels: BTreeMap<String, Vec<[String; 2]>> = serde_json::from_str(&text(&labels)).unwrap();
    let mut all = Labelled::default();
    for (name, windows) in labels.iter().filter(|(_, windows)| !windows.is_empty()) {
        let Some(path) = trace("predict.drift", &format!("series/{name}.csv.gz")) else { return };
        let ends = windows.iter().map(|[from, to]| moments(&[from, to]));
        let windows: Vec<_> = ends.map(|ends| (ends[0], ends[1])).collect();
        all.replay(&path, &windows);
    }
    let [outside, inside] = [0, 1].map(|place| all.alarms[place] / all.steps[place]);
    report(&Row::new("predict.drift_alarms_inside", inside / outside, "times", Better::Higher));
    let quiet = Row::new("predict.drift_false_alarms", outside * 1e4, "per 10,000", Better::Lower);
    report(&quiet);
    let relative = geometric_mean(&all.relative);
    report(&Row::new("predict.drift_rel_mae", relative, "ratio", Better::Lower));
    assert!(inside > 5.0 * outside, "{:?} alarms in {:?} steps", all.alarms, all.steps);
    assert!(outside < 2e-4, "{outside}");
    assert!(relative < 0.95, "{relative}");
}

//! Makes the table and the plots of `docs/predict-accuracy.md`:
//!
//! `cargo run -p plimsoll-predict --example accuracy -- SERIES_DIR docs WORK_DIR [SECONDS]`
//!
//! `SERIES_DIR` holds CSV files (plain or `.gz`). The peers of statsforecast run in a virtual
//! environment that is made in `WORK_DIR`, for about so many `SECONDS` (default 300); with 0 their
//! forecasts of an earlier run are taken from there, if there are any.

#![expect(clippy::print_stderr, reason = "says how far it is")]

mod page;
mod sample;
mod svg;

use std::error::Error;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use plimsoll_predict::evaluate::{EvaluateOptions, Evaluation, Series, evaluate, read_csv};
use plimsoll_predict::{ConfigError, Forecaster, ForecasterConfig};

/// One series, and its full evaluation.
#[derive(Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) series: Series,
    pub(crate) found: Evaluation,
}

impl Case {
    /// A forecaster that has seen nothing of it, as the evaluation begins with.
    pub(crate) fn forecaster(&self) -> Result<Forecaster, ConfigError> {
        let mut config = ForecasterConfig::new(self.series.interval());
        if self.series.values().iter().flatten().any(|value| *value < 0.0) {
            config.floor = None;
        }
        Forecaster::new(config)
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [dir, docs, work, rest @ ..] = &args[..] else {
        return Err("usage: accuracy SERIES_DIR DOCS_DIR WORK_DIR [SECONDS]".into());
    };
    let seconds: u64 = rest.first().map_or(Ok(300), |text| text.parse())?;
    let (docs, work) = (Path::new(docs), Path::new(work));
    std::fs::create_dir_all(docs.join("img"))?;
    std::fs::create_dir_all(work)?;
    let mut cases = Vec::new();
    for file in files(Path::new(dir))? {
        let name = name_of(&file);
        let series = Series::from_samples(&read_csv(&text(&file)?, None)?)?;
        let found = evaluate(&series, &EvaluateOptions::default())?;
        eprintln!("evaluated {name}: {} steps, season {}", series.values().len(), found.season);
        cases.push(Case { name, series, found });
    }
    let known = work.join("forecasts.json").exists();
    let sampled = (seconds > 0 || known).then(|| peers(&cases, work, seconds)).transpose()?;
    page::write(&cases, sampled.as_ref(), docs)
}

/// Lets the peers forecast from a few origins of each series, and scores them beside Plimsoll.
fn peers(cases: &[Case], work: &Path, seconds: u64) -> Result<sample::Sampled, Box<dyn Error>> {
    let (origins, forecasts) = (work.join("origins.json"), work.join("forecasts.json"));
    if seconds > 0 {
        std::fs::write(&origins, serde_json::to_string(&sample::task(cases))?)?;
        ask(&origins, &forecasts, seconds, work)?;
    }
    sample::score(cases, &std::fs::read_to_string(&forecasts)?)
}

fn ask(origins: &Path, forecasts: &Path, seconds: u64, work: &Path) -> Result<(), Box<dyn Error>> {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/accuracy/peers.py");
    let status = Command::new("python3")
        .arg(script)
        .args([origins, forecasts])
        .arg(seconds.to_string())
        .arg(work.join("venv"))
        .status()?;
    if !status.success() {
        return Err(format!("the peers ended with {status}").into());
    }
    Ok(())
}

fn files(dir: &Path) -> std::io::Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(dir)?.collect::<Result<Vec<_>, _>>()?;
    let paths = entries.into_iter().map(|entry| entry.path());
    let mut files: Vec<_> = paths.filter(|path| path.to_string_lossy().contains(".csv")).collect();
    files.sort();
    Ok(files)
}

fn name_of(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.trim_end_matches(".gz").trim_end_matches(".csv").to_owned()
}

fn text(path: &Path) -> Result<String, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
        return Ok(text);
    }
    Ok(String::from_utf8(bytes)?)
}

//! A series of measurements.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;
use flate2::read::GzDecoder;
use plimsoll_predict::SeasonSpec;
use plimsoll_predict::evaluate::{EvaluateOptions, Series, evaluate, read_csv};

use super::progress::Progress;
use super::{Found, ReplayError};

/// Which series.
#[derive(Args, Clone, Debug)]
pub(super) struct SeriesArgs {
    /// CSV with a header; the first column is the time. Plain or .gz
    file: PathBuf,
    /// The column that holds the values [default: the second]
    #[arg(long, value_name = "NAME")]
    column: Option<String>,
    /// Steps in a season; auto finds it, none denies it
    #[arg(long, default_value = "auto", value_name = "auto|none|STEPS", value_parser = parse_season)]
    season: SeasonSpec,
    /// The share of the series that is learnt from before the first score
    #[arg(long, default_value_t = 0.5)]
    warm_up: f64,
    /// Print the report as one JSON object
    #[arg(long)]
    pub(super) json: bool,
}

fn parse_season(text: &str) -> Result<SeasonSpec, String> {
    match text {
        "auto" => Ok(SeasonSpec::Auto),
        "none" => Ok(SeasonSpec::None),
        _ => match text.parse() {
            Ok(steps) if steps > 1 => Ok(SeasonSpec::Steps(steps)),
            _ => Err("it must be auto, none, or a number of steps above 1".to_owned()),
        },
    }
}

pub(super) fn run(args: &SeriesArgs) -> Result<Found, ReplayError> {
    let progress = Progress::start("reading the series");
    let text = read(&args.file)?;
    let samples = read_csv(&text, args.column.as_deref())
        .map_err(|cause| ReplayError::trace(&args.file, cause))?;
    let series =
        Series::from_samples(&samples).map_err(|cause| ReplayError::trace(&args.file, cause))?;
    progress.say("forecasting from every origin");
    let options = EvaluateOptions {
        season: args.season,
        warm_up: args.warm_up,
        ..EvaluateOptions::default()
    };
    let found = evaluate(&series, &options)?;
    drop(progress);
    let every = humantime::format_duration(found.interval);
    let measured = series.values().iter().flatten().count();
    let note = format!(
        "{} steps of {every}, {measured} of them measured; season {} steps; scored after {:.0}%",
        series.values().len(),
        found.season,
        args.warm_up * 100.0,
    );
    Ok(Found { notes: vec![note], rows: found.rows(), by: "model" })
}

/// The file's text, unpacked where it is packed.
fn read(path: &Path) -> Result<String, ReplayError> {
    let failed = |cause| ReplayError::Read { path: path.to_owned(), cause };
    let bytes = std::fs::read(path).map_err(failed)?;
    let mut text = String::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).map_err(failed)?;
        return Ok(text);
    }
    (&bytes[..]).read_to_string(&mut text).map_err(failed)?;
    Ok(text)
}

//! The page: tables and plots of what was found.

use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

use plimsoll_core_types::Timestamp;
use plimsoll_predict::{Forecaster, ForecasterConfig};

use crate::Case;
use crate::sample::{ORIGINS, Sampled};
use crate::svg;

const HORIZONS: [&str; 4] = ["1 step", "4 steps", "12 steps", "a season"];
/// Coverage is judged on series of so many steps or more.
const LONG: usize = 500;
/// The series of the fan, and how much of its end is shown.
const SHOWN: &str = "servegen_m-large_total_10min";

pub(crate) fn write(
    cases: &[Case],
    sampled: Option<&Sampled>,
    docs: &Path,
) -> Result<(), Box<dyn Error>> {
    let mut page = String::from(HEAD);
    streaming(&mut page, cases)?;
    let img = docs.join("img");
    if let Some(sampled) = sampled {
        beside_peers(&mut page, sampled)?;
        std::fs::write(img.join("predict-accuracy.svg"), accuracy(sampled, cases.len()))?;
    }
    coverage(&mut page, cases)?;
    std::fs::write(img.join("predict-coverage.svg"), dots(cases))?;
    if let Some(case) = cases.iter().find(|case| case.name == SHOWN) {
        std::fs::write(img.join("predict-fan.svg"), fan(case)?)?;
        page.push_str(FAN);
    }
    series(&mut page, cases)?;
    std::fs::write(docs.join("predict-accuracy.md"), page)?;
    Ok(())
}

const HEAD: &str = "# How good the forecasts are\n\n\
<!-- Made by `cargo run -p plimsoll-predict --example accuracy`; not written by hand. -->\n\n\
Made by one command, which makes a Python environment for the peers by itself:\n\n\
```sh traces long\ncargo run -p plimsoll-predict --example accuracy -- \"$PLIMSOLL_TRACES/series\" docs accuracy-work\n```\n\n\
The first folder holds the series as CSV: those of the Numenta anomaly benchmark (EC2, RDS and ELB \
metrics, tweets, traffic, taxis) and request rates of ServeGen. Every figure is out of sample: the \
series is replayed once, a forecast is made after each sample and scored when its truth arrives, and \
scores count in the second half only. Errors are mean absolute errors relative to those of the last \
value (lower is better), as geometric means over series.\n\n";

const FAN: &str = "## One forecast\n\nThe requests per second of a language model (ServeGen m-large), \
two days, and what was said of the third:\n\n![A forecast of one day](img/predict-fan.svg)\n\n";

fn mean(values: &[f64]) -> f64 {
    (values.iter().map(|value| value.ln()).sum::<f64>() / values.len().max(1) as f64).exp()
}

fn streaming(page: &mut String, cases: &[Case]) -> std::fmt::Result {
    writeln!(page, "## Beside what costs nothing: every origin of {} series\n", cases.len())?;
    writeln!(page, "| model | {} |\n|---|---|---|---|---|", HORIZONS.join(" | "))?;
    for model in ["plimsoll", "naive", "seasonal-naive", "ewma", "holt"] {
        write!(page, "| {model} |")?;
        for place in 0..4 {
            let at = |case: &Case| {
                let ahead = [1, 4, 12, case.found.season][place];
                case.found.get(model, ahead).filter(|score| score.scored > 0)?.relative
            };
            let values: Vec<f64> =
                cases.iter().filter_map(at).filter(|value| *value > 0.0).collect();
            write!(page, " {:.3} |", mean(&values))?;
        }
        writeln!(page)?;
    }
    writeln!(page, "\nGoals: .80 at one step, .84 at 12, .75 at a season.\n")
}

fn beside_peers(page: &mut String, sampled: &Sampled) -> std::fmt::Result {
    writeln!(page, "## Beside statsforecast: {ORIGINS} origins of each series\n")?;
    page.push_str(
        "A batch model that is fitted anew at every sample would take days, so this is a **sample**: \
         evenly spread origins of the second half, at most the number above for each series. Each \
         peer is fitted once, on up to three seasons (600 to 1,000 steps) before the first origin; \
         at every origin its state is brought up to date, with its parameters held, which is to \
         their disadvantage where a series changes. Steps without a value are bridged by straight \
         lines for them. AutoETS and AutoARIMA are told of no season, for which they have no time \
         at 144 or 288 steps. In brackets: Plimsoll on the same series. \
         Where a model has forecast fewer series, the time for the peers was over; it is not \
         drawn. Read this as a check that nothing is far off, not as a contest: with so few \
         origins a difference of a few hundredths is noise, and peers that are fitted anew at \
         each origin may do better.\n\n",
    );
    writeln!(
        page,
        "| model | {} | series | covered by 95% | failed |\n|---|---|---|---|---|---|---|---|",
        HORIZONS.join(" | ")
    )?;
    for (model, errors) in &sampled.models {
        write!(page, "| {model} |")?;
        let mut count = 0;
        for place in 0..4 {
            let own = sampled.relative("plimsoll", model, place);
            match sampled.relative(model, model, place).zip(own) {
                Some(((value, series), (own, _))) => {
                    count = count.max(series);
                    write!(page, " {value:.3} ({own:.3}) |")?;
                }
                None => write!(page, " – |")?,
            }
        }
        let covered: u32 = errors.iter().map(|errors| errors.covered).sum();
        let judged: u32 = errors.iter().map(|errors| errors.judged).sum();
        let failed: u32 = errors.iter().map(|errors| errors.failed).sum();
        let share = 100.0 * f64::from(covered) / f64::from(judged.max(1));
        writeln!(page, " {count} | {share:.1}% | {failed} |")?;
    }
    let won: Vec<String> = (0..4)
        .map(|place| {
            format!("{:.0}% at {}", 100.0 * sampled.best_share("plimsoll", place), HORIZONS[place])
        })
        .collect();
    writeln!(
        page,
        "\nPlimsoll is at least as good as the best of them, chosen in hindsight for each series, on {}.\n",
        won.join(", ")
    )?;
    writeln!(page, "![Errors by horizon](img/predict-accuracy.svg)\n")
}

fn accuracy(sampled: &Sampled, series: usize) -> String {
    // A bar over other series than its neighbours' would mislead.
    let whole = |model: &&String| sampled.models[*model][0].sums.len() * 10 >= series * 9;
    let mut models: Vec<_> = sampled.models.keys().filter(whole).collect();
    models.sort_by_key(|model| (*model != "plimsoll", (*model).clone()));
    let of = |model: &String| {
        let values = (0..4).map(|place| Some(sampled.relative(model, model, place)?.0)).collect();
        (model.clone(), values)
    };
    let models: Vec<(String, Vec<Option<f64>>)> = models.into_iter().map(of).collect();
    svg::bars(
        "Error relative to the last value's (lower is better)",
        &HORIZONS.map(String::from),
        &models,
    )
}

/// The coverage of long series at each horizon.
fn covered(cases: &[Case], model: &str, place: usize) -> Vec<f64> {
    let at = |case: &Case| {
        let ahead = [1, 4, 12, case.found.season][place];
        let score = case.found.get(model, ahead).filter(|score| score.scored > 0)?;
        Some(score.coverage95)
    };
    cases.iter().filter(|case| case.series.values().len() >= LONG).filter_map(at).collect()
}

fn share(values: &[f64], within: f64) -> f64 {
    let held = values.iter().filter(|value| (*value - 0.95).abs() <= within).count();
    100.0 * held as f64 / values.len().max(1) as f64
}

fn paths(cases: &[Case]) -> Vec<f64> {
    let long = cases.iter().filter(|case| case.series.values().len() >= LONG);
    long.filter_map(|case| case.found.models[0].path_coverage95).collect()
}

fn coverage(page: &mut String, cases: &[Case]) -> Result<(), Box<dyn Error>> {
    page.push_str("## Do the intervals hold?\n\nThe share of series (of 500 steps or more) whose 95% intervals covered 94% to 96% of what came; for whole paths, 93% to 97%. The goal is 95% of series.\n\n");
    writeln!(page, "| model | {} | paths |\n|---|---|---|---|---|---|", HORIZONS.join(" | "))?;
    for model in ["plimsoll", "naive", "seasonal-naive", "ewma", "holt"] {
        write!(page, "| {model} |")?;
        for place in 0..4 {
            write!(page, " {:.0}% |", share(&covered(cases, model, place), 0.01))?;
        }
        let path = if model == "plimsoll" {
            format!(" {:.0}% |", share(&paths(cases), 0.02))
        } else {
            " |".into()
        };
        writeln!(page, "{path}")?;
    }
    let (lost, of) = lost_at_once(cases)?;
    write!(
        page,
        "\nFrom 12 steps on the ends are steered: misses beyond what was due are worked off at a level \
         between the tracked ones. At a season the goal is missed. An error there is known a season \
         late, and the second half of two weeks is six seasons long. On {lost} of {of} series more \
         than 6% of all that was scored was missed within a single season, all of it given out \
         before the truth of the first was known: nothing that came after could make up for it. \
         What could be is steered by a sample, since forecasts that wait for their truth take \
         memory: at 288 steps one in 15 is judged, 115 in the second half of two weeks, whose share \
         of misses scatters by 2 points where errors are independent (√(0.05 × 0.95 / 115)), and \
         the tolerance is one point.\n\n"
    )?;
    writeln!(page, "![Coverage of each series](img/predict-coverage.svg)\n")?;
    Ok(())
}

/// On how many long series more of the forecasts a season ahead was missed within one season than is
/// allowed in all, and of how many.
fn lost_at_once(cases: &[Case]) -> Result<(usize, usize), Box<dyn Error>> {
    let (mut lost, mut of) = (0, 0);
    for case in cases.iter().filter(|case| case.series.values().len() >= LONG) {
        let (missed, season) = (misses(case)?, case.found.season);
        let most = 0.06 * missed.len() as f64;
        let count = |part: &[bool]| part.iter().filter(|missed| **missed).count() as f64;
        of += 1;
        lost += usize::from(missed.windows(season).any(|part| count(part) > most));
    }
    Ok((lost, of))
}

/// Of each forecast a season ahead that is scored, whether its 95% interval missed.
fn misses(case: &Case) -> Result<Vec<bool>, Box<dyn Error>> {
    let (values, season) = (case.series.values(), case.found.season);
    let mut forecaster = case.forecaster()?;
    let interval = case.series.interval().as_nanos() as u64;
    let mut missed = Vec::new();
    for (step, value) in values.iter().enumerate() {
        forecaster.observe(Timestamp::from_nanos((step as u64 + 1) * interval), *value);
        let truth = values.get(step + season).copied().flatten();
        if let Some((truth, said)) = truth.zip(forecaster.forecast(season))
            && step + 1 >= values.len() / 2
        {
            let slack = 1e-6 * truth.abs();
            missed.push(truth < said.at(0.025) - slack || truth > said.at(0.975) + slack);
        }
    }
    Ok(missed)
}

fn dots(cases: &[Case]) -> String {
    let mut groups: Vec<(String, Vec<f64>)> = (0..4)
        .map(|place| (HORIZONS[place].to_owned(), covered(cases, "plimsoll", place)))
        .collect();
    groups.push(("paths".to_owned(), paths(cases)));
    svg::dots(
        "Share of values within the 95% interval: one dot a series",
        &groups,
        (0.8, 1.0),
        (0.94, 0.96),
    )
}

fn fan(case: &Case) -> Result<String, Box<dyn Error>> {
    let (values, season) = (case.series.values(), case.found.season);
    let origin = values.len() - season;
    let mut forecaster = Forecaster::new(ForecasterConfig::new(case.series.interval()))?;
    let interval = case.series.interval().as_nanos() as u64;
    for (step, value) in values[..origin].iter().enumerate() {
        forecaster.observe(Timestamp::from_nanos((step as u64 + 1) * interval), *value);
    }
    let said = forecaster
        .path(season)
        .map(|said| [0.025, 0.25, 0.5, 0.75, 0.975].map(|level| said.at(level)));
    let fan = svg::Fan {
        known: values[origin - 2 * season..origin].to_vec(),
        came: values[origin..].to_vec(),
        said: said.collect(),
    };
    Ok(svg::fan("Requests per second: two days known, one forecast", &fan))
}

fn series(page: &mut String, cases: &[Case]) -> std::fmt::Result {
    page.push_str("## Each series\n\nError relative to the last value's, and in brackets the coverage of the 95% interval.\n\n");
    writeln!(
        page,
        "| series | steps | season | {} |\n|---|---|---|---|---|---|---|",
        HORIZONS.join(" | ")
    )?;
    for case in cases {
        write!(page, "| {} | {} | {} |", case.name, case.series.values().len(), case.found.season)?;
        for ahead in [1, 4, 12, case.found.season] {
            match case.found.get("plimsoll", ahead).filter(|score| score.scored > 0) {
                Some(score) => match score.relative {
                    Some(relative) => write!(page, " {relative:.3} ({:.3}) |", score.coverage95)?,
                    None => write!(page, " – ({:.3}) |", score.coverage95)?,
                },
                None => write!(page, " – |")?,
            }
        }
        writeln!(page)?;
    }
    Ok(())
}

//! The evaluation table over a folder of CSV files (plain or `.gz`):
//! `cargo run -p plimsoll-predict --release --example evaluate -- DIR [--verbose]`.

#![expect(clippy::print_stdout, clippy::too_many_lines, reason = "prints a table")]

use std::io::Read as _;
use std::path::{Path, PathBuf};

use plimsoll_predict::evaluate::{EvaluateOptions, Evaluation, Series, evaluate, read_csv};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let dir = args.first().ok_or("usage: evaluate DIR")?;
    let verbose = args.iter().any(|a| a == "--verbose");
    let num = |name: &str, d: f64| -> f64 {
        args.iter().position(|a| a == name).map_or(d, |i| args[i + 1].parse().unwrap())
    };
    let options = EvaluateOptions {
        warm_up: num("--from", 0.5),
        until: num("--until", 1.0),
        ..EvaluateOptions::default()
    };
    let mut files: Vec<PathBuf> = std::fs::read_dir(dir)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .filter(|path| path.to_string_lossy().contains(".csv"))
        .collect();
    files.sort();
    let parity = num("--parity", -1.0);
    let mut all = Vec::new();
    for (k, file) in files.iter().enumerate() {
        if parity >= 0.0 && (k % 2) as f64 != parity {
            continue;
        }
        let samples = read_csv(&text(file)?, None)?;
        let series = Series::from_samples(&samples)?;
        let result = evaluate(&series, &options)?;
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        if verbose {
            one(&name, &series, &result);
        }
        all.push((name, series.values().len(), result));
    }
    let fresh = plimsoll_predict::Forecaster::new(plimsoll_predict::ForecasterConfig::new(
        std::time::Duration::from_mins(5),
    ))?;
    println!("{} bytes at season 288", fresh.state_bytes());
    println!("| model | h | rel mae | wql | cov mean | within 1pt | n |");
    for model in ["plimsoll", "naive", "seasonal-naive", "ewma", "holt"] {
        for node in 0..4 {
            let mut rel = vec![];
            let mut wql = vec![];
            let mut cov = vec![];
            for (_, n, e) in &all {
                let h = [1, 4, 12, e.season][node];
                let Some(s) = e.get(model, h) else { continue };
                if s.scored == 0 {
                    continue;
                }
                rel.extend(s.relative);
                wql.extend(s.wql);
                if *n >= 500 {
                    cov.push(s.coverage95);
                }
            }
            let geo = |v: &[f64]| (v.iter().map(|x| x.ln()).sum::<f64>() / v.len() as f64).exp();
            let ok = cov.iter().filter(|c| (*c - 0.95).abs() <= 0.01).count();
            println!(
                "| {model} | {} | {:.4} | {:.4} | {:.4} | {:.3} | {} |",
                ["1", "4", "12", "season"][node],
                geo(&rel),
                geo(&wql),
                cov.iter().sum::<f64>() / cov.len() as f64,
                ok as f64 / cov.len() as f64,
                rel.len()
            );
        }
    }
    for (k, m) in all[0].2.models.iter().enumerate() {
        let v: Vec<f64> = all.iter().filter_map(|a| a.2.models[k].path_relative).collect();
        println!(
            "path rel {} {:.4}",
            m.model,
            (v.iter().map(|x| x.ln()).sum::<f64>() / v.len() as f64).exp()
        );
    }
    let paths: Vec<f64> = all
        .iter()
        .filter(|(_, n, _)| *n >= 500)
        .filter_map(|(_, _, e)| e.models[0].path_coverage95)
        .collect();
    let ok = paths.iter().filter(|c| (*c - 0.95).abs() <= 0.02).count();
    println!(
        "paths: mean {:.4} within 2pt {:.3}",
        paths.iter().sum::<f64>() / paths.len() as f64,
        ok as f64 / paths.len() as f64
    );
    let worst = all
        .iter()
        .filter_map(|(name, _, e)| {
            let (a, b) = (e.get("plimsoll", e.season)?.mae, e.get("seasonal-naive", e.season)?.mae);
            Some((a / b, name))
        })
        .filter(|x| x.0.is_finite())
        .max_by(|a, b| a.0.total_cmp(&b.0));
    println!("worst against seasonal naive at a season: {worst:?}");
    Ok(())
}

fn one(name: &str, series: &Series, e: &Evaluation) {
    print!("{:55} {:6} {:4}", &name[..name.len().min(55)], series.values().len(), e.season);
    for h in [1, 4, 12, e.season] {
        let p = e.get("plimsoll", h).unwrap();
        let sn = e.get("seasonal-naive", h).unwrap();
        let ew = e.get("ewma", h).unwrap();
        print!(
            " | {:.3} sn {:.3} ew {:.3} c {:.3}",
            p.relative.unwrap_or(f64::NAN),
            sn.relative.unwrap_or(f64::NAN),
            ew.relative.unwrap_or(f64::NAN),
            p.coverage95
        );
    }
    println!();
}

fn text(path: &Path) -> Result<String, Box<dyn std::error::Error>> {
    let bytes = std::fs::read(path)?;
    let mut text = String::new();
    if path.extension().is_some_and(|e| e == "gz") {
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text)?;
    } else {
        text = String::from_utf8(bytes)?;
    }
    Ok(text)
}

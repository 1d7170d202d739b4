//! `plimsoll profile`: what a workload looks like, where it is held up, and what would help.

mod series;

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use plimsoll_core_types::{EngineSnapshot, SystemSnapshot};
use serde_json::{Value, json};

use super::told;
use crate::client::{Client, ClientError, ServerArgs};
use crate::output::line;
use series::{Pressure, correlation, pressure, variation};

/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// A share of time spent waiting for something that makes it a bottleneck.
const BOTTLENECK: f64 = 0.05;
/// Two figures that move together at least this closely depend on each other.
const TOGETHER: f64 = 0.7;
/// A declaration that is off by more than this share is worth changing.
const WORTH: f64 = 0.15;

/// What `profile` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct ProfileArgs {
    /// How long to look
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    #[arg(value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    #[command(flatten)]
    server: ServerArgs,
    /// Print one object
    #[arg(long)]
    json: bool,
}

/// What was seen of the whole at one moment.
struct Look {
    snapshot: SystemSnapshot,
    pressures: Vec<Pressure>,
}

pub(crate) fn run(args: &ProfileArgs) -> ExitCode {
    told(ask(args))
}

async fn ask(args: &ProfileArgs) -> Result<(), ClientError> {
    let client = Client::new(&args.server)?;
    let mut looks: Vec<Look> = Vec::new();
    let rounds = args.seconds * 1000 / u32::try_from(LOOK_EVERY.as_millis()).unwrap_or(1);
    for _ in 0..=rounds {
        let status = client.get("/api/status").await?;
        let snapshot = serde_json::from_value(status["status"]["snapshot"].clone());
        if let Ok(snapshot) = snapshot {
            looks.push(Look { snapshot, pressures: pressure() });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let profile = json!({
        "seconds": args.seconds,
        "looks": looks.len(),
        "usage": usage(&looks),
        "bottlenecks": bottlenecks(&looks),
        "allocation": allocation(&looks),
        "dependencies": dependencies(&looks),
        "changes": changes(&looks),
    });
    if args.json {
        line(&profile.to_string());
    } else {
        print(&profile);
    }
    Ok(())
}

/// One figure of one model, over all looks.
fn of(looks: &[Look], model: &str, figure: fn(&EngineSnapshot) -> f64) -> Vec<f64> {
    let find = |look: &Look| {
        look.snapshot.engines.iter().find(|engine| engine.model.as_str() == model).map(figure)
    };
    looks.iter().filter_map(find).collect()
}

fn models(looks: &[Look]) -> Vec<String> {
    let last = looks.last().map(|look| &look.snapshot.engines);
    last.into_iter().flatten().map(|engine| engine.model.to_string()).collect()
}

/// Requests between one look and the next.
fn arrivals(looks: &[Look], model: &str) -> Vec<f64> {
    let counts = of(looks, model, |engine| engine.arrivals as f64);
    counts.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

fn elapsed(looks: &[Look]) -> f64 {
    let at = |look: Option<&Look>| look.map_or(0.0, |look| look.snapshot.at.as_secs_f64());
    (at(looks.last()) - at(looks.first())).max(f64::MIN_POSITIVE)
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / (values.len().max(1) as f64)
}

fn usage(looks: &[Look]) -> Vec<Value> {
    let row = |model: String| {
        let came = arrivals(looks, &model);
        let total: f64 = came.iter().sum();
        let spread = variation(&came);
        let pattern = match spread {
            None => "not asked for",
            Some(spread) if spread < 1.0 => "steady",
            Some(spread) if spread < 2.0 => "uneven",
            Some(_) => "in bursts",
        };
        let ready = of(looks, &model, |e| f64::from(u8::from(e.ready_since.is_some())));
        json!({
            "model": model,
            "requests_per_second": total / elapsed(looks),
            "pattern": pattern,
            "variation": spread,
            "ready_share": mean(&ready),
            "mean_in_progress": mean(&of(looks, &model, |e| e.in_progress as f64)),
            "mean_used_bytes": mean(&of(looks, &model, |e| e.used.memory().as_f64())),
            "mean_cpu_cores": mean(&of(looks, &model, |e| e.used.cpu().as_cores())),
        })
    };
    models(looks).into_iter().map(row).collect()
}

fn bottlenecks(looks: &[Look]) -> Vec<Value> {
    let mut found = Vec::new();
    for (index, what) in series::PRESSURES.iter().enumerate() {
        let shares: Vec<_> = looks.iter().filter_map(|look| look.pressures.get(index)?.0).collect();
        if shares.is_empty() {
            found.push(json!({ "what": what, "share": null, "bottleneck": null }));
            continue;
        }
        let share = mean(&shares);
        found.push(json!({ "what": what, "share": share, "bottleneck": share >= BOTTLENECK }));
    }
    let waiting: Vec<_> =
        looks.iter().map(|look| look.snapshot.pool.waiters.len() as f64).collect();
    let share =
        mean(&waiting.iter().map(|count| f64::from(u8::from(*count > 0.0))).collect::<Vec<_>>());
    found.push(json!({ "what": "leases", "share": share, "bottleneck": share >= BOTTLENECK }));
    found
}

fn allocation(looks: &[Look]) -> Value {
    let (Some(first), Some(last)) = (looks.first(), looks.last()) else { return Value::Null };
    let memory = |look: &Look| {
        let promised = look.snapshot.pool.promised.memory().as_f64();
        let used: f64 = look.snapshot.engines.iter().map(|e| e.used.memory().as_f64()).sum();
        (promised, used)
    };
    let promised = mean(&looks.iter().map(|look| memory(look).0).collect::<Vec<_>>());
    let used = mean(&looks.iter().map(|look| memory(look).1).collect::<Vec<_>>());
    let (before, after) = (&first.snapshot.pool, &last.snapshot.pool);
    json!({
        "mean_promised_bytes": promised,
        "mean_used_bytes": used,
        "waste_share": if promised > 0.0 { Some((promised - used).max(0.0) / promised) } else { None },
        "limit_bytes": after.limit.memory(),
        "granted": after.granted - before.granted,
        "refused": after.refused - before.refused,
        "timed_out": after.timed_out - before.timed_out,
        "cancelled": after.cancelled - before.cancelled,
    })
}

/// Which figures of a model move together.
fn dependencies(looks: &[Look]) -> Vec<Value> {
    type Figure = fn(&EngineSnapshot) -> f64;
    let figures: [(&str, Figure); 3] = [
        ("requests in progress", |e| e.in_progress as f64),
        ("cpu", |e| e.used.cpu().as_cores()),
        ("memory", |e| e.used.memory().as_f64()),
    ];
    let mut found = Vec::new();
    for model in models(looks) {
        for (index, (a, left)) in figures.iter().enumerate() {
            for (b, right) in &figures[index + 1..] {
                let (left, right) = (of(looks, &model, *left), of(looks, &model, *right));
                if let Some(how) = correlation(&left, &right).filter(|how| how.abs() >= TOGETHER) {
                    found.push(json!({ "model": model, "of": [a, b], "correlation": how }));
                }
            }
        }
    }
    found
}

/// What would be set otherwise, by what was measured.
fn changes(looks: &[Look]) -> Vec<String> {
    let Some(last) = looks.last() else { return Vec::new() };
    let mut changes = Vec::new();
    for engine in &last.snapshot.engines {
        let (model, declared) = (&engine.model, engine.declared.memory());
        let off = engine.believed.memory().as_f64() / declared.as_f64().max(1.0) - 1.0;
        if engine.samples > 0 && off.abs() > WORTH && !declared.is_zero() {
            let believed = engine.believed.memory();
            changes.push(format!("ask for {believed} for {model}, which declares {declared}"));
        }
        let waiting = mean(&of(looks, model.as_str(), |e| e.waiting as f64));
        if waiting > 0.5 {
            changes.push(format!(
                "load {model} ahead or pin it: {waiting:.1} requests wait for it on average"
            ));
        }
        let busy = mean(&of(looks, model.as_str(), |e| e.in_progress as f64));
        if engine.slots > 0 && busy >= engine.slots as f64 {
            let slots = engine.slots;
            changes.push(format!(
                "give {model} more than {slots} slots, or a replica: all are at work"
            ));
        }
        let came: f64 = arrivals(looks, model.as_str()).iter().sum();
        if came == 0.0 && engine.ready_since.is_some() && !engine.pinned {
            changes.push(format!(
                "unload {model}, which nobody asked for: it holds {}",
                engine.promised
            ));
        }
    }
    let plan = last.snapshot.threads.iter().flat_map(|plan| &plan.assignments);
    for given in plan {
        let engine =
            last.snapshot.engines.iter().find(|e| e.model.as_str() == given.consumer.as_str());
        if let Some(engine) = engine.filter(|e| e.threads > 0 && e.threads != given.threads) {
            let (model, now, to) = (&engine.model, engine.threads, given.threads);
            changes.push(format!("run {model} on {to} threads instead of {now}: {}", given.reason));
        }
    }
    changes
}

fn print(profile: &Value) {
    let rows = |key: &str| profile[key].as_array().cloned().unwrap_or_default();
    let number = |value: &Value| value.as_f64().unwrap_or(0.0);
    let size = |value: &Value| plimsoll_core_types::Bytes::from_f64(number(value)).to_string();
    line(&format!("Usage, over {} s", profile["seconds"]));
    for row in rows("usage") {
        line(&format!(
            "  {:<20} {:>7.2} requests/s, {}, ready {:.0}% of the time, {:.2} in progress, {} and {:.2} cores used",
            row["model"].as_str().unwrap_or_default(),
            number(&row["requests_per_second"]),
            row["pattern"].as_str().unwrap_or_default(),
            number(&row["ready_share"]) * 100.0,
            number(&row["mean_in_progress"]),
            size(&row["mean_used_bytes"]),
            number(&row["mean_cpu_cores"]),
        ));
    }
    line("Bottlenecks, by the share of time in which somebody waited");
    for row in rows("bottlenecks") {
        let what = row["what"].as_str().unwrap_or_default();
        let share = row["share"].as_f64();
        let mark = if row["bottleneck"] == true { "  <- here" } else { "" };
        let share =
            share.map_or("not told by this host".to_owned(), |s| format!("{:.1}%", s * 100.0));
        line(&format!("  {what:<20} {share}{mark}"));
    }
    let allocation = &profile["allocation"];
    line("Allocation");
    line(&format!(
        "  promised {} on average of {}, used {}; waste {}",
        size(&allocation["mean_promised_bytes"]),
        size(&allocation["limit_bytes"]),
        size(&allocation["mean_used_bytes"]),
        allocation["waste_share"].as_f64().map_or("-".to_owned(), |w| format!("{:.0}%", w * 100.0)),
    ));
    line(&format!(
        "  {} leases granted, {} refused, {} out of time, {} given up",
        allocation["granted"],
        allocation["refused"],
        allocation["timed_out"],
        allocation["cancelled"],
    ));
    line("Dependencies");
    for row in rows("dependencies") {
        let (a, b) = (row["of"][0].as_str().unwrap_or(""), row["of"][1].as_str().unwrap_or(""));
        let model = row["model"].as_str().unwrap_or_default();
        line(&format!("  {model}: {a} and {b} move together, {:.2}", number(&row["correlation"])));
    }
    line("Plimsoll would");
    let changes = rows("changes");
    if changes.is_empty() {
        line("  change nothing");
    }
    for change in changes {
        line(&format!("  {}", change.as_str().unwrap_or_default()));
    }
}

//! `plimsoll adopt`: engines that others have started, what they hold, and how they free it.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use comfy_table::{Table, presets::NOTHING};
use plimsoll_core_types::Bytes;
use serde_json::json;

use crate::adopt::{Engine, Known, USUAL_PORTS, discover};
use crate::http::Target;
use crate::output::{complain, line};
use crate::{FAILED, USAGE};

/// What `adopt` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct AdoptArgs {
    /// Where engines are, as HOST:PORT [default: the usual ports of this host]
    #[arg(value_name = "HOST:PORT")]
    at: Vec<String>,
    /// Have this model's memory freed; `all` frees everything that is loaded
    #[arg(long, value_name = "MODEL")]
    free: Option<String>,
    /// Print one object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &AdoptArgs) -> ExitCode {
    match crate::client::block_on(adopt(args)) {
        Ok(code) => code,
        Err(error) => complain(&format!("starting the runtime failed: {error}"), FAILED),
    }
}

async fn adopt(args: &AdoptArgs) -> ExitCode {
    let engines = if args.at.is_empty() {
        discover().await
    } else {
        match told(&args.at).await {
            Ok(engines) => engines,
            Err(problem) => return complain(&problem, USAGE),
        }
    };
    let mut freed = 0;
    let mut listed = Vec::new();
    let mut problems = Vec::new();
    for engine in &engines {
        let mut models = match engine.models().await {
            Ok(models) => models,
            Err(error) => {
                problems.push(error.to_string());
                continue;
            }
        };
        for model in models.iter_mut().filter(|model| wanted(args.free.as_deref(), model)) {
            match engine.free(&model.name).await {
                Ok(()) => {
                    freed += 1;
                    model.loaded = false;
                }
                Err(error) => problems.push(error.to_string()),
            }
        }
        listed.push((engine, models));
    }
    if args.json {
        let row = |(engine, models): &(&Engine, Vec<Known>)| json!({ "kind": engine.kind, "at": engine.target.to_string(), "models": models });
        let engines: Vec<_> = listed.iter().map(row).collect();
        line(&json!({ "engines": engines, "freed": freed, "problems": problems }).to_string());
    } else {
        print(&listed);
    }
    if let (Some(model), 0) = (&args.free, freed) {
        return complain(&format!("nothing that is loaded is called {model}"), FAILED);
    }
    match problems.first() {
        Some(problem) => complain(problem, FAILED),
        None => ExitCode::SUCCESS,
    }
}

fn wanted(free: Option<&str>, model: &Known) -> bool {
    model.loaded && free.is_some_and(|name| name == "all" || name == model.name)
}

async fn told(places: &[String]) -> Result<Vec<Engine>, String> {
    let mut engines = Vec::new();
    for place in places {
        let name = place.strip_prefix("http://").unwrap_or(place).trim_end_matches('/');
        let wrong = |cause: &dyn std::fmt::Display| {
            format!("{place:?}: {cause}; write such as 127.0.0.1:11434")
        };
        let mut found = tokio::net::lookup_host(name).await.map_err(|error| wrong(&error))?;
        let address = found.next().ok_or_else(|| wrong(&"it has no address"))?;
        let engine = Engine::find(Arc::new(Target::new(address))).await;
        engines.push(engine.ok_or_else(|| format!("no engine that is known answers at {place}"))?);
    }
    Ok(engines)
}

fn print(listed: &[(&Engine, Vec<Known>)]) {
    if listed.is_empty() {
        let ports: Vec<_> = USUAL_PORTS.iter().map(ToString::to_string).collect();
        line(&format!(
            "no engine answers at this host's ports {}; name its HOST:PORT",
            ports.join(", ")
        ));
        return;
    }
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(vec![
        "ENGINE",
        "AT",
        "MODEL",
        "LOADED",
        "MEMORY",
        "ACCELERATOR",
    ]);
    let size =
        |bytes: Option<Bytes>| bytes.map_or_else(|| "-".to_owned(), |bytes| bytes.to_string());
    for (engine, models) in listed {
        for model in models {
            table.add_row(vec![
                engine.kind.to_string(),
                engine.target.to_string(),
                model.name.clone(),
                if model.loaded { "yes" } else { "no" }.to_owned(),
                size(model.memory),
                size(model.accelerator),
            ]);
        }
    }
    line(&table.to_string());
}

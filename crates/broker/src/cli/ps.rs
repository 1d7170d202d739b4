//! `plimsoll ps`: who runs, who holds, who waits.

use std::process::ExitCode;

use clap::Args;
use comfy_table::{Table, presets::NOTHING};
use plimsoll_core_types::{Bytes, ResourceVector};
use serde_json::{Value, json};

use super::told;
use crate::client::{Client, ClientError, ServerArgs};
use crate::output::line;

/// How many leases are asked for at once.
const PAGE: usize = 4096;

/// What `ps` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct PsArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print one object instead of tables
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &PsArgs) -> ExitCode {
    told(ask(args))
}

async fn ask(args: &PsArgs) -> Result<(), ClientError> {
    let client = Client::new(&args.server)?;
    let (running, held) = (client.get("/running").await?, whole(&client).await?);
    if args.json {
        line(&json!({ "running": running["running"], "leases": held }).to_string());
        return Ok(());
    }
    let promised = amount(&held["promised"]);
    line(&format!("line {}, promised {promised}", amount(&held["limit"])));
    let rows = |value: &Value| value.as_array().cloned().unwrap_or_default();
    models(&rows(&running["running"]));
    leases(&rows(&held["leases"]));
    waiters(&rows(&held["waiters"]));
    Ok(())
}

/// Every page of the leases as one.
async fn whole(client: &Client) -> Result<Value, ClientError> {
    let mut held = client.get(&format!("/v1/leases?limit={PAGE}")).await?;
    let mut leases = taken(&mut held);
    while let Some(next) = held["next"].as_u64() {
        // Leases come by number: what is taken or given back meanwhile makes none come twice.
        held = client.get(&format!("/v1/leases?limit={PAGE}&after={next}")).await?;
        leases.append(&mut taken(&mut held));
    }
    held["leases"] = Value::Array(leases);
    Ok(held)
}

fn taken(held: &mut Value) -> Vec<Value> {
    match held["leases"].take() {
        Value::Array(leases) => leases,
        _ => Vec::new(),
    }
}

fn models(running: &[Value]) {
    if running.is_empty() {
        line("no model is loaded");
        return;
    }
    let mut table =
        table(&["MODEL", "STATE", "PROMISED", "USED", "THREADS", "BUSY", "WAITING", "ENGINE"]);
    for model in running {
        let eta = model["loading"]["eta_seconds"].as_f64();
        let state = text(&model["state"]);
        table.add_row(vec![
            text(&model["model"]),
            eta.map_or(state.clone(), |eta| format!("{state}, {eta:.0} s left")),
            bytes(&model["memory_promised_bytes"]),
            bytes(&model["memory_used_bytes"]),
            text(&model["threads"]),
            text(&model["in_progress"]),
            text(&model["waiting"]),
            text(&model["engine"]["proxy"]),
        ]);
    }
    line(&table.to_string());
}

fn leases(leases: &[Value]) {
    let others: Vec<_> = leases.iter().filter(|lease| !lease["id"].is_null()).collect();
    if others.is_empty() {
        return;
    }
    let mut table = table(&["LEASE", "HOLDER", "TENANT", "HOLDS", "PID", "EXPIRES"]);
    for lease in others {
        let id = text(&lease["id"]).chars().take(8).collect();
        table.add_row(vec![
            id,
            text(&lease["name"]),
            text(&lease["tenant"]),
            amount(&lease["amount"]),
            text(&lease["pid"]),
            text(&lease["expires_at"]),
        ]);
    }
    line(&table.to_string());
}

fn waiters(waiters: &[Value]) {
    if waiters.is_empty() {
        return;
    }
    let mut table = table(&["WAITS", "POSITION", "FOR", "SINCE", "LACKS"]);
    for waiter in waiters {
        let lacking =
            serde_json::from_value::<plimsoll_core_types::Lacking>(waiter["lacking"].clone());
        table.add_row(vec![
            text(&waiter["name"]),
            text(&waiter["position"]),
            amount(&waiter["amount"]),
            waiter["waited_seconds"].as_f64().map_or(String::new(), |s| format!("{s:.1} s")),
            lacking.map_or_else(|_| "its turn".to_owned(), |lacking| lacking.to_string()),
        ]);
    }
    line(&table.to_string());
}

fn table(heads: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(NOTHING).set_header(heads.to_vec());
    table
}

pub(super) fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(super) fn bytes(value: &Value) -> String {
    value.as_u64().map_or_else(|| "-".to_owned(), |count| Bytes::new(count).to_string())
}

pub(super) fn amount(value: &Value) -> String {
    serde_json::from_value::<ResourceVector>(value.clone())
        .map_or_else(|_| "-".to_owned(), |amount| amount.to_string())
}

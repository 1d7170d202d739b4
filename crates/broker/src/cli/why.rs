//! `plimsoll why`: the last decisions about one model.

use std::process::ExitCode;

use clap::Args;
use hyper::Method;

use super::ps::text;
use super::{escaped, told};
use crate::client::{Client, ClientError, ServerArgs};
use crate::output::line;

/// What `why` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct WhyArgs {
    /// A model, a holder of a lease, or `pool`
    subject: String,
    #[command(flatten)]
    server: ServerArgs,
    /// How many of the latest events and decisions to tell
    #[arg(long, default_value_t = 20)]
    last: usize,
    /// Print one object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &WhyArgs) -> ExitCode {
    told(ask(args))
}

async fn ask(args: &WhyArgs) -> Result<(), ClientError> {
    let client = Client::new(&args.server)?;
    let path = format!("/api/why/{}", escaped(&args.subject));
    let within = std::time::Duration::from_secs(10);
    let why = client.call(Method::GET, &path, None, within).await?;
    if args.json {
        line(&why.to_string());
        return Ok(());
    }
    if let Some(state) = why["now"]["state"].as_str() {
        line(&format!("{} is {state}", args.subject));
    }
    let rows = |key: &str| why[key].as_array().cloned().unwrap_or_default();
    let events = rows("events");
    for event in events.iter().skip(events.len().saturating_sub(args.last)) {
        let (date, kind) = (text(&event["date"]), text(&event["kind"]));
        line(&format!("{date}  {kind:<10} {}", text(&event["text"])));
    }
    let decisions = rows("decisions");
    if !decisions.is_empty() {
        line("what the optimizer decided, at seconds since the broker began:");
    }
    for decision in decisions.iter().skip(decisions.len().saturating_sub(args.last)) {
        line(&format!("  {}", text(decision)));
    }
    Ok(())
}

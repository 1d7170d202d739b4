//! `plimsoll top`: the four quantities, models, queue, alerts, as they change.

#[cfg(feature = "top")]
mod screen;
#[cfg(feature = "top")]
mod view;

use std::process::ExitCode;

use clap::Args;

use super::told;
use crate::client::{Client, ClientError, ServerArgs};
use crate::output::{is_terminal, line};

/// What `top` can be told.
#[derive(Args, Clone, Debug)]
pub(crate) struct TopArgs {
    #[command(flatten)]
    server: ServerArgs,
    /// Print everything once, as one object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &TopArgs) -> ExitCode {
    told(ask(args))
}

async fn ask(args: &TopArgs) -> Result<(), ClientError> {
    let client = Client::new(&args.server)?;
    let status = client.get("/api/status").await?;
    if args.json || !is_terminal() || !cfg!(feature = "top") {
        line(&status.to_string());
        return Ok(());
    }
    #[cfg(feature = "top")]
    screen::show(&client, status).await?;
    Ok(())
}

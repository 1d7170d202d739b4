//! The embedded engine: a process of its own that computes embeddings.
//!
//! It holds its weights in anonymous memory that it has written to, and computes with them (see
//! [`plimsoll_weights`]). It lets `plimsoll` show what it does on a machine that has no other engine
//! installed; it is no language model. It ends with its parent, however the parent ends.

mod server;

use std::io::Write as _;
use std::net::Ipv4Addr;
use std::sync::Arc;

use clap::Args;
use plimsoll_core_types::{Bytes, ModelId};
use tokio::net::TcpListener;

use plimsoll_weights::Weights;
use server::Served;

/// How the embedded engine is run.
#[derive(Args, Clone, Debug)]
pub(crate) struct EngineArgs {
    /// The model's name in answers
    #[arg(long)]
    pub(crate) model: ModelId,
    /// Memory that the weights take
    #[arg(long)]
    pub(crate) weights: Bytes,
    /// Rounds of work for each row of weights, which make up the load time
    #[arg(long, default_value_t = 2)]
    pub(crate) rounds: u32,
    /// Seed of the weights
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// Requests computed at the same time
    #[arg(long, default_value_t = 1)]
    pub(crate) threads: u32,
    /// Port on loopback; 0 takes a free one and says which
    #[arg(long, default_value_t = 0)]
    pub(crate) port: u16,
}

/// Why the engine can't run.
#[derive(Debug, thiserror::Error)]
#[error("engine {model}: {step} failed: {source}")]
pub(crate) struct EngineError {
    model: ModelId,
    step: &'static str,
    source: std::io::Error,
}

/// Runs the engine until its parent ends or its standard input is closed.
pub(crate) fn run(args: &EngineArgs) -> Result<(), EngineError> {
    let fail = |step| {
        let model = args.model.clone();
        move |source| EngineError { model, step, source }
    };
    die_with_parent();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_io()
        .build()
        .map_err(fail("starting the runtime"))?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port))
            .await
            .map_err(fail("binding its port"))?;
        let port = listener.local_addr().map_err(fail("reading its port"))?.port();
        announce(port).map_err(fail("announcing its port"))?;
        let served = Arc::new(Served::new(args));
        let loading = Arc::clone(&served);
        let (size, rounds, seed) = (args.weights, args.rounds, args.seed);
        tokio::task::spawn_blocking(move || {
            let weights = Weights::build(size, rounds, seed, |share| loading.progress(share));
            loading.ready(weights);
        });
        tokio::select! {
            served = server::serve(listener, served) => served.map_err(fail("serving")),
            () = parent_closed_input() => Ok(()),
        }
    })?;
    runtime.shutdown_background();
    Ok(())
}

/// Tells whoever launched it where it listens.
fn announce(port: u16) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{{\"port\":{port}}}")?;
    out.flush()
}

/// Asks the kernel to kill this process when the thread that made it ends: that works for a
/// process that is stopped, too.
fn die_with_parent() {
    #[cfg(target_os = "linux")]
    if let Err(error) =
        rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))
    {
        tracing::warn!(%error, "the kernel will not end this engine with its parent");
    }
}

/// Ends when nobody holds the other end of standard input any more, which is how the parent's end
/// shows everywhere.
async fn parent_closed_input() {
    let (closed, wait) = tokio::sync::oneshot::channel::<()>();
    std::thread::spawn(move || {
        // Whatever ends the copy, there is nobody to listen to any more.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(closed);
    });
    let _ = wait.await;
}

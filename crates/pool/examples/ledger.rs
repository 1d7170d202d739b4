//! A machine's memory shared by three models: who gets how much, who waits, and who makes room.
//!
//! `cargo run -p plimsoll-pool --example ledger`

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    Bytes, ConsumerId, Priority, ResourcePool as _, ResourceRequest, ResourceVector, SystemClock,
};
use plimsoll_pool::{LedgerConfig, LedgerPool, PoolEventKind, Preempt};

fn memory(gib: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_gib(gib))
}

fn ask(name: &str, gib: u64, priority: Priority) -> Result<ResourceRequest, Box<dyn Error>> {
    Ok(ResourceRequest::new(ConsumerId::new(name)?, memory(gib))?.with_priority(priority))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout();
    // Whoever waits for a tenth of a second may displace leases of lower priority, whose holders
    // then have as long to give them back.
    let patience = Duration::from_millis(100);
    let preempt = Preempt { after: patience, grace: patience, ..Preempt::default() };
    let config = LedgerConfig { preempt: Some(preempt), ..LedgerConfig::default() };
    let pool = Arc::new(LedgerPool::new(memory(16), config, Arc::new(SystemClock::new()))?);
    let mut events = pool.subscribe();

    // What can never fit is refused at once, with the numbers.
    let refused = pool.allocate(ask("llama-70b", 40, Priority::High)?).await;
    writeln!(out, "refused: {}", refused.err().ok_or("40 GiB fit into 16")?)?;

    // Two models fit; one of them grows while there is room.
    let chat = pool.allocate(ask("chat", 6, Priority::High)?).await?;
    let mut batch = pool.allocate(ask("batch", 6, Priority::Low)?).await?;
    batch.resize(memory(10))?;
    writeln!(out, "promised: {}", pool.monitor().promised)?;

    // A third one waits, until the one of lower priority is asked to make room for it.
    let asking = Arc::clone(&pool);
    let request = ask("embeddings", 4, Priority::Normal)?;
    let waits = tokio::spawn(async move { asking.allocate(request).await });
    loop {
        let event = events.recv().await?;
        writeln!(out, "event: {:?} for {:?}", event.kind, event.consumer)?;
        if let PoolEventKind::Asked { lease, .. } = event.kind
            && lease == batch.id()
        {
            // The holder saves its work, and gives back what it does not need.
            drop(batch);
            break;
        }
    }
    let embeddings = waits.await??;
    let status = pool.monitor();
    writeln!(out, "promised: {}; free: {}", status.promised, status.available)?;

    // Capacity comes back by drop, whatever happens to its holder.
    drop((chat, embeddings));
    assert_eq!(pool.monitor().available, memory(16));
    Ok(())
}

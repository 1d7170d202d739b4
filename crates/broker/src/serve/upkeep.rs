//! What goes on beside requests: the optimizer's rounds, idle models, pinned ones, the last words.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Action, Decision, Priority, Reason, SystemSnapshot, TicketId};
use plimsoll_pool::{PoolEvent, PoolEventKind};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use super::broker::Broker;
use crate::fleet::{EngineSpec, Model};
use crate::journal::{Event, EventKind};
use crate::output::line;

/// How often the loop goes round where nobody waits.
const TICK: Duration = Duration::from_millis(250);
/// How soon it goes round again where somebody has begun to wait.
const SOON: Duration = Duration::from_millis(20);
/// How often idle and pinned models are looked after.
const IDLE_EVERY: Duration = Duration::from_secs(1);

/// Goes round until it is dropped.
pub(crate) async fn run(broker: Arc<Broker>) -> Infallible {
    let mut pool_events = broker.pool.subscribe();
    let mut idle = tokio::time::interval(IDLE_EVERY);
    let mut waiting = BTreeSet::new();
    loop {
        tokio::select! {
            () = somebody_waits(&mut pool_events) => tokio::time::sleep(SOON).await,
            () = tokio::time::sleep(TICK) => {}
            _ = idle.tick() => {
                for ended in broker.book.sweep() {
                    let (at, subject) = (broker.clock.now(), ended.name.to_string());
                    let reason = Reason::Expired { ttl: ended.ttl };
                    broker.journal.tell(Event { at, kind: EventKind::Ended, subject, reason });
                }
                broker.world.keep_learned();
                broker.engines.unload_idle();
                broker.engines.load_pinned().await;
                continue;
            }
        }
        broker.pool.sweep();
        let decisions = broker.optimizer.tick().await;
        note(&broker, &decisions);
        broker.optimizer.with_snapshot(|snapshot| {
            if let Some(snapshot) = snapshot {
                note_waiters(&broker, snapshot, &mut waiting);
            }
        });
    }
}

/// Ends when somebody begins to wait for room.
async fn somebody_waits(events: &mut Receiver<PoolEvent>) {
    loop {
        match events.recv().await {
            Ok(PoolEvent { kind: PoolEventKind::Waits { .. }, .. }) | Err(RecvError::Lagged(_)) => {
                return;
            }
            Ok(_) => {}
            Err(RecvError::Closed) => std::future::pending().await,
        }
    }
}

/// Writes down what the optimizer decided and nobody else tells of.
pub(crate) fn note(broker: &Broker, decisions: &[Decision]) {
    for decision in decisions {
        let subject = match &decision.planned.action {
            Action::SetLimit { .. } => "the line".to_owned(),
            Action::SetThreads { consumer, .. } => consumer.to_string(),
            Action::Retune { strategy } => strategy.cache.to_string(),
            _ => continue,
        };
        let (at, reason) = (decision.at, decision.planned.reason.clone());
        broker.journal.tell(Event { at, kind: EventKind::Decided, subject, reason });
    }
}

/// Writes down who has begun to wait, at which position and for what.
pub(crate) fn note_waiters(
    broker: &Broker,
    snapshot: &SystemSnapshot,
    known: &mut BTreeSet<TicketId>,
) {
    known.retain(|ticket| snapshot.pool.waiters.iter().any(|waiter| waiter.id == *ticket));
    for waiter in &snapshot.pool.waiters {
        let Some(lacking) = waiter.lacking else { continue };
        if waiter.priority > Priority::BestEffort && known.insert(waiter.id) {
            let reason = Reason::Waits { position: waiter.position, lacking };
            let (at, subject) = (waiter.since, waiter.consumer.to_string());
            broker.journal.tell(Event { at, kind: EventKind::Wait, subject, reason });
        }
    }
}

/// Prints events as they happen.
pub(crate) async fn print_events(broker: Arc<Broker>) {
    let mut events = broker.journal.listen();
    loop {
        match events.recv().await {
            Ok(event) => {
                let date = broker.wall.date(event.at);
                line(&format!("{date}  {:<9} {:<16} {}", event.kind, event.subject, event.reason));
            }
            Err(RecvError::Lagged(missed)) => {
                line(&format!("({missed} events were too many to print)"));
            }
            Err(RecvError::Closed) => return,
        }
    }
}

/// Unloads every model whose engine is ours, all at the same time. Those of others go on as they
/// are.
pub(crate) async fn unload_all(broker: &Arc<Broker>) {
    let mut ending = tokio::task::JoinSet::new();
    let ours = |model: &Arc<Model>| !matches!(model.spec().engine, EngineSpec::Url { .. });
    for model in broker.engines.all().into_iter().filter(ours) {
        let broker = Arc::clone(broker);
        ending.spawn(async move { broker.engines.unload(&model, Reason::Requested).await });
    }
    // An engine that is still loading is not waited for: it ends with this process.
    let ended = async { while ending.join_next().await.is_some() {} };
    if tokio::time::timeout(Duration::from_secs(10), ended).await.is_err() {
        tracing::warn!("an engine took too long to end");
    }
}

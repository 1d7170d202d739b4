//! Takes up what a broker that was killed has left behind.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{ConsumerId, ModelId, Reason, Resource, ResourceRequest, ResourceVector};

use crate::fleet::{Guarded, Inherited, ModelSpec, World};
use crate::journal::{Event, EventKind};
use crate::lease::{Book, Given};
use crate::output::line;

/// How long an engine that nobody wants may take to end.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Grants anew the leases of other programs whose holders still live, and those of engines that
/// still run for one of `specs`. All other engines are ended, before anybody is granted anything.
///
/// Who runs is told by the engines' guards, not by anything that was written down: what answers is
/// there, once, and what does not answer is not.
pub(crate) async fn recover(
    world: &World,
    book: &Book,
    before: Vec<Given>,
    specs: &[ModelSpec],
) -> BTreeMap<ModelId, Inherited> {
    let (restored, ended) = book.restore(before);
    if restored + ended > 0 {
        line(&format!("leases from before: {restored} granted anew, {ended} ended meanwhile"));
    }
    let found = match &world.guards {
        Some(guards) => guards.find().await,
        None => Vec::new(),
    };
    let mut inherited: BTreeMap<ModelId, Inherited> = BTreeMap::new();
    let mut unwanted = Vec::new();
    for engine in found {
        let spec = specs.iter().find(|spec| engine.serves(spec));
        // The config may have come to keep those apart that were loaded side by side.
        let groups = world.company.groups();
        let fits = |spec: &&ModelSpec| {
            let mut there = inherited.keys();
            there.all(|other| *other != spec.id && !groups.exclude(other, &spec.id))
        };
        let spec = spec.filter(fits);
        let granted = spec.and_then(|spec| Some((spec, lease(world, spec, engine.note().amount)?)));
        match granted {
            Some((spec, lease)) => {
                inherited.insert(spec.id.clone(), Inherited { lease, engine });
            }
            None => unwanted.push(engine),
        }
    }
    let count = unwanted.len();
    end(world, unwanted).await;
    if inherited.len() + count > 0 {
        let kept = inherited.len();
        line(&format!("engines from before: {kept} taken over, {count} ended"));
    }
    inherited
}

/// The same lease as before; none where there is no room for it any more.
fn lease(world: &World, spec: &ModelSpec, amount: ResourceVector) -> Option<Resource> {
    let request = ResourceRequest::new(ConsumerId::from(&spec.id), amount).ok()?;
    let request = request.with_tenant(spec.tenant.clone()).with_priority(spec.priority);
    world.pool.try_allocate(request).ok().flatten()
}

/// Ends engines, all at the same time: their memory is free when this has ended.
async fn end(world: &World, unwanted: Vec<Guarded>) {
    let mut ending = tokio::task::JoinSet::new();
    for mut engine in unwanted {
        let (at, subject) = (world.clock.now(), engine.note().model.clone());
        let kind = EventKind::Ended;
        world.journal.tell(Event { at, kind, subject, reason: Reason::Requested });
        ending.spawn(async move {
            let pid = engine.pid();
            if tokio::time::timeout(END_WITHIN, engine.end()).await.is_err() {
                tracing::warn!(pid, "an engine from before takes too long to end");
            }
        });
    }
    while ending.join_next().await.is_some() {}
}

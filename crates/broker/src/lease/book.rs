//! Who of other programs holds which lease.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    AllocateError, ConsumerId, LeaseId, LeaseStatus, Priority, RenewError, RequestError, Resource,
    ResourceRequest, ResourceVector, TenantId, Timestamp,
};
use serde::{Deserialize, Serialize};

use super::alive::ProcessKey;
use super::ask::LeaseAsk;
use crate::fleet::World;
use crate::store::Store;

/// The most leases of other programs.
const MOST: usize = 65_536;

/// A lease of another program, as it is told and kept.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Given {
    /// What its holder names it by. Nobody can guess it, and it stays the same over a restart.
    pub(crate) id: String,
    pub(crate) name: ConsumerId,
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
    pub(crate) amount: ResourceVector,
    /// How long it lasts unless renewed.
    pub(crate) ttl: Duration,
    /// The process that it ends with.
    pub(crate) process: Option<ProcessKey>,
}

/// A lease of another program, as it is held. There are many: what its resource says, or its
/// number, is not said again.
#[derive(Debug)]
struct Held {
    name: ConsumerId,
    tenant: TenantId,
    priority: Priority,
    ttl: Duration,
    process: Option<ProcessKey>,
    resource: Resource,
    expires: Timestamp,
}

impl Held {
    fn new(given: Given, resource: Resource, expires: Timestamp) -> Self {
        let Given { name, tenant, priority, ttl, process, .. } = given;
        Self { name, tenant, priority, ttl, process, resource, expires }
    }

    fn told(&self, number: u128) -> Given {
        Given {
            id: id_of(number),
            name: self.name.clone(),
            tenant: self.tenant.clone(),
            priority: self.priority,
            amount: *self.resource.amount(),
            ttl: self.ttl,
            process: self.process,
        }
    }
}

/// A lease that was granted.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) given: Given,
    pub(crate) expires: Timestamp,
    /// Whether it outlives this process.
    pub(crate) durable: bool,
}

/// A lease that is being written for somebody; it is forgotten where they go away meanwhile.
struct Written<'a> {
    store: &'a Store,
    id: Option<&'a str>,
}

impl Drop for Written<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.store.forget_lease_soon(id);
        }
    }
}

/// The leases of other programs.
#[derive(Debug)]
pub(crate) struct Book {
    world: Arc<World>,
    /// On the heap each: a tree keeps room for more of them than it holds.
    held: Mutex<BTreeMap<u128, Box<Held>>>,
}

/// Why there is no lease, or no such lease any more.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BookError {
    /// The pool refused.
    #[error(transparent)]
    Refused(AllocateError),
    /// There is no room now, and nobody waits.
    #[error("there is no room now")]
    NoRoom,
    /// It asks for nothing.
    #[error(transparent)]
    Nothing(RequestError),
    /// There are too many.
    #[error("{MOST} leases are out, which is the limit")]
    TooMany,
    /// The process is not there.
    #[error("there is no process {pid}")]
    NoProcess { pid: u32 },
    /// There is no such lease, or it has ended.
    #[error("there is no lease {id}; it was released, has expired, or never was")]
    Ended { id: String },
}

impl Book {
    pub(crate) fn new(world: Arc<World>) -> Self {
        Self { world, held: Mutex::default() }
    }

    /// A lease, after a wait where that was asked for. It is told when it is certain to outlive
    /// this process, or when the disk has refused.
    ///
    /// Cancel safe: a grant that crosses with the drop goes back.
    pub(crate) async fn take(&self, ask: LeaseAsk) -> Result<Taken, BookError> {
        if self.held.lock().len() >= MOST {
            return Err(BookError::TooMany);
        }
        let process = match ask.pid {
            Some(pid) => Some(ProcessKey::of(pid).ok_or(BookError::NoProcess { pid })?),
            None => None,
        };
        let memory = ask.memory.unwrap_or_else(|| self.world.believed_of(&ask.name));
        let amount = ask.rest.with_memory(memory);
        let request = ResourceRequest::new(ask.name.clone(), amount).map_err(BookError::Nothing)?;
        let request =
            request.with_tenant(ask.tenant.clone()).with_priority(ask.priority).with_ttl(ask.ttl);
        let resource = if ask.wait.is_zero() {
            let tried = self.world.pool.try_allocate(request).map_err(BookError::Refused)?;
            tried.ok_or(BookError::NoRoom)?
        } else {
            let request = request.with_deadline(self.world.clock.now() + ask.wait);
            self.world.pool.allocate(request).await.map_err(BookError::Refused)?
        };
        let LeaseAsk { name, tenant, priority, ttl, .. } = ask;
        let id = id_of(rand::random());
        let given = Given { id, name, tenant, priority, amount, ttl, process };
        Ok(self.keep(given, resource).await)
    }

    async fn keep(&self, given: Given, resource: Resource) -> Taken {
        let expires = self.world.clock.now() + given.ttl;
        let durable = match &self.world.store {
            Some(store) => {
                let mut written = Written { store, id: Some(&given.id) };
                let durable = store.keep_lease(&given).await;
                written.id = None;
                durable
            }
            None => false,
        };
        self.hold(given.clone(), resource, expires);
        Taken { given, expires, durable }
    }

    fn hold(&self, given: Given, resource: Resource, expires: Timestamp) {
        // Every id is one that was made here, or was when it was kept.
        let Some(number) = number_of(&given.id) else { return };
        self.held.lock().insert(number, Box::new(Held::new(given, resource, expires)));
    }

    /// Grants anew what was held before a restart, to whoever still lives. Says how many were, and
    /// how many have ended.
    pub(crate) fn restore(&self, before: Vec<Given>) -> (usize, usize) {
        let (mut restored, mut ended) = (0, 0);
        for given in before {
            let alive = given.process.is_none_or(ProcessKey::is_alive);
            let request = ResourceRequest::new(given.name.clone(), given.amount).ok();
            let request =
                request.filter(|_| alive && number_of(&given.id).is_some()).map(|request| {
                    request
                        .with_tenant(given.tenant.clone())
                        .with_priority(given.priority)
                        .with_ttl(given.ttl)
                });
            let granted =
                request.and_then(|request| self.world.pool.try_allocate(request).ok().flatten());
            if let Some(resource) = granted {
                let expires = self.world.clock.now() + given.ttl;
                self.hold(given, resource, expires);
                restored += 1;
            } else {
                self.forget(&given.id);
                ended += 1;
            }
        }
        (restored, ended)
    }

    /// Puts the expiry ahead by the lease's time to live, or by `ttl`.
    pub(crate) fn renew(&self, id: &str, ttl: Option<Duration>) -> Result<Timestamp, BookError> {
        let ended = || BookError::Ended { id: id.to_owned() };
        let number = number_of(id).ok_or_else(ended)?;
        let mut held = self.held.lock();
        let entry = held.get_mut(&number).ok_or_else(ended)?;
        let ttl = ttl.unwrap_or(entry.ttl);
        match entry.resource.renew(ttl) {
            Ok(expires) => {
                entry.expires = expires;
                Ok(expires)
            }
            Err(RenewError::Unlimited { .. }) => Ok(Timestamp::MAX),
            Err(_) => {
                held.remove(&number);
                drop(held);
                self.forget(id);
                Err(ended())
            }
        }
    }

    /// Takes a lease back. That is told when it is certain not to come back, or when the disk has
    /// refused.
    ///
    /// Cancel safe: it is taken back all the same.
    pub(crate) async fn release(&self, id: &str) -> Result<Given, BookError> {
        let ended = || BookError::Ended { id: id.to_owned() };
        let number = number_of(id).ok_or_else(ended)?;
        let removed = self.held.lock().remove(&number).ok_or_else(ended)?;
        let given = removed.told(number);
        let released = removed.resource.release();
        if let Some(store) = &self.world.store {
            store.forget_lease(id).await;
        }
        released.map_err(|_| ended())?;
        Ok(given)
    }

    /// Takes note of what the holder of `id` was measured to need at most.
    pub(crate) fn measured(
        &self,
        id: &str,
        peak: plimsoll_core_types::Bytes,
    ) -> Result<(), BookError> {
        let ended = || BookError::Ended { id: id.to_owned() };
        let number = number_of(id).ok_or_else(ended)?;
        let held = self.held.lock();
        let entry = held.get(&number).ok_or_else(ended)?;
        self.world.learn_of(&entry.name, entry.resource.amount().memory(), peak);
        Ok(())
    }

    /// What is told of those of `leases` that other programs hold, with their expiry.
    pub(crate) fn among(&self, leases: &[LeaseStatus]) -> HashMap<LeaseId, (Given, Timestamp)> {
        let asked: HashSet<LeaseId> = leases.iter().map(|lease| lease.id).collect();
        let held = self.held.lock();
        let found = held.iter().filter(|(_, held)| asked.contains(&held.resource.id()));
        found
            .map(|(number, held)| (held.resource.id(), (held.told(*number), held.expires)))
            .collect()
    }

    /// Ends what has expired, and what was held by processes that have ended.
    pub(crate) fn sweep(&self) -> Vec<Given> {
        let now = self.world.clock.now();
        let over = |held: &Held| {
            held.expires <= now || held.process.is_some_and(|process| !process.is_alive())
        };
        let mut held = self.held.lock();
        // Dropping gives back what has not expired in the pool.
        let ended: Vec<_> = held
            .extract_if(.., |_, held| over(held))
            .map(|(number, held)| held.told(number))
            .collect();
        drop(held);
        for ended in &ended {
            self.forget(&ended.id);
        }
        ended
    }

    fn forget(&self, id: &str) {
        if let Some(store) = &self.world.store {
            store.forget_lease_soon(id);
        }
    }
}

/// A lease's number as its holder is told it.
fn id_of(number: u128) -> String {
    format!("{number:032x}")
}

/// The number of an id that was made by [`id_of`]; none where it is anything else.
fn number_of(id: &str) -> Option<u128> {
    let number = u128::from_str_radix(id, 16).ok()?;
    (id_of(number) == id).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_in_one_way_only() {
        for number in [0, 1, 0xabc << 64, u128::MAX] {
            assert_eq!(number_of(&id_of(number)), Some(number));
        }
        let one = id_of(0xab);
        for wrong in ["", "1", "+1", &one.to_uppercase(), &format!("0{one}"), "job"] {
            assert_eq!(number_of(wrong), None, "{wrong}");
        }
    }
}

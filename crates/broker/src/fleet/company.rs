//! Who may be loaded beside whom.
//!
//! The ledger knows amounts alone: two models that may not be loaded at the same time could both
//! have their leases. So whoever is to be loaded takes a seat first, and keeps it for as long as
//! it holds its lease.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use plimsoll_cache::residency::Groups;
use plimsoll_core_types::ModelId;
use tokio::sync::Notify;

/// Which models are loaded or about to be, and which wait for others to go.
#[derive(Debug, Default)]
pub(crate) struct Company {
    groups: ArcSwap<Groups>,
    seats: Mutex<Seats>,
    news: Notify,
}

#[derive(Debug, Default)]
struct Seats {
    /// By a number that is never given twice, since a model that the config has changed may be
    /// loaded anew before its engine of old has ended.
    taken: BTreeMap<u64, ModelId>,
    /// Those who wait, the first to come first.
    line: BTreeMap<u64, ModelId>,
    given: u64,
}

/// Says that a model is loaded, or about to be, until it is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    company: Arc<Company>,
    number: u64,
}

impl Company {
    pub(crate) fn groups(&self) -> Guard<Arc<Groups>> {
        self.groups.load()
    }

    /// Models belong to `groups` from now on. Nobody has to go at once.
    pub(crate) fn set_groups(&self, groups: Groups) {
        self.groups.store(Arc::new(groups));
        self.news.notify_waiters();
    }

    /// Who keeps `model` from being loaded now; none where nobody does.
    pub(super) fn keeps_out(&self, model: &ModelId) -> Option<ModelId> {
        self.seats.lock().excluded(model, u64::MAX, &self.groups.load()).cloned()
    }

    /// A seat for one that is loaded already, whoever else is.
    pub(super) fn sit(self: &Arc<Self>, model: &ModelId) -> Seat {
        let mut seats = self.seats.lock();
        let number = seats.next();
        seats.taken.insert(number, model.clone());
        Seat { company: Arc::clone(self), number }
    }

    /// A seat once nobody is loaded any more who excludes `model`; those that exclude each other
    /// come in the order in which they have asked. The first one who keeps it waiting is `told`.
    ///
    /// # Cancel safety
    ///
    /// Dropped, it leaves the line.
    pub(super) async fn enter(
        self: &Arc<Self>,
        model: &ModelId,
        mut told: impl FnMut(&ModelId),
    ) -> Seat {
        let mut place: Option<Seat> = None;
        loop {
            let mut news = std::pin::pin!(self.news.notified());
            // Whoever goes after the look below is not missed.
            news.as_mut().enable();
            {
                let mut seats = self.seats.lock();
                let number = place.as_ref().map_or(u64::MAX, |place| place.number);
                let by = seats.excluded(model, number, &self.groups.load()).cloned();
                let Some(by) = by else {
                    let seat = place.take();
                    let number = seat.as_ref().map_or_else(|| seats.next(), |seat| seat.number);
                    seats.line.remove(&number);
                    seats.taken.insert(number, model.clone());
                    return seat.unwrap_or_else(|| Seat { company: Arc::clone(self), number });
                };
                if place.is_none() {
                    let number = seats.next();
                    seats.line.insert(number, model.clone());
                    place = Some(Seat { company: Arc::clone(self), number });
                    drop(seats);
                    told(&by);
                }
            }
            news.await;
        }
    }
}

impl Seats {
    const fn next(&mut self) -> u64 {
        self.given += 1;
        self.given
    }

    /// Who is loaded, or waits before `number`, and may not be loaded beside `model`.
    fn excluded(&self, model: &ModelId, number: u64, groups: &Groups) -> Option<&ModelId> {
        if groups.is_empty() {
            return None;
        }
        let before = self.line.range(..number).map(|(_, other)| other);
        self.taken.values().chain(before).find(|other| groups.exclude(model, other))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut seats = self.company.seats.lock();
        seats.taken.remove(&self.number);
        seats.line.remove(&self.number);
        drop(seats);
        self.company.news.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use plimsoll_cache::residency::{Group, GroupKind};
    use tokio::time::timeout;

    use super::*;

    fn id(name: &str) -> ModelId {
        ModelId::new(name).unwrap()
    }

    fn one_of(members: &[&str]) -> Groups {
        let members = members.iter().map(|name| id(name)).collect();
        Groups::new(vec![Group { kind: GroupKind::OneOf, members }]).unwrap()
    }

    async fn enters(company: &Arc<Company>, name: &str) -> Option<Seat> {
        let name = id(name);
        timeout(Duration::from_secs(1), company.enter(&name, |_| ())).await.ok()
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_exclude_each_other_come_one_by_one_in_their_order() {
        let company = Arc::new(Company::default());
        company.set_groups(one_of(&["a", "b", "c"]));
        let first = enters(&company, "a").await.unwrap();
        assert!(enters(&company, "other").await.is_some(), "it is in no group");
        let (log, mut order) = tokio::sync::mpsc::unbounded_channel();
        for name in ["c", "b"] {
            let (company, log) = (Arc::clone(&company), log.clone());
            tokio::spawn(async move {
                let (id, told) =
                    (id(name), |by: &ModelId| log.send(format!("{by} first")).unwrap());
                let seat = company.enter(&id, told).await;
                log.send(name.to_owned()).unwrap();
                tokio::time::sleep(Duration::from_secs(1)).await;
                drop(seat);
            });
            assert_eq!(order.recv().await.unwrap(), "a first");
        }
        assert_eq!(company.keeps_out(&id("b")), Some(id("a")));
        drop(first);
        assert_eq!(order.recv().await.unwrap(), "c");
        assert!(company.keeps_out(&id("a")).is_some());
        assert_eq!(order.recv().await.unwrap(), "b");
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_gives_up_holds_up_nobody() {
        let company = Arc::new(Company::default());
        company.set_groups(one_of(&["a", "b", "c"]));
        let first = enters(&company, "a").await.unwrap();
        assert!(enters(&company, "b").await.is_none(), "a is there");
        drop(first);
        assert!(enters(&company, "c").await.is_some(), "b has left the line");
        assert!(company.seats.lock().taken.is_empty() && company.seats.lock().line.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn new_groups_count_at_once_and_chase_nobody_away() {
        let company = Arc::new(Company::default());
        let both = (enters(&company, "a").await.unwrap(), enters(&company, "b").await.unwrap());
        company.set_groups(one_of(&["a", "b", "c"]));
        let waiting = Arc::clone(&company);
        let third = tokio::spawn(async move { waiting.enter(&id("c"), |_| ()).await });
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!third.is_finished());
        drop(both.0);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!third.is_finished(), "b is still there");
        company.set_groups(Groups::default());
        assert!(timeout(Duration::from_secs(1), third).await.is_ok());
        drop(both.1);
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_is_loaded_anew_is_told_from_its_engine_of_old() {
        let company = Arc::new(Company::default());
        company.set_groups(one_of(&["a", "b"]));
        let old = company.sit(&id("a"));
        let new = enters(&company, "a").await.unwrap();
        drop(old);
        assert!(enters(&company, "b").await.is_none(), "the new one is there");
        drop(new);
        assert!(enters(&company, "b").await.is_some());
    }
}

//! Who waits for a permit, and who goes next: the pure part, behind admission's lock.
//!
//! Classes go strictly in order, tenants within a class by start-time fair queueing (Goyal, Vin
//! and Cheng, *Start-time fair queueing*, 1996), and the requests of a tenant in order of arrival
//! until there is overload, then the newest first (adaptive LIFO: Maurer, *Fail at scale*, 2015).
//! Overload is a line that has not been empty for longer than a permit is held, so it needs no
//! setting. Nobody is granted past its deadline.

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::Duration;

use plimsoll_core_types::{Priority, Reason, TenantId, Timestamp};

use super::config::{AdmissionConfig, MOST};
use super::drain::Drain;

/// Who asks.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) priority: Priority,
    pub(super) tenant: TenantId,
    /// When it must have begun.
    pub(super) deadline: Timestamp,
}

/// Names a place in the line; never used twice while it is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(super) index: u32,
    generation: u32,
}

/// Why somebody was refused; small, unlike a [`Reason`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Why {
    Overload { in_system: usize, limit: usize },
    DeadlinePassed { waited: Duration },
    Cancelled,
}

impl From<Why> for Reason {
    fn from(why: Why) -> Self {
        match why {
            Why::Overload { in_system, limit } => Self::Overload { in_system, limit },
            Why::DeadlinePassed { waited } => Self::DeadlinePassed { waited },
            Why::Cancelled => Self::Cancelled,
        }
    }
}

/// Where somebody in the line is.
#[derive(Clone, Debug)]
pub(super) enum Stand {
    Waits(Option<Waker>),
    Granted,
    Refused(Why, Duration),
}

#[derive(Debug)]
struct Entry {
    generation: u32,
    /// None where nobody has this place.
    stand: Option<Stand>,
    ask: Ask,
    since: Timestamp,
}

#[derive(Debug)]
struct Tenant {
    /// Oldest first; those that are no longer waiting are passed over.
    line: VecDeque<Ticket>,
    waiting: usize,
    /// What it has been served, over its weight.
    served: f64,
    step: f64,
}

impl Tenant {
    /// How much of the line it holds, over its weight.
    fn holds(&self) -> f64 {
        self.waiting as f64 * self.step
    }
}

#[derive(Debug, Default)]
struct Class {
    tenants: BTreeMap<TenantId, Tenant>,
    waiting: usize,
    /// What whoever was served last had been served.
    served: f64,
}

impl Class {
    /// One of `tenant`'s waits has ended.
    fn left(&mut self, tenant: &TenantId, entries: &[Entry]) {
        /// Ended waits that a line may hold beside those that go on.
        const SLACK: usize = 16;
        self.waiting -= 1;
        if let Some(tenant) = self.tenants.get_mut(tenant) {
            tenant.waiting -= 1;
            if tenant.line.len() > 2 * tenant.waiting + SLACK {
                tenant.line.retain(|ticket| is_waiting(entries, *ticket));
            }
        }
        // A tenant that was served more than others is remembered until they have caught up, or
        // it would gain by leaving and coming back.
        let idle = self.tenants.values().filter(|tenant| tenant.waiting == 0).count();
        if idle > SLACK + self.tenants.len() / 2 {
            let served = self.served;
            self.tenants.retain(|_, tenant| tenant.waiting > 0 || tenant.served > served);
        }
    }
}

fn is_waiting(entries: &[Entry], ticket: Ticket) -> bool {
    let entry = &entries[ticket.index as usize];
    entry.generation == ticket.generation && matches!(entry.stand, Some(Stand::Waits(_)))
}

#[derive(Debug)]
pub(super) struct Line {
    config: AdmissionConfig,
    entries: Vec<Entry>,
    vacant: Vec<u32>,
    classes: [Class; Priority::COUNT],
    waiting: usize,
    /// Since when somebody has been waiting all the time.
    busy_since: Option<Timestamp>,
    drain: Drain,
    refused: u64,
    granted: u64,
}

impl Line {
    pub(super) fn new(config: AdmissionConfig) -> Self {
        Self {
            config,
            entries: Vec::new(),
            vacant: Vec::new(),
            classes: Default::default(),
            waiting: 0,
            busy_since: None,
            drain: Drain::default(),
            refused: 0,
            granted: 0,
        }
    }

    pub(super) const fn config(&self) -> &AdmissionConfig {
        &self.config
    }

    /// Refusals and grants since the beginning.
    pub(super) const fn counts(&self) -> (u64, u64) {
        (self.refused, self.granted)
    }

    pub(super) const fn waiting(&self) -> usize {
        self.waiting
    }

    /// How long until everybody who waits has been served, as measured, else as configured.
    pub(super) fn retry_after(&self) -> Duration {
        self.drain.time_for(self.waiting + 1).unwrap_or(self.config.retry_after)
    }

    /// Whether the newest go first; `limit` permits are given out at once.
    pub(super) fn is_overloaded(&self, limit: usize, now: Timestamp) -> bool {
        let Some(since) = self.busy_since else { return false };
        let held = self.config.lifo_after.or_else(|| self.drain.time_for(limit));
        held.is_some_and(|held| now.saturating_since(since) > held)
    }

    /// Puts `ask` into the line, where there is room or somebody who gives way; whoever does is
    /// to be woken.
    pub(super) fn enter(
        &mut self,
        ask: &Ask,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Ticket, Option<Waker>), Why> {
        let entered = self.try_enter(ask, limit, now);
        self.refused += u64::from(entered.is_err());
        entered
    }

    fn try_enter(
        &mut self,
        ask: &Ask,
        limit: usize,
        now: Timestamp,
    ) -> Result<(Ticket, Option<Waker>), Why> {
        if ask.deadline <= now {
            return Err(Why::DeadlinePassed { waited: Duration::ZERO });
        }
        let mut woken = None;
        if self.waiting >= self.config.max_waiting.min(MOST) {
            let overload = self.overload(limit);
            let victim = self.victim(ask, limit, now).ok_or(overload)?;
            woken = self.refuse(victim, |line, _| line.overload(limit));
        }
        let ticket = self.place(ask, now);
        let step = self.step_of(&ask.tenant);
        let class = &mut self.classes[ask.priority.index()];
        let served = class.served;
        let tenant = class.tenants.entry(ask.tenant.clone()).or_insert_with(|| Tenant {
            line: VecDeque::new(),
            waiting: 0,
            served,
            step,
        });
        // Whoever comes back after a while has no claim on what it did not ask for.
        tenant.served = tenant.served.max(served);
        tenant.line.push_back(ticket);
        tenant.waiting += 1;
        class.waiting += 1;
        self.waiting += 1;
        self.busy_since.get_or_insert(now);
        Ok((ticket, woken))
    }

    fn overload(&self, limit: usize) -> Why {
        let waiting = self.config.max_waiting.min(MOST);
        Why::Overload { in_system: limit + self.waiting, limit: limit + waiting }
    }

    fn place(&mut self, ask: &Ask, now: Timestamp) -> Ticket {
        let stand = Some(Stand::Waits(None));
        let entry = Entry { generation: 0, stand, ask: ask.clone(), since: now };
        let Some(index) = self.vacant.pop() else {
            self.entries.push(entry);
            return Ticket { index: (self.entries.len() - 1) as u32, generation: 0 };
        };
        let place = &mut self.entries[index as usize];
        let generation = place.generation.wrapping_add(1);
        *place = Entry { generation, ..entry };
        Ticket { index, generation }
    }

    fn entry(&mut self, ticket: Ticket) -> Option<&mut Entry> {
        let entry = self.entries.get_mut(ticket.index as usize)?;
        (entry.generation == ticket.generation).then_some(entry)
    }

    /// Who gives way to a newcomer: somebody of the lowest class below it, else of its own, where
    /// there is overload or another tenant holds more of the line than its share.
    fn victim(&mut self, ask: &Ask, limit: usize, now: Timestamp) -> Option<Ticket> {
        let overloaded = self.is_overloaded(limit, now);
        let own = ask.priority.index();
        let class = (0..=own).find(|class| self.classes[*class].waiting > 0)?;
        let step = self.step_of(&ask.tenant);
        let newcomer = self.classes[class].tenants.get(&ask.tenant);
        let would_hold = newcomer.map_or(0, |tenant| tenant.waiting + 1).max(1) as f64 * step;
        // Of the tenant that holds most for its weight, or a flood of one would push out the others.
        let most =
            self.classes[class].tenants.values().max_by(|a, b| a.holds().total_cmp(&b.holds()))?;
        let mut waits =
            most.line.iter().copied().filter(|ticket| is_waiting(&self.entries, *ticket));
        match () {
            // Whoever has waited longest is the least likely to be served in time.
            () if class < own || overloaded => waits.next(),
            () if would_hold < most.holds() => waits.next_back(),
            () => None,
        }
    }

    /// What being served once costs a tenant.
    fn step_of(&self, tenant: &TenantId) -> f64 {
        let weight = self.config.weights.get(tenant).map_or(1.0, |weight| weight.get());
        1.0 / weight.max(1e-6)
    }

    /// Ends a wait with a refusal; whoever waited is to be woken.
    fn refuse(
        &mut self,
        ticket: Ticket,
        reason: impl FnOnce(&Self, Timestamp) -> Why,
    ) -> Option<Waker> {
        let since = self.entry(ticket)?.since;
        let reason = reason(self, since);
        let retry_after = self.retry_after();
        self.refused += 1;
        self.settle(ticket, Stand::Refused(reason, retry_after))
    }

    /// Gives the next in line its permit; whoever that is and all whose deadline had passed are
    /// to be woken. False when nobody is left.
    pub(super) fn grant(&mut self, limit: usize, now: Timestamp, woken: &mut Vec<Waker>) -> bool {
        let newest = self.is_overloaded(limit, now);
        while let Some(ticket) = self.next(newest) {
            let Some(entry) = self.entry(ticket) else { continue };
            if entry.ask.deadline <= now {
                woken.extend(self.refuse(ticket, |_, since| Why::DeadlinePassed {
                    waited: now.saturating_since(since),
                }));
                continue;
            }
            let waker = self.settle(ticket, Stand::Granted);
            woken.extend(waker);
            self.granted += 1;
            self.drain.granted(now);
            if self.waiting == 0 {
                self.drain.idle();
            }
            return true;
        }
        false
    }

    /// Ends a wait where its deadline has passed.
    pub(super) fn expire(&mut self, ticket: Ticket, now: Timestamp) {
        let late = self.entry(ticket).is_some_and(|entry| entry.ask.deadline <= now);
        if late && is_waiting(&self.entries, ticket) {
            self.refuse(ticket, |_, since| Why::DeadlinePassed {
                waited: now.saturating_since(since),
            });
        }
    }

    /// Takes the next out of its tenant's line, and counts it as served.
    fn next(&mut self, newest: bool) -> Option<Ticket> {
        let class = self.classes.iter_mut().rev().find(|class| class.waiting > 0)?;
        let waiting = class.tenants.values_mut().filter(|tenant| tenant.waiting > 0);
        let tenant = waiting.min_by(|a, b| a.served.total_cmp(&b.served))?;
        let entries = &self.entries;
        let found = loop {
            let ticket = if newest { tenant.line.pop_back() } else { tenant.line.pop_front() }?;
            if is_waiting(entries, ticket) {
                break ticket;
            }
        };
        class.served = tenant.served;
        tenant.served += tenant.step;
        Some(found)
    }

    /// What has become of a ticket. A wait is woken by `waker` when that changes; what is settled
    /// is told once and leaves its place.
    pub(super) fn poll(&mut self, ticket: Ticket, waker: &Waker) -> Option<Stand> {
        let entry = self.entry(ticket)?;
        match &mut entry.stand {
            Some(Stand::Waits(known)) => {
                if !known.as_ref().is_some_and(|known| known.will_wake(waker)) {
                    *known = Some(waker.clone());
                }
                Some(Stand::Waits(None))
            }
            stand => {
                let settled = stand.take()?;
                self.vacant.push(ticket.index);
                Some(settled)
            }
        }
    }

    /// Leaves the line. True when a permit had been granted, which is then to be given back.
    pub(super) fn leave(&mut self, ticket: Ticket) -> bool {
        let Some(entry) = self.entry(ticket) else { return false };
        let granted = match entry.stand {
            None => return false,
            Some(Stand::Waits(_)) => {
                self.settle(ticket, Stand::Refused(Why::Cancelled, Duration::ZERO));
                false
            }
            Some(Stand::Granted) => true,
            Some(Stand::Refused(..)) => false,
        };
        self.entries[ticket.index as usize].stand = None;
        self.vacant.push(ticket.index);
        granted
    }

    /// Ends a wait, and keeps the counts.
    fn settle(&mut self, ticket: Ticket, as_what: Stand) -> Option<Waker> {
        let entry = self.entries.get_mut(ticket.index as usize)?;
        if entry.generation != ticket.generation {
            return None;
        }
        let Some(Stand::Waits(waker)) = entry.stand.replace(as_what) else { return None };
        self.waiting -= 1;
        if self.waiting == 0 {
            self.busy_since = None;
            self.drain.idle();
        }
        let ask = &self.entries[ticket.index as usize].ask;
        self.classes[ask.priority.index()].left(&ask.tenant, &self.entries);
        waker
    }
}

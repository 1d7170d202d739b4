//! What subscribers are told, and who is told what became of a wait.

use std::sync::atomic::Ordering;

use plimsoll_core_types::{
    AllocateError, ConsumerId, Dimension, LeaseId, PressureLevel, Reason, ResourceVector, TicketId,
    Timestamp,
};
use tokio::sync::oneshot;

use super::{Answer, Shared, State};
use crate::ledger::{Event, Pressure};

/// Something that a [`LedgerPool`](super::LedgerPool) decided.
#[derive(Clone, Debug, PartialEq)]
pub struct PoolEvent {
    /// When.
    pub at: Timestamp,
    /// For whom, where for somebody.
    pub consumer: Option<ConsumerId>,
    /// What.
    pub kind: PoolEventKind,
    /// Why.
    pub reason: Reason,
}

/// What a [`LedgerPool`](super::LedgerPool) decided.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolEventKind {
    /// A lease was granted.
    Granted {
        /// The lease.
        lease: LeaseId,
        /// What it holds.
        amount: ResourceVector,
    },
    /// A request joined the line.
    Waits {
        /// Its place.
        ticket: TicketId,
        /// What it asks for.
        amount: ResourceVector,
    },
    /// A request was refused, at once or after a wait.
    Refused,
    /// A lease's time to live ended.
    Expired {
        /// Which.
        lease: LeaseId,
        /// What it held.
        amount: ResourceVector,
    },
    /// The holder of a lease is asked to give it back.
    Asked {
        /// The lease.
        lease: LeaseId,
        /// What it holds.
        amount: ResourceVector,
        /// When it is ended, unless it has been given back.
        deadline: Timestamp,
    },
    /// A lease was ended, since its holder had been asked and did not give it back in time.
    Revoked {
        /// The lease.
        lease: LeaseId,
        /// What it held.
        amount: ResourceVector,
    },
    /// It has become tighter, or less tight.
    Pressure {
        /// How tight it is.
        level: PressureLevel,
    },
    /// What may be promised was changed.
    LimitSet {
        /// From what.
        from: ResourceVector,
        /// To what.
        to: ResourceVector,
    },
}

/// The reason that goes with a refusal.
pub(super) fn reason(error: &AllocateError) -> Reason {
    match error {
        AllocateError::NeverFits { why, .. } => Reason::NeverFits(*why),
        AllocateError::DeadlinePassed { waited, .. } => Reason::DeadlinePassed { waited: *waited },
        AllocateError::LineFull { waiting, .. } => {
            Reason::Overload { in_system: *waiting, limit: *waiting }
        }
        _ => Reason::Cancelled,
    }
}

impl Shared {
    /// Whether anybody has ever subscribed. To count who still does takes the channel's lock.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Ordering::Relaxed)
    }

    /// Tells subscribers, where there are any.
    pub(super) fn tell(&self, kind: PoolEventKind, consumer: Option<&ConsumerId>, reason: Reason) {
        if self.is_watched() && self.events.receiver_count() > 0 {
            let (at, consumer) = (self.clock.now(), consumer.cloned());
            // The last subscriber may have left just now.
            let _ = self.events.send(PoolEvent { at, consumer, kind, reason });
        }
    }

    /// Takes the ledger's decisions, and says who is to be told what.
    pub(super) fn take_decisions(
        &self,
        state: &mut State,
    ) -> Vec<(oneshot::Sender<Answer>, Answer)> {
        let mut settled = Vec::new();
        while let Some(event) = state.ledger.poll_event() {
            match event {
                Event::Granted { ticket, lease, consumer, amount, waited } => {
                    let kind = PoolEventKind::Granted { lease, amount };
                    self.tell(kind, Some(&consumer), Reason::Fits { waited });
                    match state.waiting.remove(&ticket).zip(self.lease(lease, amount)) {
                        Some((asker, resource)) => settled.push((asker, Ok(resource))),
                        // Nobody is left to hold it.
                        None => {
                            let _ = state.ledger.release(lease, self.clock.now());
                        }
                    }
                }
                Event::Refused { ticket, error } => {
                    self.tell(PoolEventKind::Refused, None, reason(&error));
                    if let Some(asker) = state.waiting.remove(&ticket) {
                        settled.push((asker, Err(error)));
                    }
                }
                Event::Asked { lease, consumer, beneficiary, amount, deadline } => {
                    let kind = PoolEventKind::Asked { lease, amount, deadline };
                    self.tell(kind, Some(&consumer), displaced(beneficiary.as_ref()));
                }
                Event::Revoked { lease, consumer, beneficiary, amount } => {
                    let kind = PoolEventKind::Revoked { lease, amount };
                    self.tell(kind, Some(&consumer), displaced(beneficiary.as_ref()));
                }
                Event::Expired { lease, consumer, amount, ttl } => {
                    let kind = PoolEventKind::Expired { lease, amount };
                    self.tell(kind, Some(&consumer), Reason::Expired { ttl });
                }
            }
        }
        self.tell_pressure(state);
        settled
    }

    /// Tells subscribers where the pressure has changed.
    fn tell_pressure(&self, state: &mut State) {
        if !self.is_watched() || self.events.receiver_count() == 0 {
            return;
        }
        let Pressure { level, dimension, .. } = state.ledger.pressure(state.pressure);
        if level != state.pressure {
            state.pressure = level;
            let dimension = dimension.unwrap_or(Dimension::Memory);
            let reason = Reason::Pressure { level, dimension };
            self.tell(PoolEventKind::Pressure { level }, None, reason);
        }
    }
}

/// Why a lease is taken back: somebody waits, or the pool's owner wants it.
const fn displaced(beneficiary: Option<&ConsumerId>) -> Reason {
    match beneficiary {
        Some(_) => Reason::Demanded { waiting: 1 },
        None => Reason::Requested,
    }
}

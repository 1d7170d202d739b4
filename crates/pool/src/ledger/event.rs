//! What a ledger has decided.

use std::time::Duration;

use plimsoll_core_types::{
    AllocateError, ConsumerId, LeaseId, ResourceVector, TicketId, Timestamp,
};

/// Something that a [`Ledger`](super::Ledger) decided for somebody who had been waiting, or about
/// a lease that nobody touched. Taken with [`Ledger::poll_event`](super::Ledger::poll_event).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A waiter has its lease.
    Granted {
        /// Whose turn it was.
        ticket: TicketId,
        /// The lease.
        lease: LeaseId,
        /// Who holds it.
        consumer: ConsumerId,
        /// What it holds.
        amount: ResourceVector,
        /// How long it had waited.
        waited: Duration,
    },
    /// A waiter is told that it will get nothing.
    Refused {
        /// Which.
        ticket: TicketId,
        /// Why.
        error: AllocateError,
    },
    /// A lease's time to live has ended; its amount is free.
    Expired {
        /// Which.
        lease: LeaseId,
        /// Who held it.
        consumer: ConsumerId,
        /// What it held.
        amount: ResourceVector,
        /// How long it had been granted for.
        ttl: Duration,
    },
    /// A holder is asked to give its lease back.
    Asked {
        /// Which.
        lease: LeaseId,
        /// Who holds it.
        consumer: ConsumerId,
        /// For whom.
        beneficiary: Option<ConsumerId>,
        /// What it holds.
        amount: ResourceVector,
        /// When it is ended, unless it has been given back.
        deadline: Timestamp,
    },
    /// A holder that had been asked has not given its lease back in time: it is ended.
    Revoked {
        /// Which.
        lease: LeaseId,
        /// Who held it.
        consumer: ConsumerId,
        /// For whom.
        beneficiary: Option<ConsumerId>,
        /// What it held.
        amount: ResourceVector,
    },
}

/// What became of a request at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has its lease.
    Granted(LeaseId),
    /// It waits; an [`Event`] with this ticket will end that.
    Waits(TicketId),
}

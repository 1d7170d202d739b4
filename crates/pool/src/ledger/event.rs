//! What a ledger has decided.

use plimsoll_core_types::{AllocateError, ConsumerId, LeaseId, ResourceVector, TicketId};
use std::time::Duration;

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
}

/// What became of a request at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It has its lease.
    Granted(LeaseId),
    /// It waits; an [`Event`] with this ticket will end that.
    Waits(TicketId),
}

//! Admission without a runtime's timer, for models.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use plimsoll_core_types::ManualClock;

use super::{Admission, AdmissionConfig, Demand, Permit, Ticket};

/// Admission that models share.
#[derive(Clone, Debug)]
pub struct Model(loom::sync::Arc<Admission>);

impl Model {
    /// Admission of `limit` at once.
    pub fn new(limit: usize) -> Self {
        let config = AdmissionConfig { limit, ..AdmissionConfig::default() };
        Self(loom::sync::Arc::new(Admission::new(config, Arc::new(ManualClock::new()))))
    }

    /// Admission itself.
    pub fn admission(&self) -> &Admission {
        &self.0
    }

    /// What [`Admission::admit`] does, without a deadline. None where it is refused.
    pub fn admit(&self) -> Admit<'_> {
        Admit { admission: &self.0, ticket: None }
    }
}

/// Waits for a permit; leaves the line when it is dropped.
#[derive(Debug)]
pub struct Admit<'a> {
    admission: &'a Admission,
    ticket: Option<Ticket>,
}

impl<'a> Future for Admit<'a> {
    type Output = Option<Permit<&'a Admission>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let admission = self.admission;
        let ticket = match self.ticket {
            Some(ticket) => ticket,
            None => match admission.enter(Demand::default()) {
                Ok(None) => return Poll::Ready(Some(Permit::new(admission))),
                Ok(Some((ticket, _))) => ticket,
                Err(_) => return Poll::Ready(None),
            },
        };
        self.ticket = Some(ticket);
        let settled = admission.stand(ticket, context.waker());
        if settled.is_ready() {
            self.ticket = None;
        }
        settled.map(|settled| settled.is_ok().then(|| Permit::new(admission)))
    }
}

impl Drop for Admit<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.admission.leave(ticket);
        }
    }
}

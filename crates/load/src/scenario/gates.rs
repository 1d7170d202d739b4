//! Who lets requests in, in a simulation of overload: admission as it runs in production, and
//! concurrency limits that refuse at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Clock, ManualClock, Timestamp};

use super::limiters::Limit;
use crate::admit::{Admission, AdmissionConfig, Demand, Ticket, Turned};

/// What becomes of a request that comes.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It goes to the server.
    In,
    /// It waits, until then at most; [`Gate::news`] tells its end.
    Waits(Timestamp),
    /// It is refused, and may be told when to come back, in seconds.
    Refused(Option<f64>),
}

/// One that was let in has been served. Times are in seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Answer {
    /// Since it came.
    pub(super) latency: f64,
    /// How many were in progress when it was let in.
    pub(super) in_flight: usize,
    /// What it was expected to take.
    pub(super) estimate: f64,
    /// What it took since it began.
    pub(super) held: f64,
    pub(super) at: Timestamp,
}

pub(super) trait Gate: fmt::Debug {
    fn comes(&mut self, who: usize, deadline: Timestamp, now: Timestamp) -> Verdict;

    fn served(&mut self, answer: &Answer);

    /// One that waits has reached its deadline.
    fn expires(&mut self, who: usize, now: Timestamp) {
        let _ = (who, now);
    }

    /// Waits that have ended.
    fn news(&mut self) -> Vec<(usize, Verdict)> {
        Vec::new()
    }
}

/// A limit that refuses whoever is beyond it.
#[derive(Debug)]
pub(super) struct Limited {
    limit: Box<dyn Limit>,
    in_flight: usize,
}

impl Limited {
    pub(super) fn new(limit: impl Limit + 'static) -> Self {
        Self { limit: Box::new(limit), in_flight: 0 }
    }
}

impl Gate for Limited {
    fn comes(&mut self, _: usize, _: Timestamp, _: Timestamp) -> Verdict {
        if self.in_flight >= self.limit.limit() {
            return Verdict::Refused(None);
        }
        self.in_flight += 1;
        Verdict::In
    }

    fn served(&mut self, answer: &Answer) {
        self.in_flight -= 1;
        self.limit.answered(answer.latency, answer.in_flight);
    }
}

/// How often admission adapts.
const WINDOW: Duration = Duration::from_secs(1);

/// Notes whose wait has ended.
struct Bell {
    who: usize,
    rung: Arc<Mutex<Vec<usize>>>,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.lock().push(self.who);
    }
}

/// [`Admission`], with a permit for each slot of the server.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Admission,
    clock: Arc<ManualClock>,
    tickets: HashMap<usize, Ticket>,
    rung: Arc<Mutex<Vec<usize>>>,
    adapted: Timestamp,
    /// Refusals until then.
    refused: u64,
}

impl Admitted {
    pub(super) fn new(config: AdmissionConfig) -> Self {
        let clock = Arc::new(ManualClock::new());
        let admission = Admission::new(config, Arc::clone(&clock) as Arc<dyn Clock>);
        Self {
            admission,
            clock,
            tickets: HashMap::new(),
            rung: Arc::default(),
            adapted: Timestamp::ZERO,
            refused: 0,
        }
    }

    fn look(&mut self, who: usize) -> Option<Verdict> {
        let ticket = *self.tickets.get(&who)?;
        let waker = Waker::from(Arc::new(Bell { who, rung: Arc::clone(&self.rung) }));
        let Poll::Ready(settled) = self.admission.stand(ticket, &waker) else { return None };
        self.tickets.remove(&who);
        Some(settled.map_or_else(told, |()| Verdict::In))
    }
}

fn told(turned: Turned) -> Verdict {
    Verdict::Refused(Some(turned.retry_after.as_secs_f64()))
}

impl Gate for Admitted {
    fn comes(&mut self, who: usize, deadline: Timestamp, now: Timestamp) -> Verdict {
        self.clock.advance_to(now);
        match self.admission.enter(Demand { deadline: Some(deadline), ..Demand::default() }) {
            Ok(None) => Verdict::In,
            Ok(Some((ticket, deadline))) => {
                self.tickets.insert(who, ticket);
                self.look(who).unwrap_or(Verdict::Waits(deadline))
            }
            Err(turned) => told(turned),
        }
    }

    fn served(&mut self, answer: &Answer) {
        self.clock.advance_to(answer.at);
        let seconds = Duration::from_secs_f64;
        self.admission.observe(seconds(answer.estimate), seconds(answer.held));
        self.admission.give_back();
        if answer.at.saturating_since(self.adapted) >= WINDOW {
            self.adapted = answer.at;
            let status = self.admission.status();
            let refused = std::mem::replace(&mut self.refused, status.refused);
            self.admission.adapt(status.waiting > 0 || status.refused > refused);
        }
    }

    fn expires(&mut self, who: usize, now: Timestamp) {
        self.clock.advance_to(now);
        if let Some(ticket) = self.tickets.get(&who) {
            self.admission.expire(*ticket);
            self.rung.lock().push(who);
        }
    }

    fn news(&mut self) -> Vec<(usize, Verdict)> {
        let rung = std::mem::take(&mut *self.rung.lock());
        rung.into_iter().filter_map(|who| Some((who, self.look(who)?))).collect()
    }
}

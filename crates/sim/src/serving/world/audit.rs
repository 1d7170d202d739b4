//! What is added up over time, and the books that are looked at after every event.

use std::time::Duration;

use plimsoll_core_types::{ResourceVector, Timestamp};

use super::World;
use crate::serving::{ModelState, Policy};

/// What was asked for this recently counts as asked for.
const RECENT: Duration = Duration::from_mins(1);
/// So many findings are kept.
const MOST_FINDINGS: usize = 16;

impl World<'_> {
    pub(super) fn add_up(&mut self, now: Timestamp) {
        let elapsed = now.saturating_since(self.added_up).as_secs_f64();
        let used = self.used as f64 * elapsed;
        self.outcome.promised_byte_seconds += self.promised.memory().as_f64() * elapsed;
        self.outcome.used_byte_seconds += used;
        if self.pressed {
            self.outcome.pressed_used_byte_seconds += used;
            self.outcome.pressed_seconds += elapsed;
        }
        self.added_up = now;
        self.outcome.ended = now;
    }

    /// True where the models that were asked for of late do not fit together.
    pub(super) fn is_pressed(&self, now: Timestamp) -> bool {
        let recent = |at: Timestamp| now.saturating_since(at) < RECENT;
        let asked = self.models.iter().filter(|model| {
            model.in_progress + model.queued > 0 || model.last_used.is_some_and(recent)
        });
        let sum = asked.fold(ResourceVector::ZERO, |sum, m| sum.saturating_add(&m.spec.amount));
        !sum.fits_in(&self.scenario.config.limit)
    }

    /// Looks at the world's books and at the policy's.
    pub(super) fn audit(&mut self, policy: &dyn Policy, now: Timestamp) {
        let mut findings = policy.audit(&self.models, now);
        let holding = self.models.iter().filter(|model| model.state != ModelState::Stopped);
        let sum = holding.fold(ResourceVector::ZERO, |sum, m| sum.saturating_add(&m.spec.amount));
        if sum != self.promised {
            findings.push(format!("engines hold {sum}, promised is {}", self.promised));
        }
        if !self.promised.fits_in(&self.scenario.config.limit) {
            findings.push(format!("promised is {}, past the limit", self.promised));
        }
        let waiting: usize = self.machines.iter().map(|machine| machine.queue.len()).sum();
        let running: usize = self.machines.iter().map(super::Machine::in_progress).sum();
        let done = self.outcome.served() + self.outcome.timed_out + self.outcome.failed;
        let known = waiting + running + done + self.outcome.never_fit;
        if known != self.came {
            findings.push(format!("{} requests came, {known} are known of", self.came));
        }
        self.outcome.broken += findings.len();
        let room = MOST_FINDINGS.saturating_sub(self.outcome.findings.len());
        let at = now.as_secs_f64();
        self.outcome.findings.extend(findings.into_iter().take(room).map(|f| format!("{at}: {f}")));
    }
}

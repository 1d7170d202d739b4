//! What was freed for somebody, and is kept for it.

use std::time::Duration;

use plimsoll_core_types::{ConsumerId, ResourceVector, Timestamp};

/// What was freed for whom.
#[derive(Debug)]
pub(super) struct Earmarks {
    keep: Duration,
    most: usize,
    marks: Vec<Earmark>,
}

#[derive(Debug)]
struct Earmark {
    beneficiary: ConsumerId,
    amount: ResourceVector,
    until: Timestamp,
}

impl Earmarks {
    pub(super) const fn new(keep: Duration, most: usize) -> Self {
        Self { keep, most, marks: Vec::new() }
    }

    /// Keeps `amount` for `beneficiary`.
    pub(super) fn keep(
        &mut self,
        beneficiary: &ConsumerId,
        amount: ResourceVector,
        now: Timestamp,
    ) {
        if self.marks.len() < self.most {
            let (beneficiary, until) = (beneficiary.clone(), now + self.keep);
            self.marks.push(Earmark { beneficiary, amount, until });
        }
    }

    /// What is kept for `consumer`.
    pub(super) fn of(&self, consumer: &ConsumerId) -> ResourceVector {
        self.sum(|beneficiary| beneficiary == consumer)
    }

    /// What is kept for others than `consumer`.
    pub(super) fn of_others(&self, consumer: &ConsumerId) -> ResourceVector {
        self.sum(|beneficiary| beneficiary != consumer)
    }

    fn sum(&self, of: impl Fn(&ConsumerId) -> bool) -> ResourceVector {
        let marks = self.marks.iter().filter(|mark| of(&mark.beneficiary));
        marks.fold(ResourceVector::ZERO, |sum, mark| sum.saturating_add(&mark.amount))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Takes `amount`, which `consumer` was granted, out of what is kept for it.
    pub(super) fn spend(&mut self, consumer: &ConsumerId, amount: &ResourceVector) {
        let mut left = *amount;
        for mark in self.marks.iter_mut().filter(|mark| mark.beneficiary == *consumer) {
            let taken = mark.amount.min(&left);
            mark.amount = mark.amount.saturating_sub(&taken);
            left = left.saturating_sub(&taken);
        }
        self.marks.retain(|mark| !mark.amount.is_zero());
    }

    /// Keeps nothing more for `consumer`. True when something was kept.
    pub(super) fn forget(&mut self, consumer: &ConsumerId) -> bool {
        let before = self.marks.len();
        self.marks.retain(|mark| mark.beneficiary != *consumer);
        self.marks.len() < before
    }

    /// Keeps nothing whose time has passed. True when there was some.
    pub(super) fn expire(&mut self, now: Timestamp) -> bool {
        let before = self.marks.len();
        self.marks.retain(|mark| mark.until > now);
        self.marks.len() < before
    }

    pub(super) fn next_expiry(&self) -> Option<Timestamp> {
        self.marks.iter().map(|mark| mark.until).min()
    }
}

//! Keeps the loop from doing the same thing over and over.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use plimsoll_core_types::Timestamp;

/// When each kind of action may be done again to each subject.
///
/// Holds no more entries than there were actions within one cool-down.
#[derive(Debug, Default)]
pub(crate) struct CoolDowns {
    until: BTreeMap<&'static str, HashMap<String, Timestamp>>,
    /// When what has cooled down was last forgotten.
    cleared: Timestamp,
}

impl CoolDowns {
    /// True while `kind` must not be done to `subject`.
    pub(crate) fn is_cooling(&self, kind: &'static str, subject: &str, now: Timestamp) -> bool {
        let until = self.until.get(kind).and_then(|subjects| subjects.get(subject));
        until.is_some_and(|until| *until > now)
    }

    /// `kind` was done to `subject`, which cools down for `pause`.
    pub(crate) fn note(
        &mut self,
        kind: &'static str,
        subject: &str,
        now: Timestamp,
        pause: Duration,
    ) {
        if self.cleared < now {
            self.cleared = now;
            for subjects in self.until.values_mut() {
                subjects.retain(|_, until| *until > now);
            }
        }
        self.until.entry(kind).or_default().insert(subject.to_owned(), now + pause);
    }

    /// True when `kind` may be done to `subject`, which then cools down for `pause`.
    pub(crate) fn allow(
        &mut self,
        kind: &'static str,
        subject: &str,
        now: Timestamp,
        pause: Duration,
    ) -> bool {
        let allowed = !self.is_cooling(kind, subject, now);
        if allowed {
            self.note(kind, subject, now, pause);
        }
        allowed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subject_cools_down_for_each_kind_by_itself() {
        let mut cool = CoolDowns::default();
        let pause = Duration::from_secs(2);
        let at = Timestamp::from_secs_f64;
        assert!(cool.allow("evict", "a", at(0.0), pause));
        assert!(!cool.allow("evict", "a", at(1.9), pause));
        assert!(cool.allow("evict", "b", at(1.9), pause));
        assert!(cool.allow("prewarm", "a", at(1.9), pause));
        assert!(cool.allow("evict", "a", at(2.0), pause));
        assert!(cool.allow("x", "y", at(100.0), pause));
        let left: usize = cool.until.values().map(HashMap::len).sum();
        assert_eq!(left, 1, "what has cooled down is forgotten");
    }
}

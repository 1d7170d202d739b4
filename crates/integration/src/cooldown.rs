//! Keeps the loop from doing the same thing over and over.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

/// When each kind of action was last done to each subject.
///
/// Holds no more entries than there were actions within one cool-down.
#[derive(Debug, Default)]
pub(crate) struct CoolDowns {
    until: BTreeMap<(&'static str, String), Timestamp>,
}

impl CoolDowns {
    /// True while `kind` must not be done to `subject`.
    pub(crate) fn is_cooling(&self, kind: &'static str, subject: &str, now: Timestamp) -> bool {
        self.until.get(&(kind, subject.to_owned())).is_some_and(|until| *until > now)
    }

    /// `kind` was done to `subject`, which cools down for `pause`.
    pub(crate) fn note(
        &mut self,
        kind: &'static str,
        subject: &str,
        now: Timestamp,
        pause: Duration,
    ) {
        self.until.insert((kind, subject.to_owned()), now + pause);
    }

    /// True when `kind` may be done to `subject`, which then cools down for `pause`.
    pub(crate) fn allow(
        &mut self,
        kind: &'static str,
        subject: &str,
        now: Timestamp,
        pause: Duration,
    ) -> bool {
        self.until.retain(|_, until| *until > now);
        let key = (kind, subject.to_owned());
        if self.until.contains_key(&key) {
            return false;
        }
        self.until.insert(key, now + pause);
        true
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
        assert_eq!(cool.until.len(), 1, "what has cooled down is forgotten");
    }
}

//! The decisions of late, and what each was about.

use std::collections::VecDeque;
use std::fmt::Write as _;

use plimsoll_core_types::{Action, Decision};

use crate::verdicts::Judged;

/// The latest decisions, the newest last.
#[derive(Debug, Default)]
pub(super) struct DecisionLog {
    decisions: VecDeque<Decision>,
}

impl DecisionLog {
    /// Adds `decision`; of more than `most` the oldest is forgotten.
    pub(super) fn push(&mut self, decision: Decision, most: usize) {
        while self.decisions.len() >= most {
            self.decisions.pop_front();
        }
        self.decisions.push_back(decision);
    }

    /// Writes down what a decision turned out to be worth. One that has been forgotten stays so.
    pub(super) fn judge(&mut self, judged: &Judged) {
        let found = self.decisions.iter_mut().rev().find(|decision| {
            let action = &decision.planned.action;
            decision.at == judged.at
                && action.kind() == judged.kind
                && action.subject() == judged.subject
        });
        if let Some(effect) = found.and_then(|decision| decision.effect.as_mut()) {
            effect.seen = Some(judged.seen.clone());
        }
    }

    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = &Decision> {
        self.decisions.iter()
    }

    /// The decisions that had to do with `subject`.
    pub(super) fn about<'a>(&'a self, subject: &'a str) -> impl Iterator<Item = &'a Decision> {
        self.decisions.iter().filter(move |decision| concerns(&decision.planned.action, subject))
    }
}

fn concerns(action: &Action, subject: &str) -> bool {
    action.subject() == subject
        || match action {
            Action::Evict { beneficiary: Some(to), .. } => to.as_str() == subject,
            Action::ShiftBytes { from, .. } => from.as_str() == subject,
            _ => false,
        }
}

/// One line for people: what was decided when, why, what came of it, and what it was worth.
pub(super) fn explain(decision: &Decision) -> String {
    let (at, planned) = (decision.at, &decision.planned);
    let mut line = format!("{at}: {}: {}", planned.action, planned.reason);
    // Writing to a text can't fail.
    let _ = match &decision.outcome {
        Ok(outcome) => write!(line, "; {}", format!("{outcome:?}").to_lowercase()),
        Err(error) => write!(line, "; not done: {error}"),
    };
    let Some(effect) = &decision.effect else { return line };
    let measure = effect.measure;
    let _ = write!(line, "; {measure} {:.3} instead of {:.3}", effect.expected, effect.without);
    let _ = match &effect.seen {
        Some(seen) => {
            let verdict = if seen.kept { "kept" } else { "taken back" };
            write!(
                line,
                " expected, {:.3} instead of {:.3} seen: {verdict}",
                seen.with, seen.without
            )
        }
        None => write!(line, " expected"),
    };
    line
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use plimsoll_core_types::{
        ActionOutcome, Effect, Measure, ModelId, PlannedAction, Reason, Seen, Timestamp,
    };

    fn prewarm(second: f64, name: &str) -> Decision {
        let model = ModelId::new(name).unwrap();
        let planned =
            PlannedAction { action: Action::Prewarm { model }, reason: Reason::Requested };
        let measure = Measure::WaitSeconds;
        let effect = Some(Effect { measure, without: 2.0, expected: 0.0, seen: None });
        let at = Timestamp::from_secs_f64(second);
        Decision { at, planned, outcome: Ok(ActionOutcome::Begun), effect }
    }

    #[test]
    fn the_oldest_are_forgotten_and_the_rest_explained() {
        let mut log = DecisionLog::default();
        for (second, name) in [(1.0, "a"), (2.0, "b"), (3.0, "a"), (4.0, "a")] {
            log.push(prewarm(second, name), 3);
        }
        assert_eq!(log.about("a").count(), 2);
        let at = Timestamp::from_secs_f64;
        let seen = Seen { at: at(5.0), with: 0.5, without: 2.0, kept: true };
        let subject = "a".to_owned();
        log.judge(&Judged { at: at(3.0), kind: "prewarm", subject, seen });
        let lines: Vec<_> = log.about("a").map(explain).collect();
        assert_eq!(
            lines,
            [
                "3.000s: prewarm a: asked for; begun; wait_seconds 0.000 instead of 2.000 expected, \
                 0.500 instead of 2.000 seen: kept",
                "4.000s: prewarm a: asked for; begun; wait_seconds 0.000 instead of 2.000 expected",
            ]
        );
    }
}

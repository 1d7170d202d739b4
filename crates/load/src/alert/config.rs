//! What is promised, and how fast a promise may be broken before somebody is told.

use std::time::Duration;

use plimsoll_core_types::{Ratio, Severity};
use serde::{Deserialize, Serialize};

/// What share of requests must go well over a month.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Objective {
    /// Of what or whom; an alert's subject.
    pub subject: String,
    /// What makes a request good.
    pub good: Good,
    /// The share that must be good; at least 0, less than 1. What is missing to 1 is the budget.
    pub target: Ratio,
}

/// What makes a request good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Good {
    /// It did not fail.
    Answered,
    /// It was answered within this time. Requests that fail are not counted: they are an
    /// objective's on errors.
    Within(Duration),
}

/// When an objective's budget is spent too fast: `rate` times as fast as would spend it in just a
/// month, both over the long window, so that it matters, and over the short one, so that it is
/// still so.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct BurnRule {
    /// Times the speed at which the budget lasts just a month; above 0.
    pub rate: f64,
    /// Must be longer than the short window, and at most 90 days.
    pub long: Duration,
    /// At least a second.
    pub short: Duration,
    /// How urgent that is.
    pub severity: Severity,
}

/// The rules of the Site Reliability Workbook (Beyer and others, 2018, chapter 5): 2% of a month's
/// budget in an hour, 5% in six, 10% in three days.
pub const BURN_RULES: [BurnRule; 3] = [
    BurnRule {
        rate: 14.4,
        long: Duration::from_hours(1),
        short: Duration::from_mins(5),
        severity: Severity::Critical,
    },
    BurnRule {
        rate: 6.0,
        long: Duration::from_hours(6),
        short: Duration::from_mins(30),
        severity: Severity::Critical,
    },
    BurnRule {
        rate: 1.0,
        long: Duration::from_hours(72),
        short: Duration::from_hours(6),
        severity: Severity::Warning,
    },
];

/// How [`Alerts`](crate::alert::Alerts) behave.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct AlertConfig {
    /// What is promised; at most 64.
    pub objectives: Vec<Objective>,
    /// When a budget is spent too fast; at most 8. Default [`BURN_RULES`].
    pub rules: Vec<BurnRule>,
    /// Fewer bad requests than this within a long window alert nobody: with little traffic a
    /// single failure is a large share. Default 10.
    pub least_bad: u64,
    /// A rule that has alerted is over when the rate over one of its windows has been less than
    /// this share of its own for half of the short window. Default 80%.
    pub ends_below: Ratio,
}

impl Default for AlertConfig {
    fn default() -> Self {
        Self {
            objectives: Vec::new(),
            rules: BURN_RULES.to_vec(),
            least_bad: 10,
            ends_below: Ratio::saturating(0.8),
        }
    }
}

/// What is wrong with an [`AlertConfig`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AlertConfigError {
    /// More of something than is allowed.
    #[error("{given} {what}; at most {most} are allowed")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many were given.
        given: usize,
        /// How many there may be.
        most: usize,
    },
    /// An objective leaves no budget.
    #[error("objective {subject:?} has a target of {given}; it must be less than 1")]
    NoBudget {
        /// Whose.
        subject: String,
        /// What was given.
        given: f64,
    },
    /// A rule that could never or would always alert.
    #[error("rule {index} has {field} {given}; allowed is {allowed}")]
    Rule {
        /// Which, counted from 0.
        index: usize,
        /// Which of its fields.
        field: &'static str,
        /// What was given, in its unit or in seconds.
        given: f64,
        /// What is allowed.
        allowed: &'static str,
    },
}

/// The most objectives, and the most rules.
const MOST: (usize, usize) = (64, 8);

impl AlertConfig {
    pub(super) fn check(&self) -> Result<(), AlertConfigError> {
        let counted =
            [("objectives", self.objectives.len(), MOST.0), ("rules", self.rules.len(), MOST.1)];
        for (what, given, most) in counted {
            if given > most {
                return Err(AlertConfigError::TooMany { what, given, most });
            }
        }
        for objective in &self.objectives {
            let given = objective.target.get();
            if given >= 1.0 {
                let subject = objective.subject.clone();
                return Err(AlertConfigError::NoBudget { subject, given });
            }
        }
        self.rules.iter().enumerate().try_for_each(|(index, rule)| rule.check(index))
    }
}

impl BurnRule {
    fn check(&self, index: usize) -> Result<(), AlertConfigError> {
        let (short, long) = (self.short.as_secs_f64(), self.long.as_secs_f64());
        let most = Duration::from_hours(90 * 24).as_secs_f64();
        let checks = [
            ("rate", self.rate, self.rate.is_finite() && self.rate > 0.0, "above 0"),
            ("short", short, short >= 1.0, "a second or more"),
            ("long", long, short < long && long <= most, "longer than short, at most 90 days"),
        ];
        match checks.into_iter().find(|(_, _, allowed, _)| !allowed) {
            Some((field, given, _, allowed)) => {
                Err(AlertConfigError::Rule { index, field, given, allowed })
            }
            None => Ok(()),
        }
    }
}

//! Who goes first.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Who goes first where not all can; later variants go before earlier ones.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// Work that may be put off or dropped: prewarms, batch jobs.
    BestEffort,
    /// Below the ordinary.
    Low,
    /// The ordinary.
    #[default]
    Normal,
    /// Above the ordinary: somebody waits for it.
    High,
    /// What keeps the service itself up.
    Critical,
}

impl Priority {
    /// How many classes there are.
    pub const COUNT: usize = 5;
    /// Every class, the lowest first.
    pub const ALL: [Self; Self::COUNT] =
        [Self::BestEffort, Self::Low, Self::Normal, Self::High, Self::Critical];

    /// 0 for the lowest class, 4 for the highest.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The class above, or the highest itself.
    #[must_use]
    pub const fn raised(self) -> Self {
        match self {
            Self::BestEffort => Self::Low,
            Self::Low => Self::Normal,
            Self::Normal => Self::High,
            Self::High | Self::Critical => Self::Critical,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::BestEffort => "best_effort",
            Self::Low => "low",
            Self::Normal => "normal",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A text that names no [`Priority`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("priority {text:?} is unknown; use best_effort, low, normal, high or critical")]
pub struct PriorityError {
    text: String,
}

impl FromStr for Priority {
    type Err = PriorityError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|priority| priority.name() == text);
        found.ok_or_else(|| PriorityError { text: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_round_trip_and_order_holds() {
        for priority in Priority::ALL {
            assert_eq!(priority.to_string().parse(), Ok(priority));
            assert_eq!(Priority::ALL[priority.index()], priority);
            assert!(priority.raised() >= priority);
        }
        assert!("urgent".parse::<Priority>().unwrap_err().to_string().contains("critical"));
    }
}

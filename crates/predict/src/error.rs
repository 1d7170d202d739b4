//! What can be wrong with what a forecaster is told.

/// Why a forecaster or predictor can't be made.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The sampling interval is zero.
    #[error("interval is zero; it must be longer")]
    Interval,
    /// A count is outside of what is allowed.
    #[error("{field} is {value}; it must be from {least} to {most}")]
    Count {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: usize,
        /// The least that is allowed.
        least: usize,
        /// The most that is allowed.
        most: usize,
    },
    /// A number is outside of what is allowed.
    #[error("{field} is {value}; it must be from {least} to {most}")]
    Number {
        /// Which field.
        field: &'static str,
        /// What was given.
        value: f64,
        /// The least that is allowed.
        least: f64,
        /// The most that is allowed.
        most: f64,
    },
}

impl ConfigError {
    pub(crate) fn count(
        field: &'static str,
        value: usize,
        least: usize,
        most: usize,
    ) -> Result<(), Self> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(Self::Count { field, value, least, most })
    }

    pub(crate) fn number(
        field: &'static str,
        value: f64,
        least: f64,
        most: f64,
    ) -> Result<(), Self> {
        if (least..=most).contains(&value) {
            return Ok(());
        }
        Err(Self::Number { field, value, least, most })
    }
}

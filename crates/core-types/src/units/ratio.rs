//! A share of a whole.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A finite number that is not negative: a share, a utilization, a probability.
///
/// May exceed one (a utilization of 1.2 is overload); a reader that needs a probability clamps
/// with [`Ratio::min_one`]. Read from `0.8` or `80%`, displayed as percent, serialized as a
/// number.
///
/// ```
/// use plimsoll_core_types::Ratio;
/// assert_eq!("80%".parse::<Ratio>()?, Ratio::new(0.8)?);
/// assert_eq!(Ratio::new(0.256)?.to_string(), "25.6%");
/// # Ok::<(), plimsoll_core_types::RatioError>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Ratio(f64);

impl Ratio {
    /// Nothing.
    pub const ZERO: Self = Self(0.0);
    /// The whole.
    pub const ONE: Self = Self(1.0);

    /// A ratio of `value`.
    ///
    /// # Errors
    ///
    /// When `value` is negative, infinite or no number.
    pub fn new(value: f64) -> Result<Self, RatioError> {
        if value.is_finite() && value >= 0.0 {
            // Turns -0.0 into 0.0, which prints and compares as one expects.
            Ok(Self(value + 0.0))
        } else {
            Err(RatioError::Value { value })
        }
    }

    /// The nearest ratio to `value`: NaN and negatives become zero, infinity the largest float.
    pub fn saturating(value: f64) -> Self {
        Self(value.clamp(0.0, f64::MAX).max(0.0))
    }

    /// As a number.
    pub const fn get(self) -> f64 {
        self.0
    }

    /// This ratio, at most one.
    #[must_use]
    pub fn min_one(self) -> Self {
        Self(self.0.min(1.0))
    }

    /// `1 - self`, at least zero.
    #[must_use]
    pub fn complement(self) -> Self {
        Self((1.0 - self.0).max(0.0))
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The largest ratios have no percents within a float.
        let text = format!("{:.1}", (self.0 * 100.0).min(f64::MAX));
        f.pad(&format!("{}%", text.strip_suffix(".0").unwrap_or(&text)))
    }
}

impl TryFrom<f64> for Ratio {
    type Error = RatioError;

    fn try_from(value: f64) -> Result<Self, Self::Error> {
        Self::new(value)
    }
}

impl From<Ratio> for f64 {
    fn from(ratio: Ratio) -> Self {
        ratio.0
    }
}

impl FromStr for Ratio {
    type Err = RatioError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let trimmed = text.trim();
        let (number, divisor) = match trimmed.strip_suffix('%') {
            Some(percent) => (percent.trim_end(), 100.0),
            None => (trimmed, 1.0),
        };
        let value: f64 = number.parse().map_err(|_| RatioError::Text { text: text.to_owned() })?;
        Self::new(value / divisor)
    }
}

/// Why a value is no [`Ratio`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RatioError {
    /// The number is negative, infinite or no number.
    #[error("ratio {value} is out of range; it must be finite and at least 0")]
    Value {
        /// What was given.
        value: f64,
    },
    /// The text is no number.
    #[error("ratio {text:?} is no number; write it as \"0.8\" or \"80%\"")]
    Text {
        /// What was given.
        text: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_finite_and_not_negative() {
        for bad in [-0.1, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            assert!(Ratio::new(bad).is_err(), "{bad}");
            assert!(Ratio::saturating(bad).get().is_finite());
        }
        assert_eq!(Ratio::new(-0.0).unwrap().to_string(), "0%");
        assert!("-5%".parse::<Ratio>().is_err());
        assert!("NaN".parse::<Ratio>().is_err());
        assert!("eighty".parse::<Ratio>().unwrap_err().to_string().contains("80%"));
        assert!(serde_json::from_str::<Ratio>("-1.0").is_err());
    }
}

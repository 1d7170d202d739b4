//! An amount, or a share of one that is known later.

use std::fmt;
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::quantity::QuantityError;
use super::ratio::{Ratio, RatioError};
use super::scalar::{Bytes, Millicores, Slots};

/// `4Gi`, or `80%` of something that is known later.
///
/// ```
/// use plimsoll_core_types::{AmountOrShare, Bytes};
///
/// let budget: AmountOrShare<Bytes> = "80%".parse()?;
/// assert_eq!(budget.of(Bytes::from_gib(10)), Bytes::from_gib(8));
/// let budget: AmountOrShare<Bytes> = "4Gi".parse()?;
/// assert_eq!(budget.of(Bytes::from_gib(10)), Bytes::from_gib(4));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AmountOrShare<U> {
    /// A fixed amount.
    Amount(U),
    /// A share of the whole.
    Share(Ratio),
}

/// Why a text is neither an amount nor a share.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AmountOrShareError {
    /// It has no percent sign and is no quantity.
    #[error("{0}; or a share such as \"80%\"")]
    Amount(#[source] QuantityError),
    /// It has a percent sign and is no ratio.
    #[error(transparent)]
    Share(RatioError),
}

macro_rules! of {
    ($unit:ident) => {
        impl AmountOrShare<$unit> {
            /// The amount itself, or the share of `whole`, rounded down.
            pub fn of(self, whole: $unit) -> $unit {
                match self {
                    Self::Amount(amount) => amount,
                    Self::Share(share) => whole.scaled(share),
                }
            }
        }
    };
}

of!(Bytes);
of!(Millicores);
of!(Slots);

impl<U: FromStr<Err = QuantityError>> FromStr for AmountOrShare<U> {
    type Err = AmountOrShareError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim_end().ends_with('%') {
            text.parse().map(Self::Share).map_err(AmountOrShareError::Share)
        } else {
            text.parse().map(Self::Amount).map_err(AmountOrShareError::Amount)
        }
    }
}

impl<U: fmt::Display> fmt::Display for AmountOrShare<U> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Amount(amount) => amount.fmt(f),
            Self::Share(share) => share.fmt(f),
        }
    }
}

impl<U: Serialize> Serialize for AmountOrShare<U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Amount(amount) => amount.serialize(serializer),
            Self::Share(share) => serializer.collect_str(&format_args!("{}%", share.get() * 100.0)),
        }
    }
}

impl<'de, U> Deserialize<'de> for AmountOrShare<U>
where
    U: FromStr<Err = QuantityError> + Deserialize<'de>,
{
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Form<U> {
            Text(String),
            Count(U),
        }
        match Form::<U>::deserialize(deserializer)? {
            Form::Text(text) => text.parse().map_err(D::Error::custom),
            Form::Count(count) => Ok(Self::Amount(count)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_writes_both_forms() {
        for (json, whole, expected) in [("\"50%\"", 10, 5), ("\"1Ki\"", 10, 1024), ("7", 10, 7)] {
            let read: AmountOrShare<Bytes> = serde_json::from_str(json).unwrap();
            assert_eq!(read.of(Bytes::new(whole)), Bytes::new(expected), "{json}");
            let again = serde_json::to_string(&read).unwrap();
            assert_eq!(serde_json::from_str::<AmountOrShare<Bytes>>(&again).unwrap(), read);
        }
    }

    #[test]
    fn a_bad_text_names_both_forms() {
        let error = "4Gx".parse::<AmountOrShare<Bytes>>().unwrap_err().to_string();
        assert!(error.contains("Gx") && error.contains("80%"), "{error}");
    }
}

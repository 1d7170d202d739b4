//! Whole amounts: bytes, thousandths of a core, slots.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error as _, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::quantity::{self, QuantityError};
use super::ratio::Ratio;

/// Which unit a quantity was read as; names the unit in errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnitKind {
    /// [`Bytes`].
    Bytes,
    /// [`Millicores`].
    Millicores,
    /// [`Slots`].
    Slots,
}

impl fmt::Display for UnitKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bytes => "bytes",
            Self::Millicores => "cores",
            Self::Slots => "slots",
        })
    }
}

macro_rules! scalar {
    ($(#[$doc:meta])* $name:ident, $kind:expr, per_one $per_one:expr) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// None of it.
            pub const ZERO: Self = Self(0);
            /// The largest amount that can be written.
            pub const MAX: Self = Self(u64::MAX);

            /// This many.
            pub const fn new(count: u64) -> Self {
                Self(count)
            }

            /// The count as a number.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// True of [`Self::ZERO`] only.
            pub const fn is_zero(self) -> bool {
                self.0 == 0
            }

            /// The sum, or `None` past [`Self::MAX`].
            pub const fn checked_add(self, other: Self) -> Option<Self> {
                match self.0.checked_add(other.0) {
                    Some(sum) => Some(Self(sum)),
                    None => None,
                }
            }

            /// The difference, or `None` below zero.
            pub const fn checked_sub(self, other: Self) -> Option<Self> {
                match self.0.checked_sub(other.0) {
                    Some(difference) => Some(Self(difference)),
                    None => None,
                }
            }

            /// The sum, at most [`Self::MAX`].
            #[must_use]
            pub const fn saturating_add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }

            /// The difference, at least zero.
            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }

            /// `share` of this amount, rounded down, at most [`Self::MAX`].
            #[must_use]
            pub fn scaled(self, share: Ratio) -> Self {
                // Exact for whole shares: a float has 53 bits, an amount 64.
                if share == Ratio::ONE {
                    return self;
                }
                Self((self.0 as f64 * share.get()) as u64)
            }

            /// This amount as a share of `whole`; zero when `whole` is zero.
            pub fn share_of(self, whole: Self) -> Ratio {
                if whole.is_zero() {
                    return Ratio::ZERO;
                }
                Ratio::saturating(self.0 as f64 / whole.0 as f64)
            }

            /// As a float, for estimators. Loses precision past 2^53.
            pub const fn as_f64(self) -> f64 {
                self.0 as f64
            }

            /// The nearest amount to `value`: NaN and negatives become zero, the rest saturates.
            pub fn from_f64(value: f64) -> Self {
                Self(value.round() as u64)
            }
        }

        impl FromStr for $name {
            type Err = QuantityError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                quantity::parse(text, $kind, $per_one).map(Self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct Quantity;
                impl Visitor<'_> for Quantity {
                    type Value = $name;

                    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                        write!(f, "a count, or a quantity such as \"{}\"", quantity::example($kind))
                    }

                    fn visit_u64<E: serde::de::Error>(self, count: u64) -> Result<$name, E> {
                        Ok($name(count))
                    }

                    fn visit_i64<E: serde::de::Error>(self, count: i64) -> Result<$name, E> {
                        u64::try_from(count)
                            .map($name)
                            .map_err(|_| E::invalid_value(Unexpected::Signed(count), &self))
                    }

                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        text.parse().map_err(E::custom)
                    }
                }
                deserializer.deserialize_any(Quantity).map_err(D::Error::custom)
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Self::saturating_add)
            }
        }
    };
}

scalar! {
    /// An amount of memory in bytes.
    ///
    /// Read from a Kubernetes quantity (`4Gi`, `512M`, `1.5e9`), with an optional closing `B`
    /// (`512MiB`); fractions of a byte round up. Serialized as a number, deserialized from a
    /// number or a quantity. Displayed in binary units.
    ///
    /// ```
    /// use plimsoll_core_types::Bytes;
    /// assert_eq!("1.5Gi".parse(), Ok(Bytes::from_mib(1536)));
    /// assert_eq!(Bytes::from_mib(1536).to_string(), "1.5 GiB");
    /// ```
    Bytes, UnitKind::Bytes, per_one 1
}

scalar! {
    /// An amount of CPU in thousandths of a core.
    ///
    /// Read from a Kubernetes quantity of cores (`2`, `500m`, `0.5`); fractions of a millicore
    /// round up. Serialized as a number of millicores.
    ///
    /// A bare number means different things in the two forms, as in Kubernetes: the text `"2"` is
    /// two cores, the serialized number `2` is two millicores.
    ///
    /// ```
    /// use plimsoll_core_types::Millicores;
    /// assert_eq!("1500m".parse(), Ok(Millicores::new(1500)));
    /// assert_eq!(Millicores::new(1500).to_string(), "1.5 cores");
    /// ```
    Millicores, UnitKind::Millicores, per_one 1000
}

scalar! {
    /// A number of places: concurrent requests, sequences, sessions.
    ///
    /// ```
    /// use plimsoll_core_types::Slots;
    /// assert_eq!("8".parse(), Ok(Slots::new(8)));
    /// ```
    Slots, UnitKind::Slots, per_one 1
}

impl Bytes {
    /// This many kibibytes, at most [`Self::MAX`].
    pub const fn from_kib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 10))
    }

    /// This many mebibytes, at most [`Self::MAX`].
    pub const fn from_mib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 20))
    }

    /// This many gibibytes, at most [`Self::MAX`].
    pub const fn from_gib(count: u64) -> Self {
        Self(count.saturating_mul(1 << 30))
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let mut scaled = self.as_f64();
        let mut unit = 0;
        // 1023.95 would print as 1024.0 of the smaller unit.
        while scaled >= 1023.95 && unit + 1 < UNITS.len() {
            scaled /= 1024.0;
            unit += 1;
        }
        let text = format!("{scaled:.1}");
        f.pad(&format!("{} {}", text.strip_suffix(".0").unwrap_or(&text), UNITS[unit]))
    }
}

impl Millicores {
    /// This many whole cores, at most [`Self::MAX`].
    pub const fn from_cores(count: u64) -> Self {
        Self(count.saturating_mul(1000))
    }

    /// As a number of cores.
    pub const fn as_cores(self) -> f64 {
        self.as_f64() / 1000.0
    }
}

impl fmt::Display for Millicores {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0 == 1000 { "core" } else { "cores" };
        f.pad(&format!("{} {noun}", self.as_cores()))
    }
}

impl fmt::Display for Slots {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let noun = if self.0 == 1 { "slot" } else { "slots" };
        f.pad(&format!("{} {noun}", self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_displayed_in_the_largest_fitting_unit() {
        let check = |bytes: u64, text: &str| assert_eq!(Bytes::new(bytes).to_string(), text);
        check(0, "0 B");
        check(1023, "1023 B");
        check(1024, "1 KiB");
        check(1536, "1.5 KiB");
        check((1 << 20) - 1, "1 MiB");
        check(512 << 20, "512 MiB");
        check(u64::MAX, "16 EiB");
    }

    #[test]
    fn display_honours_width() {
        assert_eq!(format!("{:>9}", Bytes::from_mib(2)), "    2 MiB");
        assert_eq!(format!("{:<12}|", Millicores::from_cores(1)), "1 core      |");
    }

    #[test]
    fn amounts_deserialize_from_numbers_and_quantities() {
        let check = |json: &str, bytes: u64| {
            assert_eq!(serde_json::from_str::<Bytes>(json).unwrap(), Bytes::new(bytes), "{json}");
        };
        check("17", 17);
        check("\"2Ki\"", 2048);
        assert_eq!(serde_json::to_string(&Bytes::from_kib(2)).unwrap(), "2048");
        let error = serde_json::from_str::<Bytes>("-1").unwrap_err().to_string();
        assert!(error.contains("-1") && error.contains("quantity such as"), "{error}");
    }

    #[test]
    fn scaling_saturates_and_keeps_whole_shares_exact() {
        assert_eq!(Bytes::MAX.scaled(Ratio::ONE), Bytes::MAX);
        assert_eq!(Bytes::MAX.scaled(Ratio::new(2.0).unwrap()), Bytes::MAX);
        assert_eq!(Bytes::new(10).scaled(Ratio::new(0.25).unwrap()), Bytes::new(2));
        assert_eq!(Bytes::from_f64(f64::NAN), Bytes::ZERO);
        assert_eq!(Bytes::new(5).share_of(Bytes::ZERO), Ratio::ZERO);
    }
}

//! The Kubernetes quantity grammar, read exactly.
//!
//! `number suffix`, where the number is decimal with an optional fraction, and the suffix is
//! binary (`Ki Mi Gi Ti Pi Ei`), decimal (`n u m`, none, `k M G T P E`) or a decimal exponent
//! (`e6`, `E6`). Source: `resource.Quantity` in the Kubernetes API reference. Two things are
//! wider: `K` is read as `k`, and an amount of bytes may close with `B` (`512MiB`, `2GB`).

use super::scalar::UnitKind;

/// Why a text is no quantity. The message names the text and what is allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantityError {
    /// Nothing but white space.
    #[error("an empty quantity of {unit}; write a number and a suffix, such as \"{}\"", example(*unit))]
    Empty {
        /// What was being read.
        unit: UnitKind,
    },
    /// The part before the suffix is no decimal number.
    #[error("quantity {text:?}: {number:?} is no decimal number; write it as in \"{}\"", example(*unit))]
    Number {
        /// The whole text.
        text: String,
        /// The part that should be a number.
        number: String,
        /// What was being read.
        unit: UnitKind,
    },
    /// The number is below zero.
    #[error("quantity {text:?} is negative; {unit} start at 0")]
    Negative {
        /// The whole text.
        text: String,
        /// What was being read.
        unit: UnitKind,
    },
    /// The suffix is none of the grammar's.
    #[error("quantity {text:?}: unknown suffix {suffix:?}; use one of {}", suffixes(*unit))]
    Suffix {
        /// The whole text.
        text: String,
        /// The part that should be a suffix.
        suffix: String,
        /// What was being read.
        unit: UnitKind,
    },
    /// The amount does not fit in 64 bits.
    #[error("quantity {text:?} is too large; at most 2^64 - 1 {unit} can be counted")]
    TooLarge {
        /// The whole text.
        text: String,
        /// What was being read.
        unit: UnitKind,
    },
}

/// A quantity of `unit` to show to somebody who got one wrong.
pub(crate) fn example(unit: UnitKind) -> &'static str {
    match unit {
        UnitKind::Bytes => "512Mi",
        UnitKind::Millicores => "1500m",
        UnitKind::Slots => "8",
    }
}

fn suffixes(unit: UnitKind) -> &'static str {
    match unit {
        UnitKind::Bytes => {
            "Ki Mi Gi Ti Pi Ei, k M G T P E (each with or without a closing B), none"
        }
        UnitKind::Millicores => "m (thousandths), none or cores (whole cores), k",
        UnitKind::Slots => "none or slots, k, M, Ki, Mi",
    }
}

/// Reads `text` as a whole number of `unit`, where one of the unit's written whole is `per_one`
/// of what is counted. Rounds fractions up, as Kubernetes does.
pub(super) fn parse(text: &str, unit: UnitKind, per_one: u64) -> Result<u64, QuantityError> {
    let trimmed = text.trim();
    if trimmed.is_empty() {
        return Err(QuantityError::Empty { unit });
    }
    if let Some(rest) = trimmed.strip_prefix('-')
        && rest.starts_with(|c: char| c.is_ascii_digit() || c == '.')
    {
        return Err(QuantityError::Negative { text: text.to_owned(), unit });
    }
    let unsigned = trimmed.strip_prefix('+').unwrap_or(trimmed);
    let split = unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
    let (number, suffix) = (&unsigned[..split], unsigned[split..].trim_start());
    let Some(digits) = Decimal::read(number) else {
        let number = if number.is_empty() { unsigned } else { number };
        return Err(QuantityError::Number {
            text: text.to_owned(),
            number: number.to_owned(),
            unit,
        });
    };
    let Some(scale) = Scale::read(suffix, unit) else {
        let suffix = suffix.to_owned();
        return Err(QuantityError::Suffix { text: text.to_owned(), suffix, unit });
    };
    digits
        .scaled_up(scale, per_one)
        .ok_or_else(|| QuantityError::TooLarge { text: text.to_owned(), unit })
}

/// What a suffix multiplies by: a power of two, and a power of ten.
#[derive(Clone, Copy)]
struct Scale {
    shift: u32,
    ten: i32,
}

impl Scale {
    fn read(suffix: &str, unit: UnitKind) -> Option<Self> {
        let binary = |shift| Some(Self { shift, ten: 0 });
        let decimal = |ten| Some(Self { shift: 0, ten });
        let bare = match (unit, suffix) {
            (UnitKind::Bytes, _) => suffix.strip_suffix('B').unwrap_or(suffix),
            // As amounts say themselves.
            (UnitKind::Millicores, "core" | "cores") | (UnitKind::Slots, "slot" | "slots") => "",
            _ => suffix,
        };
        match bare {
            "" => decimal(0),
            "n" => decimal(-9),
            "u" => decimal(-6),
            "m" => decimal(-3),
            "k" | "K" => decimal(3),
            "M" => decimal(6),
            "G" => decimal(9),
            "T" => decimal(12),
            "P" => decimal(15),
            "E" => decimal(18),
            "Ki" => binary(10),
            "Mi" => binary(20),
            "Gi" => binary(30),
            "Ti" => binary(40),
            "Pi" => binary(50),
            "Ei" => binary(60),
            _ => decimal(exponent(suffix)?),
        }
    }
}

/// The `6` of `e6` or `E-6`, within what 64 bits could ever need.
fn exponent(suffix: &str) -> Option<i32> {
    let digits = suffix.strip_prefix(['e', 'E'])?;
    digits.parse::<i32>().ok().filter(|ten| (-40..=40).contains(ten))
}

/// `digits / 10^places`.
struct Decimal {
    digits: u128,
    places: i32,
}

impl Decimal {
    /// A decimal with at least one digit, at most one point, and at most 30 digits.
    fn read(number: &str) -> Option<Self> {
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let count = whole.len() + fraction.len();
        if count == 0 || count > 30 {
            return None;
        }
        let fold = |sum: u128, c: char| Some(sum * 10 + u128::from(c.to_digit(10)?));
        let digits = whole.chars().chain(fraction.chars()).try_fold(0, fold)?;
        Some(Self { digits, places: i32::try_from(fraction.len()).ok()? })
    }

    /// `self × scale × per_one`, rounded up; `None` past 64 bits.
    fn scaled_up(&self, scale: Scale, per_one: u64) -> Option<u64> {
        if self.digits == 0 {
            return Some(0);
        }
        let ten = scale.ten - self.places;
        let factor = u128::from(per_one).checked_mul(1 << scale.shift)?;
        if ten >= 0 {
            let power = 10_u128.checked_pow(ten.unsigned_abs())?;
            return self.digits.checked_mul(factor)?.checked_mul(power)?.try_into().ok();
        }
        // Taking out common factors first keeps every fraction of a 64-bit amount in range.
        let mut divisor = 10_u128.checked_pow(ten.unsigned_abs())?;
        let mut digits = self.digits;
        let mut factor = factor;
        for value in [&mut digits, &mut factor] {
            let common = gcd(*value, divisor);
            *value /= common;
            divisor /= common;
        }
        digits.checked_mul(factor)?.div_ceil(divisor).try_into().ok()
    }
}

fn gcd(a: u128, b: u128) -> u128 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::scalar::{Bytes, Millicores, Slots};
    use proptest::prelude::*;

    #[test]
    fn bytes() {
        let check = |text: &str, expected: u64| {
            assert_eq!(text.parse(), Ok(Bytes::new(expected)), "{text}");
        };
        check("0", 0);
        check("0e40", 0);
        check("42", 42);
        check(" 42 ", 42);
        check("+1k", 1000);
        check("1K", 1000);
        check("4Gi", 4 << 30);
        check("512MiB", 512 << 20);
        check("512 MiB", 512 << 20);
        check("2GB", 2_000_000_000);
        check("1.5Ki", 1536);
        check(".5Ki", 512);
        check("1e3", 1000);
        check("12E2", 1200);
        check("1E", 1_000_000_000_000_000_000);
        check("0.1", 1);
        check("1500m", 2);
        check("18446744073709551615", u64::MAX);
        check("15.999999999999999999Ei", u64::MAX);
    }

    #[test]
    fn cores_and_slots() {
        assert_eq!("2".parse(), Ok(Millicores::new(2000)));
        assert_eq!("500m".parse(), Ok(Millicores::new(500)));
        assert_eq!("0.25".parse(), Ok(Millicores::new(250)));
        assert_eq!("100u".parse(), Ok(Millicores::new(1)));
        assert_eq!("8".parse(), Ok(Slots::new(8)));
    }

    #[test]
    fn errors_name_the_text_and_what_is_allowed() {
        let check = |text: &str, expected: &str| {
            assert_eq!(text.parse::<Bytes>().unwrap_err().to_string(), expected);
        };
        check("", "an empty quantity of bytes; write a number and a suffix, such as \"512Mi\"");
        check(
            "4Gx",
            "quantity \"4Gx\": unknown suffix \"Gx\"; use one of Ki Mi Gi Ti Pi Ei, k M G T P E \
             (each with or without a closing B), none",
        );
        check("-1Gi", "quantity \"-1Gi\" is negative; bytes start at 0");
        check(
            "1.2.3Gi",
            "quantity \"1.2.3Gi\": \"1.2.3\" is no decimal number; write it as in \"512Mi\"",
        );
        check("much", "quantity \"much\": \"much\" is no decimal number; write it as in \"512Mi\"");
        check("16Ei", "quantity \"16Ei\" is too large; at most 2^64 - 1 bytes can be counted");
        check(
            "1e99",
            "quantity \"1e99\": unknown suffix \"e99\"; use one of Ki Mi Gi Ti Pi Ei, k M G T P E (each with or without a closing B), none",
        );
        assert!("1B".parse::<Millicores>().is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_answered_without_a_panic(text in "\\PC{0,40}") {
            let _ = text.parse::<Bytes>();
            let _ = text.parse::<Millicores>();
        }

        #[test]
        fn number_like_text_is_answered_without_a_panic(text in "[-+]?[0-9.]{0,34}[eEinumkKMGTPB0-9-]{0,4}") {
            let _ = text.parse::<Bytes>();
        }

        #[test]
        fn a_whole_number_reads_as_itself(count: u64) {
            prop_assert_eq!(count.to_string().parse(), Ok(Bytes::new(count)));
            prop_assert_eq!(format!("{count}m").parse(), Ok(Millicores::new(count)));
        }
    }
}

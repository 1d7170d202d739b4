//! Azure LLM inference traces: one line for each request, with its date.
//!
//! Source: Azure/AzurePublicDataset, `AzureLLMInferenceDataset2023.md`; Patel et al., *Splitwise*
//! (ISCA 2024). The files of 2024 add an offset from UTC, which must be zero.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::lines::{Fields, Lines};
use super::{Format, Trace, TraceError, TraceRequest};

const DATE: &str = "a date as 2023-11-16 18:17:03.9799600, between 1970 and 2500";

pub(super) fn read(mut lines: Lines<'_>) -> Result<Trace, TraceError> {
    let mut records = Vec::new();
    while let Some((number, line)) = lines.next_line()? {
        let mut fields = Fields::new(number, line);
        let text = fields.text("TIMESTAMP")?;
        let date = parse_date(text).ok_or_else(|| fields.wrong("TIMESTAMP", text, DATE))?;
        let input = fields.count("ContextTokens")?;
        records.push((date, input, fields.count("GeneratedTokens")?));
    }
    // Dates are counted from the first before they become timestamps, which start at zero.
    let first = records.iter().map(|(date, ..)| *date).min().ok_or(TraceError::NoRecords)?;
    let request = |(date, input_tokens, output_tokens): (Duration, u32, u32)| TraceRequest {
        at: Timestamp::ZERO + date.saturating_sub(first),
        client: 0,
        input_tokens,
        output_tokens,
        duration: None,
    };
    let requests = records.into_iter().map(request).collect();
    Ok(Trace::of_requests(Format::AzureLlm, vec!["all".to_owned()], requests))
}

/// The time since 1970 in UTC.
fn parse_date(text: &str) -> Option<Duration> {
    let text = text.trim_end_matches('Z').trim_end_matches("+00:00").trim_end();
    let (date, time) = text.split_once([' ', 'T'])?;
    let mut date = date.splitn(3, '-');
    let year = number(date.next()?, 1970..2500)?;
    let month = number(date.next()?, 1..13)?;
    let day = number(date.next()?, 1..32)?;
    let (clock, fraction) = time.split_once('.').unwrap_or((time, ""));
    let mut clock = clock.splitn(3, ':');
    let hour = number(clock.next()?, 0..24)?;
    let minute = number(clock.next()?, 0..60)?;
    let second = number(clock.next()?, 0..60)?;
    let seconds = days(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Duration::from_secs(seconds) + nanos(fraction)?)
}

fn number(text: &str, allowed: std::ops::Range<u64>) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|b| b.is_ascii_digit());
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    if digits { number } else { None }
}

fn nanos(fraction: &str) -> Option<Duration> {
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let padded = format!("{fraction:0<9}");
    padded.parse().ok().map(Duration::from_nanos)
}

/// Days from 1970-01-01 in the Gregorian calendar, with years that begin in March so that the
/// leap day is the last (H. Hinnant, "chrono-compatible low-level date algorithms").
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    365 * year + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_counted_from_1970() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(parse_date(text).map(|d| d.as_secs_f64()), expected, "{text}");
        };
        check("1970-01-01 00:00:00", Some(0.0));
        check("1970-03-01 00:00:00.5", Some(59.0 * 86_400.0 + 0.5));
        check("2000-02-29 12:00:00", Some(951_825_600.0));
        check("2024-05-10 00:00:00.009930+00:00", Some(1_715_299_200.009_93));
        check("2023-11-16T18:17:03Z", Some(1_700_158_623.0));
        check("2023-13-16 18:17:03", None);
        check("2023-11-16", None);
        check("2023-11-16 18:17:+3", None);
        check("2023-11-16 18:17:03.1234567890", None);
    }
}

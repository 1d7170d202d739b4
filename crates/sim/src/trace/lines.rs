//! Lines of text with comma-separated fields.

use std::time::Duration;

use super::TraceError;

/// The longest time that a trace may tell, in seconds: a hundred years. What is beyond it is a
/// damaged number rather than a time.
const MOST_SECONDS: f64 = 100.0 * 366.0 * 86_400.0;

/// The lines of a file that are not empty, with their numbers, counted from one.
#[derive(Debug)]
pub(super) struct Lines<'a> {
    rest: &'a [u8],
    number: usize,
}

impl<'a> Lines<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let rest = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        Self { rest, number: 0 }
    }

    pub(super) fn next_line(&mut self) -> Result<Option<(usize, &'a str)>, TraceError> {
        while !self.rest.is_empty() {
            let end = self.rest.iter().position(|byte| *byte == b'\n');
            let (line, rest) = match end {
                Some(end) => (&self.rest[..end], &self.rest[end + 1..]),
                None => (self.rest, &self.rest[self.rest.len()..]),
            };
            self.rest = rest;
            self.number += 1;
            let text = std::str::from_utf8(line)
                .map_err(|_| TraceError::NoText { line: self.number })?
                .trim_end_matches('\r');
            if !text.trim().is_empty() {
                return Ok(Some((self.number, text)));
            }
        }
        Ok(None)
    }
}

/// The names in a header, without quotes and in lower case.
pub(super) fn header(line: &str) -> Vec<String> {
    line.split(',').map(|name| name.trim().trim_matches('"').to_ascii_lowercase()).collect()
}

/// The fields of one line, taken from left to right.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    line: usize,
    taken: usize,
    rest: std::str::Split<'a, char>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(line: usize, text: &'a str) -> Self {
        Self { line, taken: 0, rest: text.split(',') }
    }

    pub(super) fn text(&mut self, field: &str) -> Result<&'a str, TraceError> {
        let (line, found) = (self.line, self.taken);
        let next = self.rest.next();
        let missing = || TraceError::Missing { line, field: field.to_owned(), found };
        let text = next.ok_or_else(missing)?;
        self.taken += 1;
        Ok(text.trim().trim_matches('"'))
    }

    /// A whole number; one with a fraction of zero counts as whole.
    pub(super) fn count(&mut self, field: &str) -> Result<u32, TraceError> {
        let text = self.text(field)?;
        let whole = text.strip_suffix(".0").unwrap_or(text);
        let wrong = |_| self.wrong(field, text, "a whole number up to 4294967295");
        whole.parse().map_err(wrong)
    }

    /// A number that is not negative.
    pub(super) fn number(&mut self, field: &str) -> Result<f64, TraceError> {
        let text = self.text(field)?;
        let number = text.parse::<f64>().ok();
        let good = number.filter(|number| number.is_finite() && *number >= 0.0);
        good.ok_or_else(|| self.wrong(field, text, "a finite number of zero or more"))
    }

    /// A time in units of `unit` seconds.
    pub(super) fn time(&mut self, field: &str, unit: f64) -> Result<Duration, TraceError> {
        let text = self.text(field)?;
        let seconds = text.parse::<f64>().ok().map(|number| number * unit);
        let good = seconds.filter(|seconds| (0.0..=MOST_SECONDS).contains(seconds));
        let wrong = || self.wrong(field, text, "a time between 0 and 100 years");
        good.map(Duration::from_secs_f64).ok_or_else(wrong)
    }

    pub(super) fn wrong(&self, field: &str, value: &str, allowed: &str) -> TraceError {
        TraceError::field(self.line, field, value, allowed)
    }
}

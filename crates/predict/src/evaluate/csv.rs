//! Series from CSV text.

use plimsoll_core_types::Timestamp;

/// Seconds before 1970 that still count as positive time here: from the year 1 on.
const SHIFT: f64 = 62_135_596_800.0;

/// Why text is no series.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CsvError {
    /// There is no line.
    #[error("the file is empty; a header and at least two rows are needed")]
    Empty,
    /// No such column.
    #[error("no column {wanted:?}; there are: {columns}")]
    NoColumn {
        /// What was asked for.
        wanted: String,
        /// What there is.
        columns: String,
    },
    /// A row has no readable time.
    #[error("line {line}: {text:?} is no time; write seconds, or YYYY-MM-DD HH:MM:SS")]
    Time {
        /// Counted from one.
        line: usize,
        /// What stands there.
        text: String,
    },
    /// A row has no readable value.
    #[error("line {line}: {text:?} is no number; leave the field empty where there is none")]
    Value {
        /// Counted from one.
        line: usize,
        /// What stands there.
        text: String,
    },
}

/// Reads `text`: a header, then a row for each sample. The first column is the time (seconds, or
/// a date with time of day, as in RFC 3339 or with a space); `column` names that of the values, by
/// default the second. An empty field, `NaN` or `null` is no measurement. Lines without anything
/// are left out.
///
/// # Errors
///
/// When there is no such column, or a field can't be read; the error names the line.
pub fn read_csv(
    text: &str,
    column: Option<&str>,
) -> Result<Vec<(Timestamp, Option<f64>)>, CsvError> {
    let mut lines = text.lines().enumerate();
    let (_, header) = lines.next().ok_or(CsvError::Empty)?;
    let columns: Vec<&str> = header.split(',').map(clean).collect();
    let index = match column {
        None if columns.len() > 1 => 1,
        None => return Err(CsvError::NoColumn { wanted: "value".into(), columns: header.into() }),
        Some(name) => columns.iter().position(|column| *column == name).ok_or_else(|| {
            CsvError::NoColumn { wanted: name.to_owned(), columns: columns.join(", ") }
        })?,
    };
    let mut samples = Vec::new();
    for (number, line) in lines.filter(|(_, line)| !line.trim().is_empty()) {
        let line_number = number + 1;
        let mut fields = line.split(',').map(clean);
        let time = fields.next().unwrap_or_default();
        let value = if index == 0 { Some(time) } else { fields.nth(index - 1) };
        let at = seconds(time)
            .ok_or_else(|| CsvError::Time { line: line_number, text: time.to_owned() })?;
        let value = number_or_none(value.unwrap_or_default())
            .map_err(|text| CsvError::Value { line: line_number, text })?;
        samples.push((Timestamp::from_secs_f64(at), value));
    }
    Ok(samples)
}

fn clean(field: &str) -> &str {
    field.trim().trim_matches('"')
}

fn number_or_none(text: &str) -> Result<Option<f64>, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("null") {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|_| text.to_owned())
}

/// Seconds since an epoch that is the same for all rows of one file.
fn seconds(text: &str) -> Option<f64> {
    if let Ok(number) = text.parse::<f64>() {
        return (number.is_finite() && number >= 0.0).then_some(number);
    }
    let text = text.trim_end_matches('Z');
    let (date, time) = text.split_once(['T', ' ']).unwrap_or((text, "0:0:0"));
    let mut date = date.splitn(3, '-').map(str::parse::<i64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    if !(1..=9999).contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let mut seconds = 0.0;
    let time = time.split_once('+').map_or(time, |(time, _)| time);
    for (part, unit) in time.splitn(3, ':').zip([3600.0, 60.0, 1.0]) {
        seconds += part.parse::<f64>().ok().filter(|part| (0.0..61.0).contains(part))? * unit;
    }
    let at = days_from_civil(year, month, day) as f64 * 86_400.0 + seconds;
    // Later than what a timestamp of nanoseconds can hold from the year 1, so shift to 1970 where
    // the date allows it.
    Some(if at >= 0.0 { at } else { at + SHIFT })
}

/// Days since 1970-01-01 of a date of the Gregorian calendar (Howard Hinnant, "chrono-compatible
/// low-level date algorithms").
const fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    era * 146_097 + days - 719_468
}

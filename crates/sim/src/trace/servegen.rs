//! `ServeGen`'s client rates: for each client and window the mean rate and the distribution of gaps.
//!
//! Source: <https://github.com/alibaba/ServeGen>; Xiang et al., "`ServeGen`" (arXiv 2505.09999).

use std::collections::BTreeMap;
use std::time::Duration;

use super::lines::{Fields, Lines};
use super::{Content, Format, Gaps, RateWindow, Trace, TraceError};

/// The most windows that all clients may have together, holes included.
const MOST_WINDOWS: usize = 50_000_000;

pub(super) fn read(mut lines: Lines<'_>) -> Result<Trace, TraceError> {
    let mut clients: BTreeMap<String, BTreeMap<u64, RateWindow>> = BTreeMap::new();
    while let Some((number, line)) = lines.next_line()? {
        let mut fields = Fields::new(number, line);
        let client = fields.text("client")?;
        let at = fields.time("t_s", 1.0)?;
        let window = read_window(&mut fields)?;
        let row = match clients.get_mut(client) {
            Some(row) => row,
            None => clients.entry(client.to_owned()).or_default(),
        };
        row.insert(at.as_secs(), window);
    }
    let window = length(&clients).ok_or(TraceError::NoRecords)?;
    let last = clients.values().filter_map(|row| row.keys().next_back()).max();
    let windows = last.map_or(0, |last| last / window) as usize + 1;
    if windows.saturating_mul(clients.len()) > MOST_WINDOWS {
        return Err(TraceError::TooLarge { limit: MOST_WINDOWS as u64 });
    }
    let mut named: Vec<_> = clients.into_iter().collect();
    named.sort_by_key(|(name, _)| (name.parse::<u64>().unwrap_or(u64::MAX), name.clone()));
    let (names, rows): (Vec<_>, Vec<_>) = named.into_iter().unzip();
    let content = Content::Rates {
        window: Duration::from_secs(window),
        clients: rows.iter().map(|row| fill(row, window, windows)).collect(),
    };
    Ok(Trace { format: Format::ServeGenRates, clients: names, content })
}

fn read_window(fields: &mut Fields<'_>) -> Result<RateWindow, TraceError> {
    let rate = fields.number("rate_rps")?;
    fields.number("cv")?;
    let dist = fields.text("dist")?;
    let shape = fields.number("p1")?;
    fields.number("p2")?;
    let shape_needed = |shape: f64, gaps: Gaps| {
        let good = shape > 0.0;
        good.then_some(gaps)
            .ok_or_else(|| fields.wrong("p1", &shape.to_string(), "a shape above zero"))
    };
    let gaps = match dist {
        "" | "Exponential" | "Poisson" => Gaps::Exponential,
        "Gamma" => shape_needed(shape, Gaps::Gamma { shape })?,
        "Weibull" => shape_needed(shape, Gaps::Weibull { shape })?,
        other => {
            let allowed = "Gamma, Weibull, Exponential, or empty";
            return Err(fields.wrong("dist", other, allowed));
        }
    };
    Ok(RateWindow { rate, gaps })
}

/// The smallest distance between two windows of a client, in seconds.
fn length(clients: &BTreeMap<String, BTreeMap<u64, RateWindow>>) -> Option<u64> {
    let distances = clients.values().flat_map(|row| {
        let starts: Vec<u64> = row.keys().copied().collect();
        starts.windows(2).map(|pair| pair[1] - pair[0]).collect::<Vec<_>>()
    });
    // A single window tells no length; the published ones have ten minutes.
    let single = (!clients.is_empty()).then_some(600);
    distances.min().or(single)
}

/// The windows in a row; one that is missing is silent.
fn fill(row: &BTreeMap<u64, RateWindow>, window: u64, windows: usize) -> Vec<RateWindow> {
    let mut filled = vec![RateWindow::SILENT; windows];
    for (start, rate) in row {
        if let Some(place) = filled.get_mut((start / window) as usize) {
            *place = *rate;
        }
    }
    filled
}

//! Invocations of functions, as the Azure Functions traces tell them.
//!
//! Source: Azure/AzurePublicDataset, `AzureFunctionsDataset2019.md` (counts by the minute) and
//! `AzureFunctionsInvocationTrace2021.md` (ends and durations); Shahrad et al., *Serverless in the
//! wild* (ATC 2020).

use std::collections::HashMap;
use std::time::Duration;

use plimsoll_core_types::Timestamp;

use super::lines::{Fields, Lines};
use super::{Content, Format, Gaps, RateWindow, Trace, TraceError, TraceRequest};

const MINUTE: Duration = Duration::from_mins(1);

pub(super) fn read_counts(mut lines: Lines<'_>, minutes: usize) -> Result<Trace, TraceError> {
    let (mut names, mut clients) = (Vec::new(), Vec::new());
    while let Some((number, line)) = lines.next_line()? {
        let mut fields = Fields::new(number, line);
        fields.text("HashOwner")?;
        let app = fields.text("HashApp")?;
        let function = fields.text("HashFunction")?;
        fields.text("Trigger")?;
        let mut row = Vec::with_capacity(minutes);
        for minute in 1..=minutes {
            let count = fields.count(&minute.to_string())?;
            let rate = f64::from(count) / MINUTE.as_secs_f64();
            row.push(RateWindow { rate, gaps: Gaps::Exponential });
        }
        names.push(format!("{app}/{function}"));
        clients.push(row);
    }
    if clients.is_empty() || minutes == 0 {
        return Err(TraceError::NoRecords);
    }
    let content = Content::Rates { window: MINUTE, clients };
    Ok(Trace { format: Format::FunctionCounts, clients: names, content })
}

pub(super) fn read_invocations(mut lines: Lines<'_>) -> Result<Trace, TraceError> {
    let mut names: Vec<String> = Vec::new();
    let mut known: HashMap<String, u32> = HashMap::new();
    let mut requests = Vec::new();
    while let Some((number, line)) = lines.next_line()? {
        let mut fields = Fields::new(number, line);
        let app = fields.text("app")?;
        let function = fields.text("func")?;
        let end = fields.time("end_timestamp", 1.0)?;
        let duration = fields.time("duration", 1.0)?;
        let name = format!("{app}/{function}");
        let fresh = u32::try_from(names.len()).unwrap_or(u32::MAX);
        let client = *known.entry(name.clone()).or_insert_with(|| {
            names.push(name);
            fresh
        });
        // What began before the trace did is taken to have begun with it.
        let at = Timestamp::ZERO + end.saturating_sub(duration);
        let duration = Some(duration);
        requests.push(TraceRequest { at, client, input_tokens: 0, output_tokens: 0, duration });
    }
    if requests.is_empty() {
        return Err(TraceError::NoRecords);
    }
    Ok(Trace::of_requests(Format::FunctionInvocations, names, requests))
}

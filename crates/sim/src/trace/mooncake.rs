//! Mooncake's traces: milliseconds and lengths, as CSV or as JSON lines.
//!
//! Source: kvcache-ai/Mooncake, `FAST25-release/traces`; Qin et al., *Mooncake* (FAST 2025). The
//! hashes of prefix blocks in the JSON lines are skipped: they are for caches.

use plimsoll_core_types::Timestamp;
use serde::Deserialize;

use super::lines::{Fields, Lines};
use super::{Format, Trace, TraceError, TraceRequest};

/// The largest millisecond that fits a timestamp.
const MOST_MILLIS: u64 = u64::MAX / 1_000_000;

#[derive(Deserialize)]
struct Line {
    timestamp: u64,
    input_length: u32,
    output_length: u32,
}

pub(super) fn read_csv(mut lines: Lines<'_>) -> Result<Trace, TraceError> {
    let mut requests = Vec::new();
    while let Some((number, line)) = lines.next_line()? {
        let mut fields = Fields::new(number, line);
        let at = Timestamp::ZERO + fields.time("timestamp_ms", 1e-3)?;
        let input = fields.count("input_tokens")?;
        requests.push(request(at, input, fields.count("output_tokens")?));
    }
    finish(Format::MooncakeLengths, requests)
}

pub(super) fn read_json(mut lines: Lines<'_>) -> Result<Trace, TraceError> {
    let mut requests = Vec::new();
    while let Some((number, line)) = lines.next_line()? {
        let parsed: Line = serde_json::from_str(line)
            .map_err(|cause| TraceError::Json { line: number, cause: cause.to_string() })?;
        if parsed.timestamp > MOST_MILLIS {
            let value = parsed.timestamp.to_string();
            let allowed = format!("milliseconds up to {MOST_MILLIS}");
            return Err(TraceError::field(number, "timestamp", &value, &allowed));
        }
        let at = Timestamp::from_nanos(parsed.timestamp * 1_000_000);
        requests.push(request(at, parsed.input_length, parsed.output_length));
    }
    finish(Format::MooncakeJson, requests)
}

const fn request(at: Timestamp, input_tokens: u32, output_tokens: u32) -> TraceRequest {
    TraceRequest { at, client: 0, input_tokens, output_tokens, duration: None }
}

fn finish(format: Format, requests: Vec<TraceRequest>) -> Result<Trace, TraceError> {
    if requests.is_empty() {
        return Err(TraceError::NoRecords);
    }
    Ok(Trace::of_requests(format, vec!["all".to_owned()], requests))
}

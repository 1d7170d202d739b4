//! What the demo shows at its end: examples, one table, and the report.

use std::collections::BTreeMap;
use std::time::Duration;

use comfy_table::{Table, presets};
use plimsoll_core_types::{
    Better, Bytes, Check, Millicores, ModelId, Report, ResourceStatus, ResourceVector, Row,
    SystemSnapshot, Timestamp,
};
use plimsoll_integration::check_pool;

use super::answers::Source;
use super::baselines::{Baseline, replay};
use super::catalog::DemoModel;
use super::driver::{Answered, Verdict};
use super::host::Host;
use super::run::{OwnUse, Seen};
use super::{DemoArgs, DemoError};
use crate::journal::{EventKind, Journal};
use crate::output::line;
use crate::traffic_meter::latency_histogram;

/// What was measured while the demo ran.
#[derive(Debug)]
pub(super) struct Measured {
    begun: Timestamp,
    ended: Timestamp,
    limit: ResourceVector,
    peak_promised: ResourceVector,
    peak_used: Bytes,
    broken: Vec<Check>,
    own_first: Option<Duration>,
    own: OwnUse,
    own_peak: Bytes,
    learned: BTreeMap<String, (Bytes, Bytes)>,
    load_times: BTreeMap<ModelId, Duration>,
}

impl Measured {
    pub(super) fn new(begun: Timestamp) -> Self {
        Self {
            begun,
            ended: begun,
            limit: ResourceVector::ZERO,
            peak_promised: ResourceVector::ZERO,
            peak_used: Bytes::ZERO,
            broken: Vec::new(),
            own_first: None,
            own: OwnUse::default(),
            own_peak: Bytes::ZERO,
            learned: BTreeMap::new(),
            load_times: BTreeMap::new(),
        }
    }

    /// Takes what a tick has seen, and looks at the invariants from outside.
    pub(super) fn look(&mut self, snapshot: &SystemSnapshot, own: OwnUse) {
        self.ended = snapshot.at;
        self.limit = self.limit.max(&snapshot.pool.limit);
        self.peak_promised = self.peak_promised.max(&snapshot.pool.promised);
        let used: Bytes = snapshot.engines.iter().map(|engine| engine.used.memory()).sum();
        self.peak_used = self.peak_used.max(used);
        if used > self.limit.memory() {
            self.broken.push(Check {
                name: "measured memory is within the limit".to_owned(),
                holds: false,
                detail: format!("measured {used}, limit {}", self.limit.memory()),
            });
        }
        for engine in &snapshot.engines {
            self.load_times.insert(engine.model.clone(), engine.load_time);
            if engine.believed.memory() != engine.declared.memory() {
                let figures = (engine.declared.memory(), engine.believed.memory());
                self.learned.insert(engine.model.to_string(), figures);
            }
        }
        self.own_first = self.own_first.or(own.cpu);
        self.own_peak = self.own_peak.max(own.anonymous.unwrap_or_default());
        self.own = own;
    }

    pub(super) fn end(&mut self, status: &ResourceStatus, own: OwnUse) {
        let lowered = status.limit != self.limit;
        self.broken.extend(check_pool(status, lowered).into_iter().filter(|check| !check.holds));
        self.ended = status.at;
        self.own = own;
    }

    fn broker_cpu(&self) -> Option<f64> {
        let busy = self.own.cpu?.saturating_sub(self.own_first?);
        let elapsed = self.ended.saturating_since(self.begun);
        Some(busy.as_secs_f64() / elapsed.as_secs_f64().max(f64::MIN_POSITIVE))
    }
}

/// The demo's figures.
pub(super) struct Summary<'a> {
    args: &'a DemoArgs,
    seen: Seen,
    measured: Measured,
    counts: Counts,
    baselines: Vec<Baseline>,
    host: BTreeMap<String, String>,
}

/// Requests by how they ended.
#[derive(Debug, Default)]
struct Counts {
    requests: usize,
    cached: usize,
    warm: usize,
    cold: usize,
    never_fit: usize,
    refused: usize,
    failed: usize,
    p50: Option<Duration>,
    p99: Option<Duration>,
}

impl Counts {
    fn of(answered: &[Answered]) -> Self {
        let mut counts = Self { requests: answered.len(), ..Self::default() };
        let mut latencies = latency_histogram();
        for answer in answered {
            match answer.result {
                Verdict::Well(Source::Cache) => counts.cached += 1,
                Verdict::Well(Source::Warm) => counts.warm += 1,
                Verdict::Well(Source::Cold) => counts.cold += 1,
                Verdict::NeverFits => counts.never_fit += 1,
                Verdict::Refused => counts.refused += 1,
                Verdict::Failed => counts.failed += 1,
            }
            if matches!(answer.result, Verdict::Well(_)) {
                latencies.saturating_record(answer.latency.as_micros() as u64);
            }
        }
        let at = |q| {
            (!latencies.is_empty()).then(|| Duration::from_micros(latencies.value_at_quantile(q)))
        };
        (counts.p50, counts.p99) = (at(0.5), at(0.99));
        counts
    }

    /// Of the requests that reached an engine, those that found it ready.
    fn warm_hit_rate(&self) -> Option<f64> {
        let reached = self.warm + self.cold;
        (reached > 0).then(|| self.warm as f64 / reached as f64)
    }
}

impl<'a> Summary<'a> {
    pub(super) fn new(
        args: &'a DemoArgs,
        seen: Seen,
        measured: Measured,
        answered: &[Answered],
        models: &[DemoModel],
        host: &Host,
    ) -> Self {
        let counts = Counts::of(answered);
        let baselines = replay(models, &measured.load_times, &host.budget, answered);
        Self { args, seen, measured, counts, baselines, host: describe(host) }
    }

    pub(super) fn invariants_broken(&self) -> u64 {
        self.measured.broken.len() as u64 + self.seen.optimizer_broken
    }

    pub(super) fn print(&self, journal: &Journal) {
        line("");
        line("what happened, and why (the first of each):");
        for (kind, what) in SHOWN {
            match journal.first(kind) {
                Some(event) => line(&format!("  {event}")),
                None => line(&format!("  {what} did not happen in this run")),
            }
        }
        line("");
        line(&self.table(journal).to_string());
        for (model, (declared, believed)) in &self.measured.learned {
            line(&format!("learned: {model} declares {declared}, is believed to need {believed}"));
        }
        for check in self.measured.broken.iter().chain(self.seen.checks.iter().filter(|c| !c.holds))
        {
            line(&format!("BROKEN: {}: {}", check.name, check.detail));
        }
    }

    fn table(&self, journal: &Journal) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::UTF8_HORIZONTAL_ONLY);
        let mut header = vec!["figure".to_owned(), "plimsoll, measured".to_owned()];
        header.extend(self.baselines.iter().map(|b| format!("{}, simulated", b.name)));
        table.set_header(header);
        let mut row = |name: &str, own: String, peers: fn(&Baseline) -> String| {
            let mut cells = vec![name.to_owned(), own];
            cells.extend(self.baselines.iter().map(peers));
            table.add_row(cells);
        };
        let none = |_: &Baseline| String::new();
        let (counts, measured) = (&self.counts, &self.measured);
        row("requests", counts.requests.to_string(), |b| b.requests.to_string());
        row("  answered from the cache", counts.cached.to_string(), none);
        row("  that can never fit, refused at once", counts.never_fit.to_string(), none);
        row("  refused for lack of room", counts.refused.to_string(), none);
        row("errors", counts.failed.to_string(), |b| b.errors.to_string());
        row("warm-hit rate of those that reach engines", percent(counts.warm_hit_rate()), |b| {
            percent(Some(b.warm_hit_rate))
        });
        row("latency p50", millis(counts.p50), |b| millis(Some(b.latency_p50)));
        row("latency p99", millis(counts.p99), |b| millis(Some(b.latency_p99)));
        row("loads", loads(journal).to_string(), |b| b.loads.to_string());
        row("  ahead of requests", journal.count(EventKind::Prewarm).to_string(), none);
        row("evictions", journal.count(EventKind::Evicted).to_string(), |b| {
            b.evictions.to_string()
        });
        row("limit", measured.limit.memory().to_string(), none);
        row("peak promised", measured.peak_promised.memory().to_string(), |b| {
            b.peak_promised.to_string()
        });
        row("peak measured, all engines", measured.peak_used.to_string(), none);
        row("broker's own memory, peak", measured.own_peak.to_string(), none);
        row("broker's own CPU, of one core", percent(measured.broker_cpu()), none);
        let (kept, back) = self.seen.judged;
        row("changes judged: kept, taken back", format!("{kept}, {back}"), none);
        row("alerts still up", self.seen.alerts.to_string(), none);
        row("invariants broken", self.invariants_broken().to_string(), none);
        table
    }

    /// The report object.
    pub(super) fn json(&self, journal: &Journal) -> Result<String, DemoError> {
        let report = Report {
            revision: env!("CARGO_PKG_VERSION").to_owned(),
            host: self.host.clone(),
            rows: self.rows(journal),
        };
        serde_json::to_string(&report).map_err(|error| DemoError::internal("writing JSON", &error))
    }

    fn rows(&self, journal: &Journal) -> Vec<Row> {
        use Better::{Higher, Lower};
        let (counts, measured) = (&self.counts, &self.measured);
        let mut rows = Vec::new();
        let mut add =
            |name: &str, value: Option<f64>, unit, better, peer: fn(&Baseline) -> Option<f64>| {
                let Some(value) = value else { return };
                let row = Row::new(&format!("demo.{name}"), value, unit, better)
                    .label("seed", &self.args.seed.to_string());
                let peers = self.baselines.iter().filter_map(|b| peer(b).map(|value| (b, value)));
                rows.push(peers.fold(row, |row, (b, value)| row.peer(b.name, value)));
            };
        let count = |n: usize| Some(n as f64);
        let secs = |d: Option<Duration>| d.map(|d| d.as_secs_f64());
        let bytes = |b: Bytes| Some(b.as_f64());
        let none = |_: &Baseline| None;
        add("requests", count(counts.requests), "requests", Higher, |b| Some(b.requests as f64));
        add("errors", count(counts.failed), "requests", Lower, |b| Some(b.errors as f64));
        add("warm_hit_rate", counts.warm_hit_rate(), "ratio", Higher, |b| Some(b.warm_hit_rate));
        add("latency_p50", secs(counts.p50), "s", Lower, |b| Some(b.latency_p50.as_secs_f64()));
        add("latency_p99", secs(counts.p99), "s", Lower, |b| Some(b.latency_p99.as_secs_f64()));
        add("loads", count(loads(journal)), "loads", Lower, |b| Some(b.loads as f64));
        add("evictions", count(journal.count(EventKind::Evicted)), "evictions", Lower, |b| {
            Some(b.evictions as f64)
        });
        add("refused", count(counts.never_fit + counts.refused), "requests", Lower, none);
        add("prewarms", count(journal.count(EventKind::Prewarm)), "loads", Higher, none);
        add("cache_hit_ratio", Some(self.seen.cache.hit_ratio().get()), "ratio", Higher, none);
        add("limit_bytes", bytes(measured.limit.memory()), "bytes", Higher, none);
        add("peak_promised_bytes", bytes(measured.peak_promised.memory()), "bytes", Lower, |b| {
            Some(b.peak_promised.as_f64())
        });
        add("peak_measured_bytes", bytes(measured.peak_used), "bytes", Lower, none);
        add("broker_anon_bytes", bytes(measured.own_peak), "bytes", Lower, none);
        add("broker_cpu", measured.broker_cpu(), "cores", Lower, none);
        add("invariants_broken", Some(self.invariants_broken() as f64), "checks", Lower, none);
        rows
    }
}

/// The seven things that the demo is there to show.
const SHOWN: [(EventKind, &str); 8] = [
    (EventKind::WarmHit, "a warm hit"),
    (EventKind::Wait, "a wait"),
    (EventKind::Evicted, "an eviction"),
    (EventKind::Refused, "a refusal of what can never fit"),
    (EventKind::Prewarm, "a prewarm from a forecast"),
    (EventKind::Injected, "the injected hang"),
    (EventKind::Replaced, "the replacement of an engine that hangs"),
    (EventKind::Resized, "a measured footprint in the place of a declared one"),
];

/// Engines that came up, whether demanded, prewarmed or replaced.
fn loads(journal: &Journal) -> usize {
    journal.count(EventKind::Ready)
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(String::new, |share| format!("{:.1}%", share * 100.0))
}

fn millis(duration: Option<Duration>) -> String {
    duration.map_or_else(String::new, |d| format!("{:.1} ms", d.as_secs_f64() * 1e3))
}

fn describe(host: &Host) -> BTreeMap<String, String> {
    let cores: Millicores = host.budget.cpu();
    BTreeMap::from([
        ("os".to_owned(), std::env::consts::OS.to_owned()),
        ("arch".to_owned(), std::env::consts::ARCH.to_owned()),
        ("cores".to_owned(), cores.to_string()),
        ("budget".to_owned(), host.budget.memory().to_string()),
    ])
}

//! A host with many models, made from a trace: each client asks for a model of its own.

use std::time::Duration;

use plimsoll_core_types::{Bytes, ModelId, ResourceVector, Timestamp};

use super::{EngineSpec, Job, KvCache, ModelSpec, ServingConfig};
use crate::generate::{Drawn, arrivals};
use crate::random::Random;
use crate::trace::{Content, Trace, TraceRequest};

/// How a host is made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct HostOptions {
    /// Names the draw of sizes, and of requests where the trace has rates. Default 0.
    pub seed: u64,
    /// How many models; the clients beyond them are left out, as evenly over their ranks as can
    /// be, so that the busiest and the idlest stay in. A trace of fewer clients has fewer, and one
    /// of a single client is spread over this many by Zipf's law. Default 12.
    pub models: usize,
    /// The budget as a share of what all models need together. Default 0.5.
    pub budget: f64,
    /// From which moment of the trace on. Default its beginning.
    pub from: Duration,
    /// For how long. Default a day.
    pub span: Duration,
    /// How many requests there are in the mean, per second, at most: rates are scaled to it, and
    /// of single requests so many are taken, by lot. Default 0.5, which a machine can serve.
    pub rate: f64,
    /// At most so many requests. Default a million.
    pub most: usize,
}

impl Default for HostOptions {
    fn default() -> Self {
        Self {
            seed: 0,
            models: 12,
            budget: 0.5,
            from: Duration::ZERO,
            span: Duration::from_hours(24),
            rate: 0.5,
            most: 1_000_000,
        }
    }
}

/// Engines, what is asked of them, and the rules of their host.
#[derive(Clone, Debug, PartialEq)]
pub struct Host {
    /// The engines.
    pub engines: Vec<EngineSpec>,
    /// What is asked for, in order of time.
    pub jobs: Vec<Job>,
    /// The host's rules: half of what is asked for fits unless the options say otherwise; a
    /// request is given up after a minute; plans are made each half second.
    pub config: ServingConfig,
    /// True where the trace had one client, whose requests were spread over models.
    pub spread: bool,
}

/// Sizes of models, in GiB: what people run on one machine.
const SIZES: [u64; 8] = [2, 3, 5, 8, 14, 20, 26, 40];
/// How fast weights come from disk, in GiB per second.
const DISK: f64 = 1.5;
/// What a load takes beside that, in seconds.
const START: f64 = 2.0;
/// Tokens that a small model reads per second, and writes.
const READS: f64 = 8000.0;
const WRITES: f64 = 80.0;
/// The share of its memory that a model keeps for tokens: one in so many.
const KV_PART: u64 = 5;
/// Shares of a single client's models fall with the rank to this power.
const ZIPF: f64 = 1.1;

impl Host {
    /// The host that `options` make of `trace`.
    pub fn of(trace: &Trace, options: &HostOptions) -> Self {
        let mut random = Random::new(options.seed);
        let (mut sizes, mut lengths, mut spread) = (random.fork(1), random.fork(2), random.fork(3));
        let drawn = draw(trace, options);
        let requests = drawn.requests().unwrap_or_default();
        let single = trace.clients.len() == 1;
        let clients = drawn.clients.len().max(1);
        let count = if single { options.models.max(1) } else { options.models.clamp(1, clients) };
        let mut engines: Vec<_> = (0..count).map(|index| engine(index, &mut sizes)).collect();
        let zipf = Zipf::new(count);
        let mut jobs = Vec::with_capacity(requests.len());
        for request in requests {
            let model = if single { zipf.draw(&mut spread) } else { request.client as usize };
            jobs.push(job(request, model, &engines[model], &mut lengths));
        }
        give_slots(&mut engines, &jobs);
        let whole: Bytes = engines.iter().map(|engine| engine.model.amount.memory()).sum();
        let largest = engines.iter().map(|e| e.model.amount.memory()).max().unwrap_or_default();
        let budget = Bytes::from_f64(whole.as_f64() * options.budget).max(largest);
        let config = ServingConfig {
            limit: ResourceVector::new().with_memory(budget),
            within: Duration::from_mins(1),
            tick: Duration::from_millis(500),
        };
        Self { engines, jobs, config, spread: single }
    }
}

/// Each engine gets twice the slots that its requests keep busy in their busiest minute, in powers
/// of two from four to 64: its operator knew how much it is used.
fn give_slots(engines: &mut [EngineSpec], jobs: &[Job]) {
    let mut busy: Vec<(u64, f64, f64)> = vec![(0, 0.0, 0.0); engines.len()];
    for job in jobs {
        let (minute, seconds, most) = &mut busy[job.model];
        let now = job.at.as_nanos() / 60_000_000_000;
        if now != *minute {
            (*minute, *seconds) = (now, 0.0);
        }
        *seconds += job.service.as_secs_f64();
        *most = most.max(*seconds / 60.0);
    }
    for (engine, (_, _, most)) in engines.iter_mut().zip(busy) {
        engine.model.slots = ((2.0 * most).ceil() as usize).next_power_of_two().clamp(4, 64);
    }
}

/// The requests of the clients that stay, who are numbered anew.
fn draw(trace: &Trace, options: &HostOptions) -> Trace {
    let totals = totals(trace);
    let mut ranked: Vec<usize> = (0..totals.len()).filter(|c| totals[*c] > 0.0).collect();
    ranked.sort_by(|a, b| totals[*b].total_cmp(&totals[*a]));
    let keep = options.models.clamp(1, ranked.len().max(1));
    let kept: Vec<usize> = (0..keep)
        .filter_map(|k| {
            ranked.get(k * ranked.len().saturating_sub(1) / keep.saturating_sub(1).max(1))
        })
        .copied()
        .collect();
    let clients = kept.iter().map(|client| trace.clients[*client].clone()).collect();
    let content = match &trace.content {
        Content::Rates { window, clients: rows } => Content::Rates {
            window: *window,
            clients: kept.iter().map(|client| rows[*client].clone()).collect(),
        },
        Content::Requests(requests) => {
            let from = Timestamp::ZERO + options.from;
            let within = |at: Timestamp| at >= from && at.saturating_since(from) < options.span;
            let renamed = requests.iter().filter(|r| within(r.at)).filter_map(|request| {
                let client = kept.iter().position(|client| *client == request.client as usize)?;
                let at = Timestamp::ZERO + request.at.saturating_since(from);
                Some(TraceRequest { at, client: client as u32, ..*request })
            });
            let renamed: Vec<_> = renamed.collect();
            Content::Requests(thin(renamed, options))
        }
    };
    let part = Trace { format: trace.format, clients, content };
    let span = options.span.min(part.span().saturating_sub(options.from));
    let total: f64 = expected(&part, options.from, span);
    let scale = if total > 0.0 { options.rate * span.as_secs_f64() / total } else { 0.0 };
    let (seed, from, most) = (options.seed, options.from, options.most);
    arrivals(&part, &Drawn { seed, scale, from, span, most })
}

/// So many of `requests` as the options allow, by lot.
fn thin(requests: Vec<TraceRequest>, options: &HostOptions) -> Vec<TraceRequest> {
    let (Some(first), Some(last)) = (requests.first(), requests.last()) else { return requests };
    let span = last.at.saturating_since(first.at).as_secs_f64();
    let share = options.rate * span / requests.len() as f64;
    let mut random = Random::new(options.seed ^ 0x7461_6b65);
    let taken = requests.into_iter().filter(|_| random.uniform() < share);
    taken.take(options.most).collect()
}

/// How many requests each client makes.
fn totals(trace: &Trace) -> Vec<f64> {
    match &trace.content {
        Content::Rates { clients, .. } => {
            clients.iter().map(|row| row.iter().map(|window| window.rate).sum()).collect()
        }
        Content::Requests(requests) => {
            let mut totals = vec![0.0; trace.clients.len()];
            for request in requests {
                totals[request.client as usize] += 1.0;
            }
            totals
        }
    }
}

/// How many requests rates make up in a part of the trace.
fn expected(trace: &Trace, from: Duration, span: Duration) -> f64 {
    let Content::Rates { window, clients } = &trace.content else { return 0.0 };
    let nanos = window.as_nanos().max(1);
    let (first, count) = ((from.as_nanos() / nanos) as usize, (span.as_nanos() / nanos) as usize);
    let part = |row: &Vec<crate::trace::RateWindow>| {
        row.iter().skip(first).take(count).map(|window| window.rate).sum::<f64>()
    };
    clients.iter().map(part).sum::<f64>() * window.as_secs_f64()
}

fn engine(index: usize, random: &mut Random) -> EngineSpec {
    let gib = SIZES[random.below(SIZES.len())];
    let amount = Bytes::from_gib(gib);
    let name = format!("model-{index}-{gib}g");
    let load = START + gib as f64 / DISK;
    EngineSpec {
        model: ModelSpec {
            id: ModelId::new(&name).unwrap_or_else(|_| unreachable!("letters, digits and dashes")),
            amount: ResourceVector::new().with_memory(amount),
            load_time: Duration::from_secs_f64(load),
            slots: 4,
        },
        // Batching is nearly free until the memory's bandwidth is used up.
        contention: 0.03,
        kv: Some(KvCache {
            room: Bytes::new(amount.get() / KV_PART),
            // Keys and values of a layer grow more slowly than weights.
            per_token: Bytes::from_kib(16 * (1 + gib / 4)),
        }),
    }
}

fn job(request: &TraceRequest, model: usize, engine: &EngineSpec, random: &mut Random) -> Job {
    let known = request.input_tokens + request.output_tokens > 0;
    let drawn =
        |random: &mut Random, median| random.log_normal(median, 0.9).clamp(1.0, 8192.0) as u32;
    let input = if known { request.input_tokens } else { drawn(random, 600.0) };
    let output = if known { request.output_tokens } else { drawn(random, 120.0) };
    // A model of twice the size takes the square root of two times as long: larger ones get
    // larger devices.
    let size = (engine.model.amount.memory().as_f64() / Bytes::from_gib(8).as_f64()).sqrt();
    let seconds = (f64::from(input) / READS + f64::from(output) / WRITES) * size;
    let service = request.duration.unwrap_or(Duration::from_secs_f64(seconds));
    Job { at: request.at, model, service, tokens: input.saturating_add(output) }
}

/// Ranks drawn by Zipf's law.
struct Zipf {
    sums: Vec<f64>,
}

impl Zipf {
    fn new(count: usize) -> Self {
        let mut sum = 0.0;
        let add = |rank: usize| {
            sum += (rank as f64).powf(-ZIPF);
            sum
        };
        Self { sums: (1..=count).map(add).collect() }
    }

    fn draw(&self, random: &mut Random) -> usize {
        let drawn = random.uniform() * self.sums.last().copied().unwrap_or(1.0);
        self.sums.partition_point(|sum| *sum <= drawn).min(self.sums.len().saturating_sub(1))
    }
}

//! Single requests from rates.
//!
//! For each client and window, gaps are drawn from the window's distribution, so that bursts are
//! the client's own and not those of a crowd: Xiang et al., "`ServeGen`" (arXiv 2505.09999), §5.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

use crate::random::Random;
use crate::trace::{Content, Format, Gaps, RateWindow, Trace, TraceRequest};

/// How requests are drawn from rates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Drawn {
    /// Names the draw.
    pub seed: u64,
    /// Rates are multiplied by this.
    pub scale: f64,
    /// From which moment of the trace on.
    pub from: Duration,
    /// For how long.
    pub span: Duration,
    /// At most so many requests; the rest of the span is left out.
    pub most: usize,
}

impl Default for Drawn {
    /// The first day at the trace's own rates, at most ten million requests.
    fn default() -> Self {
        Self {
            seed: 0,
            scale: 1.0,
            from: Duration::ZERO,
            span: Duration::from_hours(24),
            most: 10_000_000,
        }
    }
}

/// Requests drawn from `trace`, which keep its clients and have no lengths. A trace that has
/// single requests already is given back as it is.
pub fn arrivals(trace: &Trace, drawn: &Drawn) -> Trace {
    let Content::Rates { window, clients } = &trace.content else { return trace.clone() };
    let mut requests = Vec::new();
    let mut random = Random::new(drawn.seed);
    let first = (drawn.from.as_nanos() / window.as_nanos().max(1)) as usize;
    let windows = (drawn.span.as_nanos() / window.as_nanos().max(1)) as usize;
    for index in first..first.saturating_add(windows) {
        let start = Timestamp::ZERO + window.saturating_mul((index - first) as u32);
        let mut any = false;
        for (client, row) in clients.iter().enumerate() {
            let mut own = random.fork(client as u64);
            let Some(rate) = row.get(index) else { continue };
            any = true;
            draw(&mut requests, rate, drawn.scale, client as u32, start, *window, &mut own);
        }
        if !any || requests.len() >= drawn.most {
            break;
        }
    }
    requests.sort_by_key(|request| request.at);
    requests.truncate(drawn.most);
    let content = Content::Requests(requests);
    Trace { format: Format::Generated, clients: trace.clients.clone(), content }
}

fn draw(
    requests: &mut Vec<TraceRequest>,
    window: &RateWindow,
    scale: f64,
    client: u32,
    start: Timestamp,
    length: Duration,
    random: &mut Random,
) {
    let rate = window.rate * scale;
    if rate <= 0.0 {
        return;
    }
    let mean_gap = 1.0 / rate;
    let length = length.as_secs_f64();
    // The first gap begins somewhere before the window, so that its start is like any moment.
    let mut at = (random.uniform() - 1.0) * mean_gap;
    // Enough to hold the mean many times over, so that a tiny gap can't draw for ever.
    let most = (length * rate * 50.0) as usize + 1000;
    for _ in 0..most {
        at += mean_gap * gap(window.gaps, random);
        if at >= length {
            break;
        }
        if at >= 0.0 {
            let at = start + Duration::from_secs_f64(at);
            let (input_tokens, output_tokens) = (0, 0);
            let duration = None;
            requests.push(TraceRequest { at, client, input_tokens, output_tokens, duration });
        }
    }
}

/// A gap with mean 1.
fn gap(gaps: Gaps, random: &mut Random) -> f64 {
    match gaps {
        Gaps::Exponential => random.exponential(),
        Gaps::Gamma { shape } => random.gamma(shape),
        Gaps::Weibull { shape } => random.weibull(shape),
    }
}

//! What the broker's front adds to an engine's answer at a thousand requests a second, beside nginx
//! as a reverse proxy to the same engine, and what either takes of a core for it.

use std::net::SocketAddr;

use hyper::Method;
use plimsoll_bench::{Better, Contender, Row, contest, emit, size, wanted};
use plimsoll_bench_target::{Broker, Load, Nginx, ask, load, median, quantile};
use plimsoll_core_types::{Clock as _, SystemClock};
use plimsoll_cpu::process::ProcessCpu;
use tokio::runtime::{Builder, Runtime};

const MODEL: &str = "[host]\nmemory = \"200Mi\"\n[models.small]\nembedded = \"64Ki\"\nslots = 64\n";
const LOAD: Load = Load {
    rate: 1000,
    connections: 32,
    requests: 2016,
    path: "/v1/embeddings",
    body: r#"{"model":"small","input":"hello"}"#,
};
const NAMES: [&str; 5] = [
    "broker.added_latency_p50",
    "broker.added_latency_p99",
    "broker.cpu_at_1000rps",
    "target.response_p99",
    "target.cpu",
];
/// What the broker may take of nginx's added latency at most.
const TIMES_NGINX: f64 = 1.5;

fn main() {
    if !NAMES.iter().any(|name| wanted(name)) {
        return;
    }
    let runtime = Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.expect("a runtime");
    let broker = Broker::start(MODEL);
    let engine = runtime.block_on(engine(broker.address));
    let nginx = Nginx::start(engine);
    let mut cpu = [Vec::new(), Vec::new()];
    let figures = measure(&runtime, engine, &broker, nginx.as_ref(), &mut cpu);
    report(&figures, &cpu);
}

/// Has the model loaded, and says where its engine listens.
async fn engine(front: SocketAddr) -> SocketAddr {
    let (status, _) = ask(front, Method::POST, LOAD.path, LOAD.body).await;
    assert!(status.is_success(), "the model loads: {status}");
    let (_, body) = ask(front, Method::GET, "/running", "").await;
    let running: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
    let address = running["running"][0]["engine"]["proxy"].as_str().expect("an address");
    address.parse().expect("an address")
}

/// Latencies by contender and round, the 50th and the 99th percentile in turn, in seconds.
fn measure(
    runtime: &Runtime,
    engine: SocketAddr,
    broker: &Broker,
    nginx: Option<&Nginx>,
    cpu: &mut [Vec<f64>; 2],
) -> Vec<[Vec<f64>; 2]> {
    let clock = SystemClock::new();
    let load = Load { requests: size(LOAD.requests, 64), ..LOAD };
    let mut tails = vec![Vec::new(); 3];
    let [own, theirs] = cpu;
    let mut contenders: Vec<Contender<'_>> = Vec::new();
    let (direct, rest) = tails.split_at_mut(1);
    let (front, proxy) = rest.split_at_mut(1);
    contenders.push(("direct", Box::new(|| round(runtime, engine, load, &mut direct[0]))));
    contenders.push((
        "plimsoll",
        Box::new(|| {
            measured(&clock, Some(broker.pid()), own, || {
                round(runtime, broker.address, load, &mut front[0])
            })
        }),
    ));
    if let Some(nginx) = nginx {
        contenders.push((
            "nginx",
            Box::new(|| {
                measured(&clock, nginx.worker(), theirs, || {
                    round(runtime, nginx.address, load, &mut proxy[0])
                })
            }),
        ));
    }
    let halves = contest(size(7, 1), &mut contenders);
    drop(contenders);
    halves.into_iter().zip(tails).map(|(p50, p99)| [p50, p99]).collect()
}

/// One round: the 99th percentile goes to `tails`, the median is the answer.
fn round(runtime: &Runtime, to: SocketAddr, what: Load, tails: &mut Vec<f64>) -> f64 {
    let took = runtime.block_on(load(to, what));
    tails.push(quantile(&took, 0.99));
    quantile(&took, 0.5)
}

/// What `work` answers; the share of a core that `pid` took meanwhile goes to `shares`.
fn measured(
    clock: &SystemClock,
    pid: Option<u32>,
    shares: &mut Vec<f64>,
    work: impl FnOnce() -> f64,
) -> f64 {
    let process = pid.and_then(|pid| ProcessCpu::open(pid).ok());
    let sample = || process.as_ref().and_then(|process| process.sample(clock.now()).ok());
    let before = sample();
    let answer = work();
    if let (Some(before), Some(after)) = (before, sample()) {
        let elapsed = after.at.saturating_since(before.at).as_secs_f64();
        shares.push(after.cpu.saturating_sub(before.cpu).as_secs_f64() / elapsed * 100.0);
    }
    answer
}

fn report(figures: &[[Vec<f64>; 2]], cpu: &[Vec<f64>; 2]) {
    // What a proxy adds, round by round: the machine's mood is the same within one.
    let added = |contender: usize, which: usize| {
        let proxied = figures.get(contender)?[which].iter();
        let pairs = proxied.zip(&figures[0][which]).map(|(with, without)| with - without);
        Some(median(&pairs.collect::<Vec<_>>()))
    };
    let row = |name: &str, value: f64, unit: &str, goal: f64, peer: Option<f64>| {
        let row = Row::new(name, value, unit, Better::Lower).goal(goal);
        emit(&peer.into_iter().fold(row, |row, value| row.peer("nginx", value)));
    };
    if let Some(p50) = added(1, 0) {
        let nginx = added(2, 0);
        row(NAMES[0], p50, "s", nginx.map_or(1e-3, |nginx| nginx * TIMES_NGINX), nginx);
    }
    if let Some(p99) = added(1, 1) {
        let nginx = added(2, 1);
        let goal = nginx.map_or(1e-3, |nginx| (nginx * TIMES_NGINX).min(1e-3));
        row(NAMES[1], p99, "s", goal, nginx);
        row(NAMES[3], p99, "s", 10e-3, nginx);
    }
    if !cpu[0].is_empty() {
        let nginx = (!cpu[1].is_empty()).then(|| median(&cpu[1]));
        row(NAMES[2], median(&cpu[0]), "% of a core", 5.0, nginx);
        row(NAMES[4], median(&cpu[0]), "% of a core", 30.0, nginx);
    }
}

//! The broker's own memory with a thousand models known and ten thousand leases held.

use std::fmt::Write as _;

use hyper::{Method, StatusCode};
use plimsoll_bench::{Better, Row, emit, size, wanted};
use plimsoll_bench_target::{Broker, ask};
use plimsoll_memory::process::ProcessMemory;
use tokio::runtime::Builder;

const NAMES: [&str; 2] = ["broker.anon_bytes_1000_models_10000_leases", "target.memory_overhead"];

fn main() {
    if !NAMES.iter().any(|name| wanted(name)) {
        return;
    }
    let (models, leases) = size((1000, 10_000), (10, 50));
    let mut config = "[host]\nmemory = \"2Gi\"\n".to_owned();
    for model in 0..models {
        let _ = writeln!(config, "[models.model-{model}]\nembedded = \"16Mi\"");
    }
    let broker = Broker::start(&config);
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        for lease in 0..leases {
            let body = format!(
                r#"{{"name":"job-{}","memory":"64Ki","ttl_seconds":3600}}"#,
                lease % models
            );
            let (status, body) = ask(broker.address, Method::POST, "/v1/leases", &body).await;
            assert_eq!(status, StatusCode::CREATED, "lease {lease}: {body:?}");
        }
    });
    let process = ProcessMemory::open(broker.pid()).expect("it runs");
    let anon = process.exact().expect("its own maps").anonymous.as_f64();
    let row = |name: &str, goal: f64| {
        let labels = [("models", models), ("leases", leases)];
        let row = Row::new(name, anon, "bytes", Better::Lower).goal(goal);
        emit(&labels.iter().fold(row, |row, (key, value)| row.label(key, &value.to_string())));
    };
    row(NAMES[0], 10e6);
    row(NAMES[1], 50e6);
}

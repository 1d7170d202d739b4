//! What Prometheus reads of each model, beside what the optimizer exports of the whole.

use std::fmt::Write as _;

use plimsoll_core_types::{EngineSnapshot, EngineState};

type Figure = (&'static str, &'static str, &'static str, fn(&EngineSnapshot) -> f64);

/// Name, type, help, and value of each figure.
const FIGURES: [Figure; 8] = [
    ("plimsoll_model_promised_bytes", "gauge", "Memory that the model's lease holds", |e| {
        e.promised.memory().as_f64()
    }),
    (
        "plimsoll_model_used_bytes",
        "gauge",
        "Memory that the model's engine is measured to use",
        |e| e.used.memory().as_f64(),
    ),
    ("plimsoll_model_believed_bytes", "gauge", "Memory that the next load asks for", |e| {
        e.believed.memory().as_f64()
    }),
    ("plimsoll_model_cpu_cores", "gauge", "Cores that the engine is measured to use", |e| {
        e.used.cpu().as_cores()
    }),
    ("plimsoll_model_requests_in_progress", "gauge", "Requests in progress", |e| {
        e.in_progress as f64
    }),
    ("plimsoll_model_requests_waiting", "gauge", "Requests that wait for the model", |e| {
        e.waiting as f64
    }),
    ("plimsoll_model_arrivals_total", "counter", "Requests for the model", |e| e.arrivals as f64),
    ("plimsoll_model_ready", "gauge", "1 while an engine serves the model", |e| {
        f64::from(u8::from(e.state == EngineState::Ready))
    }),
];

/// Writes the figures of `engines` in Prometheus' text format.
pub(crate) fn each_model(engines: &[EngineSnapshot], out: &mut String) {
    for (name, kind, help, value) in FIGURES {
        // Writing to a text can't fail.
        let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for engine in engines {
            let model = escaped(engine.model.as_str());
            let _ = writeln!(out, "{name}{{model=\"{model}\"}} {}", value(engine));
        }
    }
}

/// Writes whether what is to be kept can't be.
pub(crate) fn store(failing: bool, out: &mut String) {
    let name = "plimsoll_store_failing";
    let help = "1 while leases can't be written, and would be lost with the broker";
    // Writing to a text can't fail.
    let _ =
        writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {}", u8::from(failing));
}

/// A label's value as the format wants it.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

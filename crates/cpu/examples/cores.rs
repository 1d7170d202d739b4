//! How many cores there are to count on here, who limits them, and how two engines should share
//! them: `cargo run -p plimsoll-cpu --example cores`.

use std::error::Error;
use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{
    Clock as _, ConsumerId, CpuManager as _, ManualClock, Priority, SystemClock,
};
use plimsoll_cpu::apply::{EngineKind, LaunchAdvice};
use plimsoll_cpu::threads::Throughput;
use plimsoll_cpu::{CpuConfig, CpuService, HostCpu};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let host = Arc::new(HostCpu::system());
    let effective = host.effective(SystemClock::new().now());
    writeln!(out, "{} to count on, limited by {:?}", effective.cores, effective.limited_by)?;

    // What a supervisor would have seen: chat doubles its speed with its threads, embeddings
    // hardly gain by a second one. The first report after a change belongs to neither count.
    let clock = Arc::new(ManualClock::new());
    let cpu = CpuService::new(host, clock.clone(), CpuConfig::default());
    for threads in [1_u32, 1, 1, 2, 2, 2, 4, 4, 4] {
        clock.advance(Duration::from_secs(10));
        for (name, gain) in [("chat", 1.0), ("embeddings", 0.1)] {
            let speed = 100.0 * (1.0 + gain * f64::from(threads - 1));
            cpu.observe_throughput(&Throughput {
                consumer: ConsumerId::new(name)?,
                priority: Priority::Normal,
                at: clock.now(),
                threads,
                work: (speed * 10.0) as u64,
                busy: Duration::from_secs(10),
            });
        }
    }
    for given in cpu.optimize_threads().assignments {
        writeln!(out, "{}: {} threads, {}", given.consumer, given.threads, given.reason)?;
        for program in ["llama-server", "python3"] {
            let advice = LaunchAdvice::new(EngineKind::of(program), given.threads);
            let settings: Vec<_> = advice.settings.iter().map(ToString::to_string).collect();
            writeln!(out, "  as {program}: {}", settings.join(" "))?;
        }
    }
    Ok(())
}

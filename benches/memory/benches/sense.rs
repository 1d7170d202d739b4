//! What it costs to look at the host a hundred times a second.

use std::hint::black_box;

use plimsoll_bench::{Better, Contender, OWN, Row, contest, criterion, emit, size, wanted};
use plimsoll_core_types::{CapacityProbe, Clock, SystemClock};
use plimsoll_memory::process::ProcessMemory;
use plimsoll_memory::{HostMemory, PortableMemory};

/// Looks at the host a second.
const LOOKS: f64 = 100.0;

fn main() {
    if wanted("memory.sense_100hz_cpu") {
        share_of_a_core();
    }
    let mut criterion = criterion();
    let mut group = criterion.benchmark_group("memory.process_sample");
    if let Ok(own) = ProcessMemory::open(std::process::id()) {
        group.bench_function(OWN, |b| b.iter(|| black_box(own.sample().is_ok())));
        group.bench_function("quick", |b| b.iter(|| black_box(own.quick().is_ok())));
        group.bench_function("smaps-rollup", |b| b.iter(|| black_box(own.exact().is_ok())));
    }
    group.finish();
    criterion.final_summary();
}

/// Seconds of a core that a hundred looks take: nothing is waited for within one, so that the time
/// of one is CPU time where nobody else runs.
fn share_of_a_core() {
    let clock = SystemClock::new();
    let looks = size(200, 20);
    let figure = |probe: &dyn CapacityProbe| {
        let begun = clock.now();
        for _ in 0..looks {
            assert!(black_box(probe.sample(clock.now())).is_ok(), "this host can be measured");
        }
        clock.now().saturating_since(begun).as_secs_f64() / f64::from(looks)
    };
    let (own, portable) = (HostMemory::system(), PortableMemory::system());
    let mut contenders: [Contender<'_>; 2] =
        [(OWN, Box::new(|| figure(&own))), ("sysinfo", Box::new(|| figure(&portable)))];
    let figures = contest(size(40, 2), &mut contenders);
    let percent = |figures: &[f64]| median(figures) * LOOKS * 100.0;
    let row =
        Row::new("memory.sense_100hz_cpu", percent(&figures[0]), "% of a core", Better::Lower)
            .goal(0.2)
            .peer("sysinfo", percent(&figures[1]));
    emit(&row);
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

//! What the loop itself costs: one round over components that answer at once, and nothing to do.
//!
//! `components` counts models, each of which is one engine to look at, one lease to check and one
//! series to keep. `plimsoll` calls its components on a thread of their own, as it does by default;
//! `inline` calls them on its own. `floor` is what fleet and pool take to tell how they are, over
//! what they told before: a loop that looks at everything can't cost less.

#[path = "../../../crates/integration/tests/idle/mod.rs"]
mod idle;

use std::hint::black_box;
use std::time::Duration;

use plimsoll_bench::{OWN, criterion, goal, size};

use idle::System;

fn main() {
    let mut criterion = criterion();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    for components in size(vec![10, 100, 1000], vec![10, 100]) {
        let row = format!("integration.tick{{components={components}}}");
        if components == 1000 {
            goal(&row, 300_000.0);
        }
        let mut group = criterion.benchmark_group(row);
        for (name, isolate) in [(OWN, true), ("inline", false)] {
            let System { clock, parts, optimizer } =
                runtime.block_on(System::of(components, isolate));
            group.bench_function(name, |bencher| {
                bencher.iter(|| {
                    clock.advance(Duration::from_millis(100));
                    assert!(runtime.block_on(optimizer.tick()).is_empty());
                });
            });
            if !isolate {
                group.bench_function("floor", |bencher| {
                    let (mut engines, mut pool) = (parts.fleet.engines(), parts.pool.monitor());
                    bencher.iter(|| {
                        parts.fleet.engines_into(&mut engines);
                        parts.pool.monitor_into(&mut pool);
                        black_box((engines.len(), pool.leases.len()))
                    });
                });
            }
        }
        group.finish();
    }
    criterion.final_summary();
}

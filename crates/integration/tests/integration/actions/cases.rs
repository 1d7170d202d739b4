//! What makes each kind of action come about.

use std::sync::{Arc, LazyLock};

use plimsoll_core_types::{Bytes, CachePolicy, ConsumerId, EngineState, ResourceRequest};
use plimsoll_integration::resilience::ScaleConfig;
use plimsoll_integration::{Degrading, PlanConfig, Scaling, Shedding};

use super::super::mem;
use super::stage::Stage;

/// How one kind of action comes about.
pub(super) struct Case {
    pub(super) kind: &'static str,
    pub(super) plan: fn(&mut PlanConfig),
    pub(super) begin: fn(&Arc<Stage>),
    /// What happens in each second.
    pub(super) second: fn(&Stage),
}

const STILL: Case = Case { kind: "", plan: |_| {}, begin: |_| {}, second: |_| {} };

/// Somebody who waits for a lease, until it is there.
fn ask(stage: &Arc<Stage>, name: &'static str, mib: u64) {
    let pool = Arc::clone(&stage.pool);
    let request = ResourceRequest::new(ConsumerId::new(name).unwrap(), mem(mib)).unwrap();
    tokio::spawn(async move {
        let lease = pool.allocate(request).await;
        // It is held until the test ends.
        std::future::pending::<()>().await;
        drop(lease);
    });
}

pub(super) static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| {
    let waits = |stage: &Arc<Stage>| stage.with("a", |e| (e.in_progress, e.waiting) = (1, 40));
    vec![
        Case { kind: "set_limit", begin: |stage| *stage.host.used.lock() = 850, ..STILL },
        Case {
            kind: "resize_lease",
            begin: |stage| {
                stage.with("a", |e| {
                    (e.believed, e.used, e.peak, e.samples) = (mem(200), mem(180), mem(190), 100);
                });
            },
            ..STILL
        },
        Case { kind: "evict", begin: |stage| ask(stage, "job", 250), ..STILL },
        Case {
            kind: "prewarm",
            begin: |stage| {
                stage.resize("answers", |_| 10);
                *stage.cache.bytes.lock() = 10;
            },
            second: |stage| {
                let warm = stage.with("b", |e| e.state == EngineState::Ready);
                stage.with("b", |e| e.arrivals += u64::from(warm));
            },
            ..STILL
        },
        Case { kind: "replace", begin: |stage| stage.with("a", |e| e.missed_probes = 3), ..STILL },
        Case {
            kind: "set_threads",
            second: |stage| stage.with("a", |e| (e.arrivals, e.in_progress) = (e.arrivals + 30, 1)),
            ..STILL
        },
        Case {
            kind: "retune",
            begin: |stage| *stage.cache.policy.lock() = CachePolicy::Lru,
            ..STILL
        },
        Case {
            kind: "shift_bytes",
            plan: |plan| plan.cache_least = Some(Bytes::from_mib(20)),
            begin: |stage| {
                stage.with("a", |e| e.pinned = true);
                ask(stage, "job", 100);
            },
            ..STILL
        },
        Case {
            kind: "scale",
            plan: |plan| {
                plan.scaling = Some(Scaling { scale: ScaleConfig::default(), slots: 1 });
            },
            begin: waits,
            ..STILL
        },
        Case {
            kind: "shed",
            plan: |plan| plan.shedding = Some(Shedding::default()),
            begin: waits,
            ..STILL
        },
        Case {
            kind: "degrade",
            plan: |plan| plan.degrading = Some(Degrading::default()),
            begin: waits,
            ..STILL
        },
    ]
});

//! Each kind of action from its plan to the effect seen: planned for its reason, not done where
//! whoever is asked fails, with everything as it was, tried again, done, and judged.

mod cases;
mod others;
mod stage;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use plimsoll_core_types::{Action, Decision, ResourceOptimizer as _};
use plimsoll_integration::{Degrading, Optimizer, OptimizerConfig, PlanConfig, Shedding};

use super::{config, mem};
use cases::{CASES, Case};
use others::Foresees;
use stage::Stage;

/// Goes round once a second until there is a decision of this kind that `is` what is looked for.
async fn until(
    stage: &Stage,
    optimizer: &Optimizer,
    case: &Case,
    is: impl Fn(&Decision) -> bool,
) -> Decision {
    for _ in 0..60 {
        stage.clock.advance(Duration::from_secs(1));
        // Whoever waits for a lease has its turn.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        (case.second)(stage);
        optimizer.tick().await;
        let mut decisions = optimizer.monitor().decisions.into_iter().rev();
        if let Some(found) = decisions.find(|d| d.planned.action.kind() == case.kind && is(d)) {
            return found;
        }
    }
    panic!("no such {}: {:#?}", case.kind, optimizer.monitor().decisions);
}

#[tokio::test]
async fn every_action_is_planned_not_done_done_and_judged() {
    for case in CASES.iter() {
        let stage = Arc::new(Stage::new());
        let mut plan = PlanConfig::new(mem(500));
        (case.plan)(&mut plan);
        let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
        let mut components = stage.components();
        if case.kind == "prewarm" {
            components.predictor = Some(Arc::new(Foresees));
        }
        let integration = optimizer.integrate(components).await.unwrap();
        (case.begin)(&stage);

        stage.fails.0.store(true, Ordering::SeqCst);
        let before = stage.looks();
        let failed = until(&stage, &optimizer, case, |_| true).await;
        assert!(failed.outcome.is_err() && failed.effect.is_none(), "{failed:?}");
        assert_eq!(stage.looks(), before, "{}: what is not done changes nothing", case.kind);

        stage.fails.0.store(false, Ordering::SeqCst);
        let done = until(&stage, &optimizer, case, |d| d.outcome.is_ok()).await;
        assert!(done.effect.is_some(), "{done:?}");
        assert_ne!(stage.looks(), before, "{}: it is done", case.kind);
        let (why, reason) = (optimizer.why(done.planned.action.subject()), &done.planned.reason);
        assert!(why.iter().any(|line| line.contains(&reason.to_string())), "{reason}: {why:?}");

        // A later one of its kind takes the place of an earlier one that is on trial.
        let judged = until(&stage, &optimizer, case, |d| seen(d).is_some()).await;
        assert!(seen(&judged).unwrap().kept, "{judged:?}");
        let report = optimizer.validate(&integration);
        assert!(report.kept >= 1 && report.holds(), "{}: {report:?}", case.kind);
    }
}

fn seen(decision: &Decision) -> Option<&plimsoll_core_types::Seen> {
    decision.effect.as_ref()?.seen.as_ref()
}

/// Overload that lasts is answered step by step, and the answer is taken back step by step.
#[tokio::test]
async fn overload_is_shed_and_let_in_again_with_hysteresis() {
    let stage = Arc::new(Stage::new());
    let (degrading, shedding) = (Some(Degrading::default()), Some(Shedding::default()));
    let plan = PlanConfig { degrading, shedding, ..PlanConfig::new(mem(500)) };
    let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
    optimizer.integrate(stage.components()).await.unwrap();
    let mut story = Vec::new();
    for second in 0..120_u32 {
        // One slot; what is refused does not wait.
        let overload = (10..40).contains(&second);
        stage.with("a", |e| {
            (e.in_progress, e.waiting) = if overload { (1, 3) } else { (0, 0) };
        });
        stage.clock.advance(Duration::from_secs(1));
        for decision in optimizer.tick().await {
            match &decision.planned.action {
                Action::Shed { below } => story.push((second, format!("refuse {below:?}"))),
                Action::Degrade { to, .. } => story.push((second, format!("serve {to}"))),
                _ => {}
            }
        }
        if second == 30 {
            let alerts = optimizer.monitor().alerts;
            let refused = alerts.iter().find(|alert| alert.subject == "requests").unwrap();
            assert_eq!(refused.cause, "refused below priority normal");
        }
    }
    let expected = [
        (11, "serve from priority critical up only"),
        (13, "refuse Some(Normal)"),
        (50, "serve from priority high up only"),
        (50, "refuse Some(Low)"),
        (61, "serve from priority normal up only"),
        (61, "refuse None"),
        (72, "serve from the cache only"),
        (83, "serve reduced"),
        (94, "serve in full"),
    ];
    assert_eq!(story, expected.map(|(second, what)| (second, what.to_owned())));
}

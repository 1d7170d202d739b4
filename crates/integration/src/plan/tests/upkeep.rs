//! Engines that hang, leases that do not fit, and others on the host.

use super::*;

#[test]
fn an_engine_that_misses_probes_is_replaced_once() {
    let silent = Duration::from_secs(2);
    let hung = EngineSnapshot { missed_probes: 3, silent, ..resident("a", 200) };
    let mut planner = planner();
    let sees = snapshot(second(10.0), vec![hung]);
    let plan = planner.plan(&sees);
    assert_eq!(plan[0].action, Action::Replace { model: ModelId::new("a").unwrap() });
    assert_eq!(plan[0].reason, Reason::Unresponsive { silent, missed: 3 });
    assert_eq!(planner.plan(&sees), []);
}

#[test]
fn leases_follow_what_is_measured_both_ways() {
    let smaller = EngineSnapshot { believed: mib(120), peak: mib(100), ..resident("a", 200) };
    let mut planner = planner();
    let plan = planner.plan(&snapshot(second(10.0), vec![smaller.clone()]));
    let model = || ModelId::new("a").unwrap();
    assert_eq!(plan[0].action, Action::ResizeLease { model: model(), to: mib(120) });
    let few = EngineSnapshot { samples: 2, ..smaller };
    assert_eq!(self::planner().plan(&snapshot(second(10.0), vec![few])), []);
    let outgrown =
        EngineSnapshot { used: mib(230), peak: mib(230), samples: 1, ..resident("a", 200) };
    let plan = planner.plan(&snapshot(second(20.0), vec![outgrown]));
    assert_eq!(plan[0].action, Action::ResizeLease { model: model(), to: mib(230) });
}

#[test]
fn the_line_moves_down_for_others_and_back_up() {
    let mut planner = planner();
    let mut sees = snapshot(second(10.0), vec![resident("a", 200)]);
    sees.used = mib(4096 - 64 - 100);
    let plan = planner.plan(&sees);
    // 4096 in all, less 3732 of others (3932 used, 200 of them ours), less 64 in reserve.
    assert_eq!(plan[0].action, Action::SetLimit { limit: mib(300) });
    sees.pool.limit = mib(300);
    sees.at = second(20.0);
    sees.used = mib(200);
    let plan = planner.plan(&sees);
    assert_eq!(plan[0].action, Action::SetLimit { limit: mib(512) });
}

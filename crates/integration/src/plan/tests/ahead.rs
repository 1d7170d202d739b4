//! What is loaded ahead of its requests.

use super::*;

#[test]
fn a_forecast_loads_a_model_ahead_where_there_is_room() {
    let at = second(10.0);
    let mut sees = snapshot(at, vec![resident("a", 200), stopped("b", 200)]);
    sees.forecasts.push(forecast("b", 20.0, at));
    let mut planner = planner();
    let plan = planner.plan(&sees);
    assert!(prewarmed(&plan) && evicted(&plan).is_empty(), "{plan:?}");
    assert!(!prewarmed(&planner.plan(&sees)), "it cools down");
}

#[test]
fn a_forecast_pushes_out_only_what_is_needed_less() {
    let at = second(10.0);
    let mut sees = snapshot(at, vec![resident("a", 400), stopped("b", 300)]);
    sees.forecasts.push(forecast("b", 20.0, at));
    let plan = planner().plan(&sees);
    assert!(prewarmed(&plan));
    assert_eq!(evicted(&plan), ["a"]);
    sees.forecasts.push(forecast("a", 30.0, at));
    assert_eq!(planner().plan(&sees), [], "both are needed: nothing is gained");
}

#[test]
fn without_skill_there_is_no_prewarm() {
    let at = second(10.0);
    let mut sees = snapshot(at, vec![stopped("b", 200)]);
    let health = ForecastHealth::FellBack { relative_error: 1.2 };
    sees.forecasts.push(ResourceForecast { health, ..forecast("b", 20.0, at) });
    assert_eq!(planner().plan(&sees), []);
}

#[test]
fn prewarms_for_nothing_raise_the_threshold_and_good_ones_reset_it() {
    let mut planner = planner();
    let model = ModelId::new("b").unwrap();
    let base = planner.config.prewarm_probability;
    let mut engines = vec![stopped("b", 200)];
    let mut now = second(10.0);
    let mut round = |planner: &mut Planner, engines: &[EngineSnapshot]| {
        let mut sees = snapshot(now, engines.to_vec());
        sees.forecasts.push(forecast("b", 50.0, now));
        let plan = planner.plan(&sees);
        now += Duration::from_secs(8);
        prewarmed(&plan)
    };
    assert!(round(&mut planner, &engines));
    round(&mut planner, &engines);
    assert_eq!(planner.verdicts().rolled_back(), 1);
    let raised = planner.verdicts.threshold(&model, base);
    assert!(raised > base, "{raised}");
    engines[0].arrivals += 1;
    round(&mut planner, &engines);
    assert_eq!(planner.verdicts().kept(), 1);
    assert_eq!(planner.verdicts.threshold(&model, base), base);
}

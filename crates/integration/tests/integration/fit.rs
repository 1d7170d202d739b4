//! Whether parts make a system: limits, units, names, circles, and what is missing.

use super::*;

#[tokio::test]
async fn parts_that_do_not_fit_together_are_refused() {
    let system = System::new(2000);
    let error = optimizer(500).integrate(system.components()).await.unwrap_err();
    assert!(matches!(error, IntegrateError::LimitAboveCapacity { .. }), "{error}");
    assert!(error.to_string().contains("above the host's capacity of 1000 MiB"), "{error}");

    let system = System::new(500);
    system.fleet.add("same", 10, None);
    system.fleet.add("same", 20, None);
    let error = optimizer(500).integrate(system.components()).await.unwrap_err();
    assert!(error.to_string().contains("same"), "{error}");

    let system = System::new(500);
    let optimizer = optimizer(500);
    assert_eq!(optimizer.tick().await, [], "without a system there is nothing to do");
    optimizer.integrate(system.components()).await.unwrap();
    let again = optimizer.integrate(system.components()).await;
    assert_eq!(again.unwrap_err(), IntegrateError::Already);
}

#[tokio::test]
async fn what_contradicts_itself_is_refused_by_name() {
    let refused = async |system: &System, plan: PlanConfig| {
        let optimizer = Optimizer::new(OptimizerConfig { plan, ..config(500) }).unwrap();
        optimizer.integrate(system.components()).await.unwrap_err().to_string()
    };
    let model = |name: &str| ModelId::new(name).unwrap();
    let with_aliases = |pairs: &[(&str, &str)]| {
        let aliases = pairs.iter().map(|(from, to)| (model(from), model(to))).collect();
        let degrading = Some(Degrading { aliases, ..Degrading::default() });
        PlanConfig { degrading, ..PlanConfig::new(mem(500)) }
    };
    let system = System::new(500);
    for name in ["a", "b", "c"] {
        system.fleet.add(name, 10, None);
    }
    let circle = with_aliases(&[("a", "b"), ("b", "c"), ("c", "a")]);
    assert_eq!(refused(&system, circle).await, "aliases goes round in a circle: a → b → c → a");
    let unknown = with_aliases(&[("a", "tiny")]);
    assert_eq!(refused(&system, unknown).await, "aliases names tiny, which is not there");
    let needs = PlanConfig { cache_least: Some(Bytes::from_mib(1)), ..PlanConfig::new(mem(500)) };
    assert_eq!(refused(&system, needs).await, "there is no cache, which cache_least needs");
    *system.host.used.lock() = 1000 * 1024;
    assert_eq!(
        refused(&system, PlanConfig::new(mem(500))).await,
        "probe: 1000 GiB of 1000 MiB memory are used; check its unit"
    );
}

#[tokio::test]
async fn what_is_probably_not_meant_is_said() {
    let system = System::new(500);
    system.fleet.add("huge", 600, None);
    system.fleet.add("odd", 10, None);
    {
        let mut engines = system.fleet.all.lock();
        engines[1].declared = ResourceVector::new().with_memory(Bytes::new(700));
        engines[1].slots = 0;
    }
    let warnings = optimizer(400).integrate(system.components()).await.unwrap().warnings;
    let expected = [
        "the pool's limit of 500 MiB memory is above the budget of 400 MiB",
        "huge can never load: memory asks 600 MiB, the limit is 500 MiB",
        "odd declares 700 B of memory: check its unit",
        "odd has no slots: it can work on no request",
    ];
    for line in expected {
        assert!(warnings.iter().any(|warning| warning == line), "{line} is not in {warnings:#?}");
    }
}

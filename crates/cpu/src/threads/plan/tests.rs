use super::super::curve::Shape;
use super::*;
use proptest::prelude::*;

fn id(name: &str) -> ConsumerId {
    ConsumerId::new(name).unwrap()
}

fn seconds(count: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_secs(count)
}

/// An engine of known shape that does what it is told, one report each second.
struct Model {
    name: &'static str,
    priority: Priority,
    curve: SpeedCurve,
    threads: u32,
    /// Share of time for which it has something to do.
    busy: f64,
}

impl Model {
    fn new(name: &'static str, shape: Shape, threads: u32) -> Self {
        let curve = SpeedCurve::new(100.0, shape).unwrap();
        Self { name, priority: Priority::Normal, curve, threads, busy: 0.8 }
    }

    fn report(&self, second: u64) -> Throughput {
        let work = (self.curve.speed(self.threads) * self.busy).round() as u64;
        Throughput {
            consumer: id(self.name),
            priority: self.priority,
            at: seconds(second),
            threads: self.threads,
            work,
            busy: Duration::from_secs_f64(self.busy),
        }
    }
}

/// Runs `models` by the plans, from the first second to the last; gives back how often a plan changed.
fn run(planner: &mut ThreadPlanner, models: &mut [Model], cores: u64, from: u64, to: u64) -> u32 {
    let mut changes = 0;
    for second in from..=to {
        for model in models.iter() {
            planner.observe(&model.report(second));
        }
        let plan = planner.plan(Millicores::from_cores(cores), seconds(second));
        let sum: u64 = plan.assignments.iter().map(|given| u64::from(given.threads)).sum();
        assert!(sum <= cores.max(models.len() as u64), "{plan:?}");
        for given in &plan.assignments {
            let model = models.iter_mut().find(|model| model.name == given.consumer.as_str());
            let model = model.unwrap();
            changes += u32::from(model.threads != given.threads);
            model.threads = given.threads;
        }
    }
    changes
}

fn threads(models: &[Model]) -> Vec<u32> {
    models.iter().map(|model| model.threads).collect()
}

#[test]
fn each_gets_what_helps_it_and_the_plan_comes_to_rest() {
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let mut models = [
        Model::new("a-linear", Shape::Linear, 1),
        Model::new("b-bound", Shape::MemoryBound { saturated_at: 2.0 }, 1),
        Model::new("c-worse", Shape::Contended { serial: 0.0, crosstalk: 5.0 }, 1),
    ];
    run(&mut planner, &mut models, 8, 1, 60);
    assert_eq!(threads(&models), [5, 2, 1]);
    assert_eq!(run(&mut planner, &mut models, 8, 61, 600), 0);
}

#[test]
fn two_engines_on_two_cores_run_one_thread_each() {
    // Both came with the default of a thread for each core that they see.
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let shape = Shape::Amdahl { serial: 0.1 };
    let mut models = [Model::new("a", shape, 2), Model::new("b", shape, 2)];
    run(&mut planner, &mut models, 2, 1, 30);
    assert_eq!(threads(&models), [1, 1]);
}

#[test]
fn an_engine_that_came_with_too_many_is_tried_with_fewer_and_found_out() {
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let shape = Shape::Contended { serial: 0.0, crosstalk: 5.0 };
    let mut models = [Model::new("a", shape, 2), Model::new("b", shape, 4)];
    run(&mut planner, &mut models, 8, 1, 60);
    assert_eq!(threads(&models), [1, 1]);
    // One that gains from all its threads has them back after the trial.
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let mut models = [Model::new("a", Shape::Linear, 8)];
    run(&mut planner, &mut models, 8, 1, 60);
    assert_eq!(threads(&models), [8]);
}

#[test]
fn a_busy_engine_gets_more_than_an_idle_one_until_that_changes() {
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let mut models = [Model::new("a", Shape::Linear, 1), Model::new("b", Shape::Linear, 1)];
    models[0].busy = 0.05;
    run(&mut planner, &mut models, 8, 1, 60);
    assert!(models[1].threads >= 2 * models[0].threads, "{:?}", threads(&models));
    (models[0].busy, models[1].busy) = (0.9, 0.05);
    run(&mut planner, &mut models, 8, 61, 120);
    assert!(models[0].threads >= 2 * models[1].threads, "{:?}", threads(&models));
}

#[test]
fn a_plan_shrinks_with_the_cores_at_once() {
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let mut models = [Model::new("a", Shape::Linear, 1), Model::new("b", Shape::Linear, 1)];
    run(&mut planner, &mut models, 8, 1, 60);
    assert_eq!(threads(&models).iter().sum::<u32>(), 8);
    run(&mut planner, &mut models, 3, 61, 61);
    assert_eq!(threads(&models).iter().sum::<u32>(), 3);
}

#[test]
fn who_is_silent_is_left_out_and_who_is_unknown_is_assumed() {
    let mut planner = ThreadPlanner::new(PlanConfig::default());
    let model = Model::new("a", Shape::Linear, 1);
    planner.observe(&model.report(1));
    planner.limit(&id("b"), EngineLimits { most: 1 }, seconds(1));
    let plan = planner.plan(Millicores::from_cores(4), seconds(2));
    assert_eq!(plan.assignments.len(), 2);
    assert!(matches!(plan.assignments[1].reason, Reason::TooFewSamples { .. }));
    assert_eq!(plan.assignments[1].threads, 1);
    planner.observe(&model.report(90));
    let plan = planner.plan(Millicores::from_cores(4), seconds(90));
    assert_eq!(plan.assignments.len(), 1);
    planner.forget(&id("a"));
    assert!(planner.plan(Millicores::from_cores(4), seconds(90)).assignments.is_empty());
}

#[test]
fn the_number_of_engines_is_bounded() {
    let mut planner = ThreadPlanner::new(PlanConfig { most_engines: 3, ..PlanConfig::default() });
    for number in 0..10_u64 {
        planner.limit(&id(&number.to_string()), EngineLimits::default(), seconds(number));
    }
    let plan = planner.plan(Millicores::from_cores(4), seconds(10));
    let names: Vec<_> = plan.assignments.iter().map(|given| given.consumer.as_str()).collect();
    assert_eq!(names, ["7", "8", "9"]);
}

proptest! {
    #[test]
    fn never_more_than_there_is(
        millicores in 1_u64..20_000,
        engines in prop::collection::vec((1_u32..9, 0_u64..500, 0.0..1.0_f64), 1..12),
    ) {
        let mut planner = ThreadPlanner::new(PlanConfig::default());
        for second in 1..4 {
            for (index, (threads, work, busy)) in engines.iter().enumerate() {
                planner.observe(&Throughput {
                    consumer: id(&index.to_string()),
                    priority: Priority::ALL[index % 5],
                    at: seconds(second),
                    threads: *threads,
                    work: *work,
                    busy: Duration::from_secs_f64(*busy),
                });
            }
            let cores = Millicores::new(millicores);
            let plan = planner.plan(cores, seconds(second));
            prop_assert_eq!(plan.assignments.len(), engines.len());
            let shares: u64 = plan.assignments.iter().map(|given| given.share.get()).sum();
            prop_assert!(shares <= millicores);
            let sum: u64 = plan.assignments.iter().map(|given| u64::from(given.threads)).sum();
            prop_assert!(sum <= (millicores / 1000).max(engines.len() as u64));
            prop_assert!(plan.assignments.iter().all(|given| given.threads >= 1));
        }
    }
}

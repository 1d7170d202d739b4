//! Each failure in each phase of a model's life, over many seeds, with the books looked at after
//! every event and each run replayed. Every fourth run has forecasts; the others show that the rest
//! goes on without.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{Better, Bytes, ModelId, ResourceVector, Row, Timestamp};
use plimsoll_predict::{Predictor, PredictorConfig};
use plimsoll_sim::Random;
use plimsoll_sim::serving::{
    EngineSpec, Fault, FaultKind, Job, ModelSpec, Outcome, Phase, Plimsoll, Scenario, ServingConfig,
};
use plimsoll_testkit::{report, scale, seed};

fn kinds() -> [FaultKind; 5] {
    let lasts = Duration::from_secs(6);
    [
        FaultKind::Crash,
        FaultKind::Hang,
        FaultKind::Slow { speed: 0.1, lasts },
        FaultKind::ProbeLoss { lasts },
        FaultKind::MemoryThief { takes: Bytes::from_mib(300), lasts },
    ]
}

fn engines() -> Vec<EngineSpec> {
    let engine = |(index, mib): (usize, u64)| EngineSpec {
        model: ModelSpec {
            id: ModelId::new(&format!("m{index}")).unwrap(),
            amount: ResourceVector::new().with_memory(Bytes::from_mib(mib)),
            load_time: Duration::from_millis(500 + mib),
            slots: 2,
        },
        contention: 0.1,
        kv: None,
    };
    [200, 300, 350, 450].into_iter().enumerate().map(engine).collect()
}

fn jobs(seed: u64) -> Vec<Job> {
    let mut random = Random::new(seed);
    let mut at = 0.0;
    let mut jobs = Vec::new();
    while jobs.len() < 60 {
        at += random.exponential() * 0.5;
        let service = Duration::from_secs_f64(0.2 + random.exponential() * 0.4);
        let model = random.below(4);
        jobs.push(Job { at: Timestamp::from_secs_f64(at), model, service, tokens: 0 });
    }
    jobs
}

fn serve(kind: FaultKind, phase: Phase, seed: u64) -> Outcome {
    let (engines, jobs) = (engines(), jobs(seed));
    let limit = ResourceVector::new().with_memory(Bytes::from_mib(800));
    let tick = Duration::from_millis(250);
    let config = ServingConfig { limit, within: Duration::from_secs(40), tick };
    let faults = [Fault { kind, phase, after: Timestamp::from_secs_f64(4.0) }];
    let scenario = Scenario {
        probe_every: Duration::from_millis(500),
        faults: &faults,
        audit: true,
        ..Scenario::new(&engines, &jobs, config)
    };
    let forecasts = seed.is_multiple_of(4);
    let predictor = forecasts.then(|| Predictor::new(PredictorConfig::default()).unwrap());
    scenario.run(&mut Plimsoll::new(limit, predictor).unwrap()).unwrap()
}

#[derive(Default)]
struct Cell {
    runs: usize,
    fired: usize,
    broken: usize,
    errors: usize,
    findings: Vec<String>,
    recovered: Vec<Duration>,
}

fn matrix_of(kind: FaultKind, first: u64, runs: usize) -> BTreeMap<String, Cell> {
    let mut cells = BTreeMap::new();
    for phase in Phase::ALL {
        let mut cell = Cell::default();
        for run in 0..runs {
            let seed = first + run as u64;
            let outcome = serve(kind, phase, seed);
            let again = serve(kind, phase, seed);
            assert!(outcome == again, "{} in {phase}, seed {seed} goes otherwise", kind.name());
            cell.runs += 1;
            cell.broken += outcome.broken;
            cell.errors += outcome.timed_out + outcome.failed;
            cell.findings.extend(outcome.findings.iter().map(|f| format!("seed {seed}: {f}")));
            cell.findings.truncate(3);
            cell.fired += outcome.recoveries.len();
            cell.recovered.extend(outcome.recoveries.iter().filter_map(|r| r.after));
        }
        cell.recovered.sort_unstable();
        cells.insert(format!("{} in {phase}", kind.name()), cell);
    }
    cells
}

#[test]
fn no_failure_in_any_phase_breaks_the_books() {
    let (first, runs) = (seed("faults", 1000), scale(100));
    let cells: BTreeMap<String, Cell> = std::thread::scope(|scope| {
        let start = |kind| scope.spawn(move || matrix_of(kind, first, runs));
        let all: Vec<_> = kinds().into_iter().map(start).collect();
        all.into_iter().flat_map(|one| one.join().unwrap()).collect()
    });
    let (mut total, mut broken, mut findings) = (0, 0, Vec::new());
    println!("{:26}{:>6}{:>7}{:>11}", "fault in phase", "runs", "fired", "recovered");
    for (name, cell) in &cells {
        let count = cell.recovered.len();
        let at = |share: usize| cell.recovered.get(count * share / 100).copied();
        let seconds = |share| at(share).map_or(f64::NAN, |after| after.as_secs_f64());
        println!(
            "{name:26}{:>6}{:>7}{count:>11}  p50 {:6.2} s  p99 {:6.2} s  errors {:4}  broken {}",
            cell.runs,
            cell.fired,
            seconds(50),
            seconds(99),
            cell.errors,
            cell.broken,
        );
        total += cell.runs;
        broken += cell.broken;
        findings.extend(cell.findings.iter().map(|finding| format!("{name}: {finding}")));
        let shares = [("integration.recovery_p50", at(50)), ("integration.recovery_p99", at(99))];
        for (row, after) in shares {
            let Some(after) = after else { continue };
            let row = Row::new(row, after.as_secs_f64(), "s", Better::Lower);
            report(&row.label("fault", name));
        }
        let lost = cell.errors as f64;
        let row = Row::new("integration.fault_errors", lost, "requests", Better::Lower);
        report(&row.label("fault", name));
    }
    let fired = cells.values().filter(|cell| cell.fired > 0).count();
    let never: usize = cells.values().map(|cell| cell.fired - cell.recovered.len()).sum();
    println!("{never} models were not asked for again after their fault");
    report(&Row::new("integration.fault_runs", total as f64, "runs", Better::Higher).goal(3000.0));
    let row = Row::new("integration.invariants_broken", broken as f64, "findings", Better::Lower);
    report(&row.goal(0.0));
    assert_eq!(fired, 30, "faults came in {fired} of 30 cells only");
    assert_eq!(broken, 0, "{findings:#?}");
}

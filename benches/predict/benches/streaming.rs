//! What an update, a forecast and a series' state cost at a season of 288, beside what else a
//! control loop could run.

use std::hint::black_box;
use std::time::{Duration, Instant};

use augurs_core::{Fit as _, Predict as _};
use augurs_ets::AutoETS;
use plimsoll_bench::criterion::Criterion;
use plimsoll_bench::{Better, Contender, OWN, Row, contest, criterion, emit, goal, size, wanted};
use plimsoll_bench_predict::{DecayingHistogram, Ewma};
use plimsoll_core_types::Timestamp;
use plimsoll_predict::{Forecaster, ForecasterConfig, SeasonSpec};

const STEP_SECONDS: u64 = 300;
const SEASON: usize = 288;
/// A fortnight.
const KNOWN: u64 = 14 * SEASON as u64;

fn main() {
    let mut criterion = criterion();
    update(&mut criterion);
    forecast(&mut criterion);
    criterion.final_summary();
    if wanted("predict.state_bytes") {
        state_bytes();
    }
    if wanted("predict.update_to_floor") {
        update_to_floor();
    }
    if wanted("predict.update_part") {
        update_parts();
    }
}

/// A day, a slow drift, and noise that no expert can learn by heart.
fn value(step: u64) -> f64 {
    let day = (step as f64 / SEASON as f64 * std::f64::consts::TAU).sin();
    let noise = (step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
    100.0 + 30.0 * day + 0.001 * step as f64 + 20.0 * noise
}

fn moment(step: u64) -> Timestamp {
    Timestamp::from_nanos(step * STEP_SECONDS * 1_000_000_000)
}

/// One that has seen all there is, and the step that comes next.
fn grown() -> (Forecaster, u64) {
    grown_with(SeasonSpec::Auto)
}

fn grown_with(season: SeasonSpec) -> (Forecaster, u64) {
    let mut config = ForecasterConfig::new(Duration::from_secs(STEP_SECONDS));
    config.season = season;
    let mut forecaster = Forecaster::new(config).expect("within bounds");
    for step in 1..=KNOWN {
        forecaster.observe(moment(step), Some(value(step)));
    }
    assert_eq!(forecaster.season(), Some(SEASON));
    (forecaster, KNOWN + 1)
}

fn update(criterion: &mut Criterion) {
    goal("predict.update", 300.0);
    let mut group = criterion.benchmark_group("predict.update");
    let values: Vec<f64> = (1..=KNOWN).map(value).collect();
    let (mut forecaster, mut step) = grown();
    group.bench_function(OWN, |b| {
        b.iter(|| {
            forecaster.observe(moment(step), Some(black_box(values[step as usize % values.len()])));
            step += 1;
        });
    });
    let (mut average, mut step) = (Ewma::new(0.3), 1_u64);
    group.bench_function("ewma", |b| {
        b.iter(|| {
            average.observe(black_box(values[step as usize % values.len()]));
            black_box(&average);
            step += 1;
        });
    });
    let (mut histogram, mut step) = (DecayingHistogram::default(), 1_u64);
    group.bench_function("vpa-histogram", |b| {
        b.iter(|| {
            histogram.observe(
                (step * STEP_SECONDS) as f64,
                black_box(values[step as usize % values.len()]),
            );
            step += 1;
        });
    });
    // A batch model learns a new value by being fitted again.
    let model = AutoETS::non_seasonal();
    group.sample_size(10);
    group.bench_function("augurs-ets-refit", |b| {
        b.iter(|| black_box(model.fit(&values).is_ok()));
    });
    group.finish();
}

fn forecast(criterion: &mut Criterion) {
    goal("predict.forecast", 100.0);
    let mut group = criterion.benchmark_group("predict.forecast");
    let (forecaster, _) = grown();
    let mut turn = 0;
    // The tracked horizons in turn; between two of them, both are asked.
    group.bench_function(OWN, |b| {
        b.iter(|| {
            turn = (turn + 1) % 5;
            black_box(&forecaster).forecast(black_box([1, 4, 12, 48, SEASON][turn]))
        });
    });
    let average = Ewma::new(0.3);
    group.bench_function("ewma", |b| b.iter(|| black_box(&average).forecast()));
    let mut histogram = DecayingHistogram::default();
    (1..=KNOWN).for_each(|step| histogram.observe((step * STEP_SECONDS) as f64, value(step)));
    group.bench_function("vpa-histogram", |b| b.iter(|| black_box(&histogram).forecast()));
    let known: Vec<f64> = (1..=KNOWN).map(value).collect();
    if let Ok(fitted) = AutoETS::non_seasonal().fit(&known) {
        group.bench_function("augurs-ets", |b| {
            b.iter(|| black_box(fitted.predict(black_box(12), 0.95).is_ok()));
        });
    }
    group.finish();
}

fn state_bytes() {
    let (forecaster, _) = grown();
    let histogram = DecayingHistogram::default();
    let mut row =
        Row::new("predict.state_bytes", forecaster.state_bytes() as f64, "B", Better::Lower)
            .peer("ewma", size_of::<Ewma>() as f64)
            .peer("vpa-histogram", histogram.bytes() as f64);
    row.goal = Some(8192.0);
    emit(&row);
}

/// Nanoseconds of one call, by the fastest of several short runs.
fn fastest(mut call: impl FnMut()) -> f64 {
    let calls = size(2_000, 100);
    let run = |_| {
        #[expect(clippy::disallowed_methods, reason = "a bench measures the wall clock")]
        let begun = Instant::now();
        (0..calls).for_each(|_| call());
        begun.elapsed().as_secs_f64() * 1e9 / f64::from(calls)
    };
    (0..size(20, 2)).map(run).fold(f64::INFINITY, f64::min)
}

/// An update in units of the floor, turn by turn: what does not depend on the machine.
fn update_to_floor() {
    let values: Vec<f64> = (1..=KNOWN).map(value).collect();
    let (mut forecaster, mut step) = grown();
    let (mut average, mut other) = (Ewma::new(0.3), 1_u64);
    let mut contenders: [Contender<'_>; 2] = [
        (
            OWN,
            Box::new(|| {
                fastest(|| {
                    forecaster.observe(
                        moment(step),
                        Some(black_box(values[step as usize % values.len()])),
                    );
                    step += 1;
                })
            }),
        ),
        (
            "ewma",
            Box::new(|| {
                fastest(|| {
                    average.observe(black_box(values[other as usize % values.len()]));
                    black_box(&average);
                    other += 1;
                })
            }),
        ),
    ];
    let figures = contest(size(9, 1), &mut contenders);
    let mut ratios: Vec<f64> =
        figures[0].iter().zip(&figures[1]).map(|(own, floor)| own / floor).collect();
    ratios.sort_by(f64::total_cmp);
    let median = ratios[ratios.len() / 2];
    // The goals were set where an average takes 2.5 ns: 300 ns are 120 times that.
    let mut row = Row::new("predict.update_to_floor", median, "times", Better::Lower);
    row.goal = Some(120.0);
    emit(&row);
}

/// Where the time of an update goes: it is measured without its parts, turn by turn, and what each
/// took is the difference.
fn update_parts() {
    let values: Vec<f64> = (1..=KNOWN).map(value).collect();
    let update = |season: SeasonSpec, measured: bool| {
        let (mut forecaster, mut step) = grown_with(season);
        let values = &values;
        move || {
            fastest(|| {
                let value = values[step as usize % values.len()];
                forecaster.observe(moment(step), measured.then_some(black_box(value)));
                step += 1;
            })
        }
    };
    let mut contenders: [Contender<'_>; 3] = [
        ("whole", Box::new(update(SeasonSpec::Auto, true))),
        ("season-known", Box::new(update(SeasonSpec::Steps(SEASON), true))),
        ("nothing-measured", Box::new(update(SeasonSpec::Steps(SEASON), false))),
    ];
    let figures = contest(size(9, 1), &mut contenders);
    let least = |place: usize| figures[place].iter().copied().fold(f64::INFINITY, f64::min);
    let (whole, known, silent) = (least(0), least(1), least(2));
    let parts = [
        ("find-the-season", whole - known),
        ("score-and-learn", known - silent),
        ("say-and-note-what-comes", silent),
    ];
    for (part, took) in parts {
        emit(&Row::new("predict.update_part", took, "ns", Better::Lower).label("part", part));
    }
}

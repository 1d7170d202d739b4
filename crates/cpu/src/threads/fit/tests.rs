use super::*;
use plimsoll_testkit::seed;
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};

/// Observes `truth` with multiplicative noise, evenly over `counts`.
fn observe(truth: &SpeedCurve, counts: &[u32], each: usize, noise: f64, rng: &mut StdRng) -> Fit {
    let mut fitter = CurveFitter::new(Duration::from_mins(10));
    for round in 0..each {
        for threads in counts {
            // The sum of twelve is as good as normal.
            let sum: f64 = (0..12).map(|_| rng.random_range(-0.5..0.5)).sum();
            let at = Timestamp::from_secs_f64(round as f64);
            fitter.observe(*threads, truth.speed(*threads) * (noise * sum).exp(), at);
        }
    }
    fitter.fit(Timestamp::from_secs_f64(each as f64)).unwrap()
}

fn truths() -> [SpeedCurve; 5] {
    [
        Shape::Linear,
        Shape::Amdahl { serial: 0.2 },
        Shape::MemoryBound { saturated_at: 3.0 },
        Shape::Contended { serial: 0.05, crosstalk: 0.04 },
        Shape::Contended { serial: 0.0, crosstalk: 12.0 },
    ]
    .map(|shape| SpeedCurve::new(7.0, shape).unwrap())
}

fn same_kind(a: Shape, b: Shape) -> bool {
    std::mem::discriminant(&a) == std::mem::discriminant(&b)
}

#[test]
fn known_curves_come_back_from_noise() {
    let mut rng = StdRng::seed_from_u64(seed("known_curves_come_back_from_noise", 5));
    for truth in truths() {
        let fit = observe(&truth, &[1, 2, 3, 4, 6, 8], 40, 0.10, &mut rng);
        assert!(same_kind(fit.curve.shape(), truth.shape()), "{truth:?} as {fit:?}");
        for threads in 1..=8 {
            let error = (fit.curve.speed(threads) / truth.speed(threads) - 1.0).abs();
            assert!(error < 0.06, "{truth:?} as {fit:?} at {threads}: {error}");
        }
        // What matters in the end: the number of threads that follows loses next to nothing.
        let chosen = truth.speed(fit.curve.best_threads(8));
        let best = truth.speed(truth.best_threads(8));
        assert!(chosen > 0.98 * best, "{truth:?}: {chosen} of {best}");
        assert!((0.05..0.2).contains(&fit.noise), "{}", fit.noise);
    }
}

#[test]
fn two_counts_are_enough_to_see_that_more_is_worse() {
    let mut rng = StdRng::seed_from_u64(seed("two_counts_are_enough", 6));
    // What was seen on a busy machine: 4.6 tokens/s with one thread, 0.19 with two.
    let truth = SpeedCurve::new(4.6, Shape::Contended { serial: 0.0, crosstalk: 23.2 }).unwrap();
    let fit = observe(&truth, &[1, 2], 3, 0.2, &mut rng);
    assert_eq!(fit.curve.best_threads(16), 1, "{fit:?}");
}

#[test]
fn one_count_alone_is_taken_to_be_nearly_linear() {
    let mut rng = StdRng::seed_from_u64(seed("one_count_alone", 7));
    let truth = SpeedCurve::new(5.0, Shape::Linear).unwrap();
    let fit = observe(&truth, &[4], 20, 0.05, &mut rng);
    assert_eq!((fit.counts, fit.most_threads), (1, 4));
    assert!((fit.curve.speed(4) / 20.0 - 1.0).abs() < 0.05);
    assert_eq!(fit.curve.shape(), SpeedCurve::ASSUMED.shape());
}

#[test]
fn an_engine_that_has_changed_is_learned_anew() {
    let mut fitter = CurveFitter::new(Duration::from_mins(1));
    let mut observe = |second: u64, curve: &SpeedCurve| {
        for threads in [1, 2, 4] {
            fitter.observe(
                threads,
                curve.speed(threads),
                Timestamp::from_nanos(second * 1_000_000_000),
            );
        }
    };
    let [linear, .., worse] = truths();
    (0..100).for_each(|second| observe(second, &linear));
    (100..400).for_each(|second| observe(second, &worse));
    let fit = fitter.fit(Timestamp::from_secs_f64(400.0)).unwrap();
    assert_eq!(fit.curve.best_threads(8), 1, "{fit:?}");
}

#[test]
fn nonsense_is_ignored_and_memory_is_bounded() {
    let mut fitter = CurveFitter::new(Duration::ZERO);
    for (threads, speed) in [(0, 1.0), (1, 0.0), (1, -1.0), (1, f64::NAN), (1, f64::INFINITY)] {
        fitter.observe(threads, speed, Timestamp::ZERO);
    }
    assert_eq!(fitter.fit(Timestamp::ZERO), None);
    let mut fitter = CurveFitter::new(Duration::from_secs(1000));
    for threads in 1..=500 {
        fitter.observe(threads, f64::from(threads), Timestamp::from_nanos(u64::from(threads)));
    }
    assert_eq!(fitter.cells.len(), MOST_COUNTS);
    assert_eq!(fitter.cells.last_key_value().map(|(threads, _)| *threads), Some(500));
}

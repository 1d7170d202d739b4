//! Figures that the crate should reach, on real input.

#[path = "validation/series.rs"]
mod series;

use plimsoll_core_types::Ratio;
use series::{Comparison, HOUR, Lives, MEAN, compare, plimsoll, vpa};

#[test]
fn no_more_slack_and_no_more_violations_than_vpa_on_real_series() {
    const NAME: &str = "no_more_slack_and_no_more_violations_than_vpa_on_real_series";
    let Some(folder) = plimsoll_testkit::trace(NAME, "series") else { return };
    let Comparison { own, vpa, constant, series } = compare(&folder);
    assert!(series >= 25, "{series} series");
    println!("{series} series: slack, violations: plimsoll {own:.4?}, vpa {vpa:.4?}");
    println!("one figure for each series, in hindsight, at the violations of vpa: {constant:.4?}");
    assert!(own.1 <= vpa.1, "violations: {own:.4?}, vpa {vpa:.4?}");
    assert!(own.0 <= vpa.0, "slack: {own:.4?}, vpa {vpa:.4?}");
    // Steady need is what a footprint can tell; these series swing with the hour.
    assert!(constant.0 > 0.5, "{constant:.4?}");
}

/// What engines are like: every load needs about the same.
#[test]
fn steady_consumers_have_little_slack_and_no_violations() {
    let seed = plimsoll_testkit::seed("memory.steady", 3);
    let mut state = seed | 1;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % 1000) as f64 / 1000.0
    };
    let lives: Lives = (0..500).map(|hour| (hour * HOUR, MEAN * (1.0 + 0.03 * noise()))).collect();
    let (own, theirs) = (plimsoll(&lives), vpa(&lives));
    assert_eq!(own.violations, 0);
    assert!(own.slack() <= Ratio::new(0.08).unwrap().get(), "{}", own.slack());
    assert!(own.slack() < theirs.slack() / 2.0, "{} {}", own.slack(), theirs.slack());
}

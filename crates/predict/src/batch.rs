//! A batch model beside the streaming ones: exponential smoothing, chosen and fitted by `augurs`.
//!
//! It takes milliseconds and allocates, so that it belongs off the hot path: for a report, or to
//! judge by. Its answers are taken with caution, as fits of few or odd values have been seen to
//! give intervals beyond 1e100: what is no finite number, or further from the known values than
//! these are apart by a bounded factor, is an error and no forecast.

use augurs_core::{Fit as _, Predict as _};
use augurs_ets::AutoETS;
use plimsoll_core_types::Quantiles;

use crate::gate::LARGEST;

/// Fewer values are not worth a fit.
const LEAST: usize = 16;
/// The latest so many steps are fitted.
const WINDOW: usize = 4096;
/// The farthest horizon.
const FARTHEST: usize = 8192;
/// A forecast may be so many ranges of the known values outside of them.
const BEYOND: f64 = 4.0;
/// Quantiles of the normal distribution at [`Quantiles::LEVELS`].
const NORMAL: [f64; 11] =
    [-2.3263, -1.96, -1.6449, -1.2816, -0.6745, 0.0, 0.6745, 1.2816, 1.6449, 1.96, 2.3263];

/// Why there is no batch forecast.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// There are too few values.
    #[error("{known} values among the latest {WINDOW} steps; a fit takes {LEAST}")]
    TooFew {
        /// How many there are.
        known: usize,
    },
    /// The horizon is out of range.
    #[error("ahead is {ahead}; it must be from 1 to {FARTHEST}")]
    Ahead {
        /// What was asked.
        ahead: usize,
    },
    /// The model could not be fitted, or said nothing.
    #[error("the model failed: {0}")]
    Model(String),
    /// What the model says can't be.
    #[error("the model says {value} for step {ahead}; plausible is {least} to {most}")]
    Implausible {
        /// Of which step.
        ahead: usize,
        /// What it says.
        value: f64,
        /// The least that is plausible.
        least: f64,
        /// The most that is plausible.
        most: f64,
    },
}

/// The distributions of the next `ahead` steps, the nearest first, where `values` are those until
/// now. Steps without a value are bridged by the one before them. Nothing is said below `floor`.
///
/// # Errors
///
/// When there are fewer than 16 values or `ahead` is not from 1 to 8192, when the model can't be
/// fitted, or when what it says is not plausible.
pub fn forecast(
    values: &[Option<f64>],
    ahead: usize,
    floor: Option<f64>,
) -> Result<Vec<Quantiles>, BatchError> {
    if !(1..=FARTHEST).contains(&ahead) {
        return Err(BatchError::Ahead { ahead });
    }
    let known = bridged(&values[values.len().saturating_sub(WINDOW)..])?;
    let failed = |error: &dyn std::fmt::Display| BatchError::Model(error.to_string());
    let fitted = AutoETS::non_seasonal().fit(&known).map_err(|error| failed(&error))?;
    let said = fitted.predict(ahead, 0.95).map_err(|error| failed(&error))?;
    let intervals = said.intervals.ok_or_else(|| failed(&"it gave no intervals"))?;
    if [said.point.len(), intervals.lower.len(), intervals.upper.len()] != [ahead; 3] {
        return Err(failed(&"it gave too few steps"));
    }
    let (least, most) = plausible(&known);
    let ends = intervals.lower.into_iter().zip(intervals.upper);
    let steps = said.point.into_iter().zip(ends).enumerate();
    steps
        .map(|(step, (point, (low, high)))| {
            let odd = |value: &f64| !(least..=most).contains(value);
            if let Some(value) = [point, low, high].into_iter().find(odd) {
                return Err(BatchError::Implausible { ahead: step + 1, value, least, most });
            }
            let sigma = (high - low).max(0.0) / (2.0 * NORMAL[9]);
            let floor = floor.unwrap_or(-2.0 * LARGEST);
            let values = NORMAL.map(|z| (point + z * sigma).max(floor));
            Quantiles::new(values).map_err(|error| failed(&error))
        })
        .collect()
}

fn bridged(values: &[Option<f64>]) -> Result<Vec<f64>, BatchError> {
    let sound = |value: &f64| value.is_finite() && value.abs() <= LARGEST;
    let count = values.iter().flatten().filter(|value| sound(value)).count();
    if count < LEAST {
        return Err(BatchError::TooFew { known: count });
    }
    let mut last = None;
    let bridge = |value: &Option<f64>| {
        last = value.filter(sound).or(last);
        last
    };
    Ok(values.iter().filter_map(bridge).collect())
}

/// What may be said after these values.
fn plausible(known: &[f64]) -> (f64, f64) {
    let least = known.iter().copied().fold(f64::INFINITY, f64::min);
    let most = known.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let room = BEYOND * (most - least).max(1e-6 * most.abs().max(least.abs()));
    (least - room, most + room)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn noisy(count: u64) -> Vec<Option<f64>> {
        (0..count).map(|k| Some(10.0 + ((k * 7919) % 13) as f64 / 13.0)).collect()
    }

    #[test]
    fn a_level_is_found_through_gaps() {
        let mut values = noisy(200);
        values[50..60].fill(None);
        values[0] = Some(f64::NAN);
        let said = forecast(&values, 12, Some(0.0)).unwrap();
        assert_eq!(said.len(), 12);
        assert!((said[11].median() - 10.5).abs() < 0.5, "{:?}", said[11]);
        assert!(said[0].at(0.025) < 10.2 && said[0].at(0.975) > 10.8, "{:?}", said[0]);
    }

    #[test]
    fn what_is_too_little_or_too_far_is_refused() {
        assert_eq!(forecast(&noisy(10), 1, None), Err(BatchError::TooFew { known: 10 }));
        assert_eq!(forecast(&noisy(50), 0, None), Err(BatchError::Ahead { ahead: 0 }));
        assert_eq!(forecast(&noisy(50), 9000, None), Err(BatchError::Ahead { ahead: 9000 }));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        #[test]
        fn whatever_is_said_is_plausible(
            values in proptest::collection::vec(
                prop_oneof![
                    Just(0.0), Just(1e30), Just(1e300), Just(f64::NAN), 0.0..1.0_f64, 1e6..1e9_f64,
                ],
                0..120,
            ),
            ahead in 1_usize..40,
        ) {
            let values: Vec<_> = values.into_iter().map(Some).collect();
            if let Ok(said) = forecast(&values, ahead, Some(0.0)) {
                prop_assert_eq!(said.len(), ahead);
                for said in said {
                    prop_assert!(said.values().iter().all(|v| (0.0..=1e31).contains(v)));
                }
            }
        }
    }
}

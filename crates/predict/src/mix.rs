//! Weights over experts: BOA, with forgetting.
//!
//! Bernstein online aggregation (O. Wintenberger, "Optimal learning with Bernstein online
//! aggregation", *Machine Learning* 106, 2017) weighs each expert by its regret less a term of
//! second order. Its regret is of the order `sqrt(V ln K)`, where `V` is the quadratic variation
//! of the regret, not the number of rounds: experts that differ little cost little, and easy
//! series are learnt fast. It keeps this with a rate for each expert that tunes itself, and needs
//! no horizon. Regret counts less the older it is, which trades the bound for the ability to
//! follow a series that changes (the discounted regret of Cesa-Bianchi & Lugosi, *Prediction,
//! Learning, and Games*, 2006, §2.11).
//!
//! The loss is the absolute one. At near horizons it is linearised at the forecast that was given
//! (the gradient trick), so that the mixture competes with the best combination and not only with
//! the best expert. At far ones the truth arrives too late for that: weights that chase the sign
//! of an error which is a season old oscillate, so there each expert answers for its own loss.
//!
//! Losses that arrive late are the same sums, added later: with a delay of `h` rounds the bound
//! grows by a factor of about `sqrt(h)` (Joulani, György & Szepesvári, ICML 2013).

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked, ensure};
use crate::experts::{COUNT, Predictions};
use crate::lanes::{Four, Twelve, array, each, largest, sum, twelve};
use crate::num::share;

/// Regret of one round is cut here, in units of the mean loss, which bounds what one outlier does.
const CUT: f32 = 4.0;
/// The fastest rate.
const FASTEST: f32 = 0.5;
/// A round counts half after so many further rounds: `exp(−ln 2 / 400)` for each.
const FORGET: f32 = 0.998_268_6;
/// Weights are put together anew at each round at first, later at each so manyth: regret moves slowly.
const OFTEN: u32 = 64;
const WEIGH: u32 = 2;
/// The logarithm of the number of experts.
const LN_COUNT: f32 = 2.484_906_6;

/// Which loss an expert answers for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Against {
    /// The slope of the mixture's loss: the best combination wins.
    Combination,
    /// Its own: the best expert wins.
    Expert,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mix {
    weights: [f32; COUNT],
    regret: [f32; COUNT],
    variation: [f32; COUNT],
    /// Mean absolute loss, which makes regrets free of the series' unit.
    scale: f32,
    rounds: u32,
}

impl Mix {
    /// Begins from `prior` weights.
    pub(crate) fn new(prior: &Predictions) -> Self {
        let sum: f32 = prior.iter().sum();
        Self {
            weights: prior.map(|weight| weight / sum),
            regret: [0.0; COUNT],
            variation: [0.0; COUNT],
            scale: 0.0,
            rounds: 0,
        }
    }

    pub(crate) fn check(&self) -> Checked {
        // The most that cut rounds can sum up to.
        let most = 1.01 * CUT / (1.0 - FORGET);
        check::within("mix.weights", &self.weights, 0.0, 1.0)?;
        ensure("mix.weights", (sum(twelve(&self.weights)) - 1.0).abs() < 1e-3)?;
        check::within("mix.regret", &self.regret, -most, most)?;
        check::within("mix.variation", &self.variation, 0.0, CUT * most)?;
        check::sizes("mix.scale", &[self.scale])
    }

    pub(crate) const fn weights(&self) -> &Predictions {
        &self.weights
    }

    #[inline]
    pub(crate) fn combine(&self, said: &Predictions) -> f32 {
        let (weights, said) = (twelve(&self.weights), twelve(said));
        sum(each(|part| weights[part] * said[part]))
    }

    /// Learns that `given` and what the experts `said` should have been `truth`. The weights are
    /// those of `prior`, moved by all regret so far.
    pub(crate) fn learn(
        &mut self,
        said: &Predictions,
        given: f32,
        truth: f32,
        against: Against,
        prior: &Predictions,
    ) {
        let loss = (given - truth).abs();
        self.rounds = self.rounds.saturating_add(1);
        self.scale += share(self.rounds, 0.02) * (loss - self.scale);
        if self.scale <= f32::MIN_POSITIVE {
            return;
        }
        let said = twelve(said);
        let better = match against {
            Against::Combination => {
                let (given, slope) = (Four::all(given), if given > truth { 1.0 } else { -1.0 });
                each(|part| (given - said[part]) * slope)
            }
            Against::Expert => {
                let (loss, truth) = (Four::all(loss), Four::all(truth));
                each(|part| loss - (said[part] - truth).abs())
            }
        };
        let unit = 1.0 / self.scale;
        let round = each(|part| (better[part] * unit).cut(-CUT, CUT));
        let (regret, variation) = (twelve(&self.regret), twelve(&self.variation));
        let regret = each(|part| regret[part] * FORGET + round[part]);
        let variation = each(|part| variation[part] * FORGET + round[part] * round[part]);
        (self.regret, self.variation) = (array(regret), array(variation));
        if self.rounds <= OFTEN || self.rounds.is_multiple_of(WEIGH) {
            self.weigh(regret, variation, twelve(prior));
        }
    }

    fn weigh(&mut self, regret: Twelve, variation: Twelve, prior: Twelve) {
        let rate = each(|part| {
            let rate = Four::all(LN_COUNT) / (variation[part] + Four::all(1.0));
            rate.sqrt().min(Four::all(FASTEST))
        });
        let exponent = each(|part| rate[part] * (regret[part] - rate[part] * variation[part]));
        let most = Four::all(largest(exponent));
        let weights =
            each(|part| prior[part] * rate[part] * (exponent[part] - most).exp_below_one());
        let whole = 1.0 / sum(weights);
        self.weights = array(each(|part| weights[part] * whole));
    }

    /// As if every value had been `by` times what it was.
    pub(crate) fn scale_by(&mut self, by: f32) {
        self.scale *= by;
    }

    /// The series has changed: what was learnt counts a quarter from here on.
    pub(crate) fn doubt(&mut self) {
        for value in self.regret.iter_mut().chain(&mut self.variation) {
            *value *= 0.25;
        }
        self.rounds = self.rounds.min(10);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn play(against: Against, truth: impl Fn(u32, &Predictions) -> f32) -> Mix {
        let prior = [1.0; COUNT];
        let mut mix = Mix::new(&prior);
        for step in 0..2000_u32 {
            let said = std::array::from_fn(|k| ((step * (k as u32 + 1)) as f32 * 0.37).sin());
            let given = mix.combine(&said);
            mix.learn(&said, given, truth(step, &said), against, &prior);
        }
        mix
    }

    #[test]
    fn the_best_expert_gets_the_weight() {
        for against in [Against::Combination, Against::Expert] {
            let mix = play(against, |_, said| said[4]);
            assert!(mix.weights()[4] > 0.9, "{against:?}: {:?}", mix.weights());
        }
    }

    #[test]
    fn the_best_combination_is_found_by_the_slope() {
        let mix = play(Against::Combination, |_, said| 0.5 * (said[2] + said[7]));
        let weights = mix.weights();
        assert!(weights[2] > 0.35 && weights[7] > 0.35, "{weights:?}");
    }

    #[test]
    fn weights_are_a_distribution_whatever_happens() {
        let extreme = [0.0, 1e30, -1e30, 1e-38, f32::MIN_POSITIVE, 1.0];
        let mix = play(Against::Combination, |step, _| extreme[step as usize % extreme.len()]);
        assert!(mix.weights().iter().all(|weight| (0.0..=1.0).contains(weight)));
        assert!((mix.weights().iter().sum::<f32>() - 1.0).abs() < 1e-4);
    }
}

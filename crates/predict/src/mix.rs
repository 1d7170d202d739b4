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
use crate::lanes::Dozen;
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
        ensure("mix.weights", (Dozen::new(&self.weights).sum() - 1.0).abs() < 1e-3)?;
        check::within("mix.regret", &self.regret, -most, most)?;
        check::within("mix.variation", &self.variation, 0.0, CUT * most)?;
        check::sizes("mix.scale", &[self.scale])
    }

    pub(crate) const fn weights(&self) -> &Predictions {
        &self.weights
    }

    #[inline(always)]
    pub(crate) fn combine(&self, said: Dozen) -> f32 {
        (Dozen::new(&self.weights) * said).sum()
    }

    /// Learns that `given` and what the experts `said` should have been `truth`. The weights are
    /// those of `prior`, moved by all regret so far.
    #[inline(always)]
    pub(crate) fn learn(
        &mut self,
        said: Dozen,
        given: f32,
        truth: f32,
        against: Against,
        prior: impl FnOnce() -> Dozen,
    ) {
        let loss = (given - truth).abs();
        self.rounds = self.rounds.saturating_add(1);
        self.scale += share(self.rounds, 0.02) * (loss - self.scale);
        if self.scale <= f32::MIN_POSITIVE {
            return;
        }
        let better = match against {
            Against::Combination => {
                let slope = if given > truth { 1.0 } else { -1.0 };
                (Dozen::all(given) - said) * slope
            }
            Against::Expert => Dozen::all(loss) - (said - Dozen::all(truth)).abs(),
        };
        let unit = 1.0 / self.scale;
        let round = (better * unit).cut(-CUT, CUT);
        let regret = Dozen::new(&self.regret) * FORGET + round;
        let variation = Dozen::new(&self.variation) * FORGET + round * round;
        (self.regret, self.variation) = (regret.array(), variation.array());
        if self.rounds <= OFTEN || self.rounds.is_multiple_of(WEIGH) {
            self.weigh(regret, variation, prior());
        }
    }

    #[inline(always)]
    fn weigh(&mut self, regret: Dozen, variation: Dozen, prior: Dozen) {
        let rate = Dozen::all(LN_COUNT) / (variation + Dozen::all(1.0));
        let rate = rate.sqrt().min(Dozen::all(FASTEST));
        let exponent = rate * (regret - rate * variation);
        let most = Dozen::all(exponent.largest());
        let weights = prior * rate * (exponent - most).exp_below_one();
        self.weights = (weights * (1.0 / weights.sum())).array();
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
            let among = Dozen::new(&said);
            let given = mix.combine(among);
            mix.learn(among, given, truth(step, &said), against, || Dozen::new(&prior));
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

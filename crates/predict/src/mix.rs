//! Weights over experts: BOA, with forgetting.
//!
//! Bernstein online aggregation (O. Wintenberger, "Optimal learning with Bernstein online
//! aggregation", *Machine Learning* 106, 2017) weighs each expert by its regret less a term of
//! second order. Against the best convex combination of experts its regret is of the order
//! `sqrt(V ln K)`, where `V` is the quadratic variation of the regret, not the number of rounds:
//! experts that differ little cost little, and easy series are learnt fast. It keeps this with a
//! rate for each expert that tunes itself, and needs no horizon. The loss is the absolute one,
//! linearised at the forecast that was given (the gradient trick), so that the mixture competes
//! with the best combination and not only with the best expert. Regret counts less the older it
//! is, which trades the bound for the ability to follow a series that changes (the discounted
//! regret of Cesa-Bianchi & Lugosi, *Prediction, Learning, and Games*, 2006, §2.11).
//!
//! Losses that arrive late are the same sums, added later: with a delay of `h` rounds the bound
//! grows by a factor of about `sqrt(h)` (Joulani, György & Szepesvári, ICML 2013).

use serde::{Deserialize, Serialize};

use crate::experts::{COUNT, Predictions};

/// Regret of one round is cut here, in units of the mean loss, which bounds what one outlier does.
const CUT: f32 = 4.0;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Mix {
    weights: [f32; COUNT],
    regret: [f32; COUNT],
    variation: [f32; COUNT],
    /// Mean absolute loss, which makes regrets free of the series' unit.
    scale: f32,
    rounds: u32,
    forget: f32,
}

impl Mix {
    /// Begins from `prior` weights; a round's regret counts half after `half_life` rounds.
    pub(crate) fn new(prior: &Predictions, half_life: f32) -> Self {
        let sum: f32 = prior.iter().sum();
        Self {
            weights: prior.map(|weight| weight / sum),
            regret: [0.0; COUNT],
            variation: [0.0; COUNT],
            scale: 0.0,
            rounds: 0,
            forget: (-std::f32::consts::LN_2 / half_life).exp(),
        }
    }

    pub(crate) const fn weights(&self) -> &Predictions {
        &self.weights
    }

    /// Learns that `given` and what the experts said should have been `truth`.
    pub(crate) fn learn(
        &mut self,
        said: &Predictions,
        given: f32,
        truth: f32,
        prior: &Predictions,
    ) {
        let loss = (given - truth).abs();
        self.rounds = self.rounds.saturating_add(1);
        let rate = (1.0 / self.rounds as f32).max(0.02);
        self.scale += rate * (loss - self.scale);
        if self.scale <= f32::MIN_POSITIVE {
            return;
        }
        let sign = if given > truth { 1.0 } else { -1.0 } / self.scale;
        for ((regret, variation), said) in self.regret.iter_mut().zip(&mut self.variation).zip(said)
        {
            let round = (sign * (given - said)).clamp(-CUT, CUT);
            *regret = self.forget * *regret + round;
            *variation = self.forget * *variation + round * round;
        }
        self.weigh(prior);
    }

    fn weigh(&mut self, prior: &Predictions) {
        let mut sum = 0.0;
        let mut exponent = [0.0; COUNT];
        let mut rates = [0.0; COUNT];
        let mut most = f32::MIN;
        for k in 0..COUNT {
            let rate = (1.0 / (2.0 * CUT)).min((LN_COUNT / (self.variation[k] + 1.0)).sqrt());
            rates[k] = rate;
            exponent[k] = rate * (self.regret[k] - rate * self.variation[k]);
            most = most.max(exponent[k]);
        }
        for k in 0..COUNT {
            self.weights[k] = prior[k] * rates[k] * (exponent[k] - most).exp();
            sum += self.weights[k];
        }
        for weight in &mut self.weights {
            *weight /= sum;
        }
    }
}

/// The logarithm of the number of experts.
const LN_COUNT: f32 = 2.564_949_4;

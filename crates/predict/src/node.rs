//! All that is learnt about one horizon: weights, tails, and the score.

use serde::{Deserialize, Serialize};

use crate::experts::{COUNT, Predictions, index};
use crate::interval::{Pace, Tails};
use crate::mix::{Against, Mix};
use crate::num::Brief;
use crate::score::{Losses, Shadow};
use crate::stack::Stack;

/// How many horizons are tracked.
pub(crate) const NODES: usize = 5;
/// How many forecasts of each horizon may wait for their truth.
const SLOTS: [usize; NODES] = [2, 5, 13, 13, 19];
/// The first horizon that is far: about a sixth of a season.
const FAR: usize = 3;

/// What weight each expert begins with, at near and at far horizons: what is true of the last
/// few values matters little then.
const NEAR_PRIOR: Predictions = [1.0; COUNT];
const FAR_PRIOR: Predictions = {
    let mut prior = [1.0; COUNT];
    prior[index::LAST] = 0.15;
    prior[index::FAST] = 0.15;
    prior[index::HOLT] = 0.15;
    prior[index::SEASONAL_NAIVE] = 0.15;
    prior
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) ahead: usize,
    far: bool,
    stride: u32,
    mix: Mix,
    stack: Stack,
    pub(crate) tails: Tails,
    pub(crate) losses: Losses,
    slots: Box<[Slot]>,
}

/// A forecast that waits for its truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// The step after which it was made, in its lowest bits; zero is none. All that wait are overwritten in the
    /// course of a season, so that these suffice.
    made: u16,
    last: f32,
    /// What the mixture said.
    point: f32,
    /// What was given out, and the ends of its 95% interval, from there.
    given: Brief,
    low: Brief,
    high: Brief,
    /// What the experts said, from the last value, which is the first one's and left out.
    said: [Brief; COUNT - 1],
}

/// What came of a forecast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Outcome {
    /// Truth less what was given out.
    pub(crate) error: f32,
    /// The usual size of such an error before this one.
    pub(crate) usual: f32,
}

impl Node {
    /// The horizon in place `place` (of [`NODES`]), `ahead` steps.
    pub(crate) fn new(place: usize, ahead: usize) -> Self {
        let slots = vec![Slot::default(); SLOTS[place]].into();
        Self { slots, ..Self::bare(place, ahead) }
    }

    fn bare(place: usize, ahead: usize) -> Self {
        let far = place >= FAR;
        let waiting = SLOTS[place] - 1;
        Self {
            ahead,
            far,
            stride: ahead.div_ceil(waiting).max(1) as u32,
            mix: Mix::new(if far { &FAR_PRIOR } else { &NEAR_PRIOR }),
            stack: Stack::new(),
            tails: Tails::new(),
            losses: Losses::default(),
            slots: Box::default(),
        }
    }

    pub(crate) fn is_due(&self, step: u64) -> bool {
        step.is_multiple_of(u64::from(self.stride))
    }

    pub(crate) const fn weights(&self) -> &Predictions {
        self.mix.weights()
    }

    pub(crate) const fn is_far(&self) -> bool {
        self.far
    }

    /// What the mixture says, given what the experts say; fills in what the stack says.
    pub(crate) fn mixed(&self, said: &mut Predictions) -> f32 {
        said[index::STACK] = self.stack.predict(said);
        self.mix.combine(said)
    }

    /// What is given out: what the mixture says, or a shadow where that has been better.
    pub(crate) fn given(&self, mixed: f32, said: &Predictions) -> f32 {
        match self.losses.fallback() {
            None => mixed,
            Some(Shadow::Naive) => said[index::LAST],
            Some(Shadow::Seasonal) => said[index::SEASONAL_NAIVE],
        }
    }

    /// Notes what is said after `step` of the step `ahead` of it, whose error is expected to be
    /// `factor` times the usual.
    pub(crate) fn register(&mut self, step: u64, said: &mut Predictions, factor: f32) {
        let point = self.mixed(said);
        let given = self.given(point, said);
        let (low, high) = self.tails.ends(factor);
        let last = said[index::LAST];
        let slot = self.slot(step);
        self.slots[slot] = Slot {
            made: mark(step),
            last,
            point,
            given: Brief::new(given - point),
            low: Brief::new(low),
            high: Brief::new(high),
            said: std::array::from_fn(|k| Brief::new(said[k + 1] - last)),
        };
    }

    /// Learns from the truth of `step`, where a forecast of it waits. `nearer` are the weights of
    /// the horizon before, where those are worth knowing.
    pub(crate) fn settle(
        &mut self,
        step: u64,
        truth: f32,
        factor: f32,
        nearer: Option<&Predictions>,
    ) -> Option<Outcome> {
        let made = step.checked_sub(self.ahead as u64)?;
        if !self.is_due(made) {
            return None;
        }
        let Slot { made: noted, last, point, given, low, high, said } = self.slots[self.slot(made)];
        if noted != mark(made) {
            return None;
        }
        let mut all = [last; COUNT];
        for (all, said) in all[index::LAST + 1..].iter_mut().zip(said) {
            *all += said.get();
        }
        let said = all;
        let error = truth - (point + given.get());
        let usual = self.tails.scale();
        self.losses.learn(truth, point, &said);
        let against = if self.far { Against::Expert } else { Against::Combination };
        self.mix.learn(&said, point, truth, against, &self.prior(nearer));
        self.stack.learn(&said, truth);
        self.losses.learn_interval(error, low.get(), high.get());
        let missed = [error < low.get(), error > high.get()];
        self.tails.learn(
            error,
            factor,
            missed,
            Pace::new(self.ahead, self.ahead as u32 / self.stride, self.far),
        );
        Some(Outcome { error, usual })
    }

    /// Few forecasts of a far horizon are ever scored, so that it begins from what holds at the
    /// horizon before it as much as from what is plausible.
    fn prior(&self, nearer: Option<&Predictions>) -> Predictions {
        match nearer {
            Some(nearer) if self.far => {
                std::array::from_fn(|k| FAR_PRIOR[k] * (0.5 / COUNT as f32 + 0.5 * nearer[k]))
            }
            _ if self.far => FAR_PRIOR,
            _ => NEAR_PRIOR,
        }
    }

    fn slot(&self, step: u64) -> usize {
        (step / u64::from(self.stride) % self.slots.len() as u64) as usize
    }

    /// As if every value had been `by` times what it was. What waits for its truth is dropped: the
    /// truth will be another's.
    pub(crate) fn scale(&mut self, by: f32) {
        self.mix.scale_by(by);
        self.stack.scale_by(by);
        self.tails.scale_by(by);
        self.losses.scale(by);
        self.slots.fill(Slot::default());
    }

    /// The series has changed: what was learnt counts less.
    pub(crate) fn doubt(&mut self) {
        self.mix.doubt();
        self.tails.doubt();
        self.losses.doubt();
    }

    /// Another series goes on from here: scores begin anew, and errors are taken to be `wider` times
    /// as large until they are met.
    pub(crate) fn renew(&mut self, wider: f32) {
        self.doubt();
        self.tails.scale_by(wider);
        self.losses = Losses::default();
    }

    /// Begins anew at another horizon, without allocation.
    pub(crate) fn move_to(&mut self, place: usize, ahead: usize) {
        let mut slots = std::mem::take(&mut self.slots);
        slots.fill(Slot::default());
        *self = Self { slots, ..Self::bare(place, ahead) };
    }

    /// Whether it is as large as `fresh`, and sound.
    pub(crate) fn fits(&self, fresh: &Self) -> bool {
        self.slots.len() == fresh.slots.len() && self.stride > 0 && self.ahead > 0
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

/// Never zero, which is no forecast.
const fn mark(step: u64) -> u16 {
    step as u16 | 1 << 15
}

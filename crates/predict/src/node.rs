//! All that is learnt about one horizon: weights, tails, and the score.

use serde::{Deserialize, Serialize};

use crate::experts::{COUNT, Predictions, index};
use crate::interval::Tails;
use crate::mix::Mix;
use crate::score::Losses;
use crate::stack::Stack;

/// How many forecasts of one horizon may wait for their truth.
pub(crate) const SLOTS: usize = 25;

/// What weight each expert begins with.
pub(crate) const PRIOR: Predictions = [1.0; COUNT];

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) ahead: usize,
    pub(crate) mix: Mix,
    pub(crate) stack: Stack,
    pub(crate) tails: Tails,
    pub(crate) losses: Losses,
    stride: u64,
    slots: Box<[Slot]>,
}

/// A forecast that waits for its truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Slot {
    /// The step after which it was made, plus one; zero is none.
    made: u64,
    point: f32,
    factor: f32,
    said: Predictions,
}

impl Node {
    pub(crate) fn new(ahead: usize) -> Self {
        let stride = ahead.div_ceil(SLOTS - 1).max(1);
        let half_life = (400.0 / stride as f32).max(60.0);
        Self {
            ahead,
            mix: Mix::new(&PRIOR, half_life),
            stack: Stack::new(),
            tails: Tails::new(if ahead > 12 { 0.1 } else { 0.15 }),
            losses: Losses::default(),
            stride: stride as u64,
            slots: vec![Slot::default(); SLOTS].into(),
        }
    }

    /// Notes what is said after `step` of the step `ahead` of it.
    pub(crate) fn register(&mut self, step: u64, said: &Predictions, point: f32, factor: f32) {
        if self.due_at(step) {
            let slot = (step / self.stride) as usize % SLOTS;
            self.slots[slot] = Slot { made: step + 1, point, factor, said: *said };
        }
    }

    pub(crate) const fn due_at(&self, step: u64) -> bool {
        step.is_multiple_of(self.stride)
    }

    /// Learns from the truth of `step`, where a forecast of it waits; gives that forecast's error.
    pub(crate) fn settle(&mut self, step: u64, truth: f32) -> Option<f32> {
        let made = step.checked_sub(self.ahead as u64)?;
        if !self.due_at(made) {
            return None;
        }
        let slot = (made / self.stride) as usize % SLOTS;
        let Slot { made: noted, point, factor, said } = self.slots[slot];
        if noted != made + 1 {
            return None;
        }
        self.losses.learn(truth, point, said[index::LAST], said[index::SEASONAL_NAIVE]);
        self.mix.learn(&said, point, truth, &PRIOR);
        self.stack.learn(&said, truth);
        self.tails.learn(truth - point, factor);
        Some(truth - point)
    }

    pub(crate) fn point(&self, said: &Predictions) -> f32 {
        let weights = self.mix.weights();
        let mut sum = 0.0;
        for k in 0..COUNT {
            sum += weights[k] * said[k];
        }
        sum
    }
}

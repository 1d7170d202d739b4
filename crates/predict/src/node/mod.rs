//! All that is learnt about one horizon: weights, tails, and the score.

mod slot;

use serde::{Deserialize, Serialize};

use crate::check::{Checked, ensure};
use crate::experts::{COUNT, Predictions, Reach, index};
use crate::interval::{Pace, Tails};
use crate::lanes::{Dozen, Four};
use crate::mix::{Against, Mix};
use crate::num::middle;
use crate::score::{self, Losses, Said, Shadow};
use crate::stack::Stack;
use slot::{NAIVE, SEASONAL, STEP, Slot};

/// How many horizons are tracked.
pub(crate) const NODES: usize = 5;
/// How many forecasts of each horizon may wait for their truth.
const SLOTS: [usize; NODES] = [2, 5, 13, 11, 21];
/// Of each near horizon, the forecast of one step in 2^… is noted, and that of one in 2^… is learnt
/// by the stack: what is said of neighbouring steps is nearly the same where they are far. As long
/// as a series is [`YOUNG`] it is all of them, since everything is yet to be learnt.
const NOTED: [u8; NODES] = [0, 0, 1, 0, 0];
const FITTED: [u8; NODES] = [0, 1, 2, 0, 0];
/// At least one in so many phases of a season is scored at far horizons.
const FEW: usize = 4;
/// A series is young for so many steps.
const YOUNG: u64 = 1024;
/// The first horizon that is far: about a sixth of a season.
const FAR: usize = 3;

/// At far horizons no trend lasts, so that the place of the damped one is taken by what most agree
/// on: the median of the weekly profile, the stack and the long level. Where one of them is far off,
/// as a profile is by a burst, it does not matter by how much.
const AGREED: usize = index::HOLT;

/// What weight each expert begins with, at near and at far horizons: what is true of the last
/// few values matters little then.
const NEAR_PRIOR: Predictions = [1.0; COUNT];
const FAR_PRIOR: Predictions = {
    let mut prior = [1.0; COUNT];
    prior[index::LAST] = 0.15;
    prior[index::WINTERS] = 0.15;
    prior[index::SEASONAL_NAIVE] = 0.15;
    prior[index::PROFILE] = 4.0;
    prior[AGREED] = 4.0;
    prior
};

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Node {
    pub(crate) reach: Reach,
    far: bool,
    /// A forecast is noted at each so manyth step; the next one after so many.
    stride: u16,
    rest: u16,
    /// Where the oldest forecast that waits is, and how many do.
    oldest: u8,
    waiting: u8,
    /// Of a near horizon, the forecast of one step in 2^`noted` is noted, and that of one in
    /// 2^`fitted` is learnt by the stack.
    noted: u8,
    fitted: u8,
    pace: Pace,
    mix: Mix,
    stack: Stack,
    pub(crate) tails: Tails,
    pub(crate) losses: Losses,
    slots: Box<[Slot]>,
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
        let stride = if far { stride(ahead, SLOTS[place] - 1) } else { 1 };
        Self {
            reach: Reach::new(ahead),
            far,
            stride: stride as u16,
            rest: 0,
            oldest: 0,
            waiting: 0,
            noted: NOTED[place],
            fitted: FITTED[place],
            pace: Pace::new(place, ahead, (ahead / stride) as u32 >> NOTED[place]),
            mix: Mix::new(if far { &FAR_PRIOR } else { &NEAR_PRIOR }),
            stack: Stack::new(),
            tails: Tails::new(),
            losses: Losses::default(),
            slots: Box::default(),
        }
    }

    /// Lets `step` pass; true when a forecast is to be noted after it.
    #[inline(always)]
    pub(crate) const fn is_due(&mut self, step: u64) -> bool {
        if !self.far {
            return step < YOUNG || one_of(self.noted, step);
        }
        if self.rest > 0 {
            self.rest -= 1;
            return false;
        }
        self.rest = self.stride - 1;
        true
    }

    pub(crate) const fn ahead(&self) -> usize {
        self.reach.ahead
    }

    pub(crate) const fn weights(&self) -> &Predictions {
        self.mix.weights()
    }

    /// What the mixture says, given what the experts say, the last value among them; fills in what
    /// the stack says, and what most agree on.
    #[inline(always)]
    pub(crate) fn mixed(&self, said: Dozen, last: f32) -> (Dozen, f32) {
        let stacked = self.stack.predict(said, last);
        let mut said = said.with::<{ index::STACK }>(stacked);
        if self.far {
            let all = said.array();
            let agreed = middle(all[index::WEEKLY], stacked, all[index::LONG]);
            said = said.with::<AGREED>(agreed);
        }
        (said, self.mix.combine(said))
    }

    /// What is given out: what the mixture says, or a shadow where that has been better.
    #[inline(always)]
    pub(crate) fn given(&self, mixed: f32, last: f32, seasonal: f32) -> f32 {
        match self.losses.fallback() {
            None => mixed,
            Some(Shadow::Naive) => last,
            Some(Shadow::Seasonal) => seasonal,
        }
    }

    /// Notes what is said after `step` of the step `ahead` of it, whose error is expected to be
    /// `factor` times the usual.
    #[inline(always)]
    pub(crate) fn register(&mut self, step: u64, said: Predictions, factor: f32) {
        let last = said[index::LAST];
        let (said, point) = self.mixed(Dozen::new(&said), last);
        let shadow = match self.losses.fallback() {
            None => 0,
            Some(Shadow::Naive) => NAIVE,
            Some(Shadow::Seasonal) => SEASONAL,
        };
        let due = (step as u16).wrapping_add(self.ahead() as u16) & STEP;
        let ends = self.tails.ends(factor);
        if let Some(free) = self.free() {
            free.write(said, last, point, ends, due | shadow);
        }
    }

    /// The place of the next forecast that is to wait.
    #[inline(always)]
    fn free(&mut self) -> Option<&mut Slot> {
        let room = self.slots.len();
        if usize::from(self.waiting) == room {
            self.pop();
        }
        let place = usize::from(self.oldest) + usize::from(self.waiting);
        let place = if place >= room { place - room } else { place };
        let free = self.slots.get_mut(place)?;
        self.waiting += 1;
        Some(free)
    }

    #[inline(always)]
    fn pop(&mut self) {
        let next = self.oldest + 1;
        self.oldest = if usize::from(next) == self.slots.len() { 0 } else { next };
        self.waiting -= 1;
    }

    /// Where the forecast of `step` is, where one waits; those of steps that have passed are dropped.
    #[inline(always)]
    fn take(&mut self, step: u64) -> Option<usize> {
        while self.waiting > 0 {
            let place = usize::from(self.oldest);
            let late = self.slots.get(place)?.late(step)?;
            self.pop();
            if late == 0 {
                return Some(place);
            }
        }
        None
    }

    /// Learns from the truth of `step`, where a forecast of it waits. `nearer` are the weights of
    /// the horizon before, where those are worth knowing.
    #[inline(always)]
    pub(crate) fn settle(
        &mut self,
        step: u64,
        truth: f32,
        factor: f32,
        nearer: Option<&Predictions>,
    ) -> Option<Outcome> {
        let place = self.take(step)?;
        let far = self.far;
        let slot = self.slots.get(place)?;
        let (said, last, point) = (slot.said(), slot.last, slot.point);
        let (low, high) = slot.ends();
        const { assert!(index::LONG == 2 && index::SEASONAL_NAIVE == 7) };
        let [[_, _, long, _], [_, _, _, seasonal], _] = said.parts().map(Four::array);
        let error = truth
            - match slot.mark() & !STEP {
                NAIVE => last,
                SEASONAL => seasonal,
                _ => point,
            };
        let usual = self.tails.scale();
        let bounds = if far { score::FAR } else { score::NEAR };
        let against = if far { Against::Expert } else { Against::Combination };
        let weigh = self.mix.learn(said, point, truth, against);
        let all = Said { own: point, naive: last, seasonal, constant: long };
        self.losses.learn(truth, all, bounds, error, (low, high));
        let missed = [error < low, error > high];
        self.tails.learn(error, factor, missed, self.pace);
        if step < YOUNG || one_of(self.fitted, step) {
            self.stack.learn(said, last, truth);
        }
        if weigh {
            self.mix.weigh(prior(far, nearer));
        }
        Some(Outcome { error, usual })
    }

    /// As if every value had been `by` times what it was. What waits for its truth is dropped: the
    /// truth will be another's.
    pub(crate) fn scale(&mut self, by: f32) {
        self.mix.scale_by(by);
        self.stack.scale_by(by);
        self.tails.scale_by(by);
        self.losses.scale(by);
        self.waiting = 0;
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
        let slots = std::mem::take(&mut self.slots);
        *self = Self { slots, ..Self::bare(place, ahead) };
    }

    /// Whether it may be state of the horizon in place `place`, `ahead` steps.
    pub(crate) fn check(&self, place: usize, ahead: usize) -> Checked {
        let fresh = Self::bare(place, ahead);
        ensure("nodes.reach", self.reach == fresh.reach)?;
        ensure("nodes.far", self.far == fresh.far)?;
        ensure("nodes.stride", self.stride == fresh.stride)?;
        ensure("nodes.noted", self.noted == fresh.noted)?;
        ensure("nodes.fitted", self.fitted == fresh.fitted)?;
        ensure("nodes.pace", self.pace == fresh.pace)?;
        ensure("nodes.rest", self.rest < self.stride)?;
        ensure("nodes.slots", self.slots.len() == SLOTS[place])?;
        ensure("nodes.oldest", usize::from(self.oldest) < SLOTS[place])?;
        ensure("nodes.waiting", usize::from(self.waiting) <= SLOTS[place])?;
        self.slots.iter().try_for_each(Slot::check)?;
        self.mix.check()?;
        self.stack.check()?;
        self.tails.check()?;
        self.losses.check()
    }

    /// Bytes on the heap.
    pub(crate) fn heap(&self) -> usize {
        size_of_val(&*self.slots)
    }
}

/// Few forecasts of a far horizon are ever scored, so that it begins from what holds at the horizon
/// before it as much as from what is plausible.
#[inline(always)]
fn prior(far: bool, nearer: Option<&Predictions>) -> Dozen {
    if !far {
        return Dozen::new(&NEAR_PRIOR);
    }
    let prior = Dozen::new(&FAR_PRIOR);
    nearer
        .map_or(prior, |nearer| prior * (Dozen::all(0.5 / COUNT as f32) + Dozen::new(nearer) * 0.5))
}

/// True for one in 2^`rare` steps, those for `rare + 1` among those for `rare`. The fractions of the
/// golden ratio's multiples are even over the phases of any season, and over time.
#[inline(always)]
const fn one_of(rare: u8, step: u64) -> bool {
    const GOLDEN: u32 = 0x9e37_79b9;
    rare == 0 || (step as u32).wrapping_mul(GOLDEN) >> (32 - rare) == 0
}

/// Steps between forecasts of a far horizon, of which no more than `waiting` may wait. It has no
/// large divisor in common with the horizon, which is the season or a part of it: otherwise the same
/// few phases would be all that is ever scored.
const fn stride(ahead: usize, waiting: usize) -> usize {
    let mut stride = ahead.div_ceil(waiting);
    while common(stride, ahead) > FEW {
        stride += 1;
    }
    stride
}

/// The greatest common divisor.
const fn common(a: usize, b: usize) -> usize {
    if b == 0 { a } else { common(b, a % b) }
}

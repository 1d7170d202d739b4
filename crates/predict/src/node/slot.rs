//! Forecasts that wait for their truth, in as few bytes as learning from them allows.

use serde::{Deserialize, Serialize};

use crate::check::{self, Checked};
use crate::experts::index;
use crate::lanes::{Briefs, Dozen, Four};

/// A forecast that waits for its truth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Slot {
    /// What the experts said, from the last value. In that one's own place, the sixteen bits of the
    /// last, are the step that it is of and which shadow stood in (see [`STEP`]).
    pub(super) said: Briefs,
    pub(super) last: f32,
    /// What the mixture said.
    pub(super) point: f32,
    /// The ends of the 95% interval that was given out, from the point that was: half a [`Brief`].
    ends: u32,
}

/// The lowest bits of a step tell it from all others for which a forecast may wait: twice as many
/// as the longest season has.
pub(super) const STEP: u16 = (1 << 14) - 1;
pub(super) const NAIVE: u16 = 1 << 14;
pub(super) const SEASONAL: u16 = 1 << 15;
/// No end is noted to be further from its point.
const LARGEST_END: f32 = 3.3e38;

impl Slot {
    /// Notes what the experts `said` and the mixture's `point`.
    #[inline(always)]
    pub(super) fn write(
        &mut self,
        said: Dozen,
        last: f32,
        point: f32,
        ends: (f32, f32),
        mark: u16,
    ) {
        self.said = (said - Dozen::all(last)).briefs(mark);
        self.last = last;
        self.point = point;
        let ends = Four::new([ends.0, ends.1, 0.0, 0.0]).cut(-LARGEST_END, LARGEST_END);
        [self.ends, _] = ends.brief();
    }

    #[inline(always)]
    pub(super) const fn mark(&self) -> u16 {
        (self.said[2][1] >> 16) as u16
    }

    /// What the experts said.
    #[inline(always)]
    pub(super) fn said(&self) -> Dozen {
        (Dozen::from_briefs(&self.said) + Dozen::all(self.last)).with::<{ index::LAST }>(self.last)
    }

    #[inline(always)]
    pub(super) fn ends(&self) -> (f32, f32) {
        let [low, high, ..] = Four::from_brief([self.ends, 0]).array();
        (low, high)
    }

    /// By how many steps it is late at `step`; none where it is of a step to come.
    #[inline(always)]
    pub(super) const fn late(&self, step: u64) -> Option<u16> {
        let late = (step as u16).wrapping_sub(self.mark()) & STEP;
        if late <= STEP / 2 { Some(late) } else { None }
    }

    pub(super) fn check(&self) -> Checked {
        check::values("slots.last", &[self.last])?;
        check::values("slots.point", &[self.point])?;
        let (low, high) = self.ends();
        // As wide as the widest tail of the largest errors.
        check::within("slots.ends", &[low, high], f32::MIN, f32::MAX)?;
        check::values("slots.said", &self.said().array())
    }
}

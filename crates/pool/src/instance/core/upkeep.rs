//! What is done from time to time: retire what was idle for long or is too old, and see to it that
//! enough is idle.

use super::slot::SlotRef;
use super::{After, Cause, Core, State};

/// What one round of upkeep is to do. Times are in the pool's ticks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Upkeep {
    /// Now.
    pub(crate) ticks: u32,
    /// Retire what was not used for longer than this.
    pub(crate) idle_for: Option<u32>,
    /// Keep this many idle.
    pub(crate) min_idle: usize,
    /// How many more than there may be can exist while old ones are replaced.
    pub(crate) surge: usize,
}

/// What came of it.
#[derive(Debug)]
#[must_use]
pub(crate) struct UpkeepDone<T, A> {
    pub(crate) after: After<T, A>,
    /// How many objects are to be made so that enough are idle.
    pub(crate) create: usize,
    /// How many are to be made in place of old ones.
    pub(crate) replace: usize,
    /// How many are out.
    pub(crate) in_use: usize,
}

impl<T, E, A: Clone> Core<T, E, A> {
    /// One round of upkeep.
    pub(crate) fn upkeep(&self, round: &Upkeep) -> UpkeepDone<T, A> {
        self.stack.set_ticks(round.ticks);
        let mut state = self.lock_alone();
        let mut done = UpkeepDone { after: After::NOTHING, create: 0, replace: 0, in_use: 0 };
        if state.closed {
            return done;
        }
        // What retires in this round will have been dropped before any is made.
        let leaving = state.leaving;
        let idle = self.take_idle(&mut state);
        let kept = self.without_idlers(&mut state, idle, round, &mut done);
        self.replace_old(&mut state, &kept, (round, leaving), &mut done);
        let kept = self.without_old(&mut state, kept, round, &mut done);
        self.stack.put_back(&kept);
        done.in_use = state.size.saturating_sub(state.creating + kept.len());
        while state.creating + kept.len() < round.min_idle
            && state.size + leaving < state.max
            && state.creating < self.bounds.creating
        {
            state.begin_creation();
            done.create += 1;
        }
        done
    }

    /// Retires from the bottom what nobody has used for long, down to the least that has to idle.
    fn without_idlers(
        &self,
        state: &mut State<T, E, A>,
        mut idle: Vec<SlotRef<T>>,
        round: &Upkeep,
        done: &mut UpkeepDone<T, A>,
    ) -> Vec<SlotRef<T>> {
        let Some(idle_for) = round.idle_for else { return idle };
        while idle.len() > round.min_idle
            && let Some(bottom) = idle.last().copied()
            && round.ticks.wrapping_sub(bottom.since()) > idle_for
        {
            idle.pop();
            done.after.join(self.retire(state, bottom, Cause::Idle));
        }
        idle
    }

    /// Has others made in place of those that are too old, as far as there is room, and has those
    /// that are out retired when they come back.
    fn replace_old(
        &self,
        state: &mut State<T, E, A>,
        idle: &[SlotRef<T>],
        (round, leaving): (&Upkeep, usize),
        done: &mut UpkeepDone<T, A>,
    ) {
        let old: Vec<_> = self
            .stack
            .used(&state.vacant)
            .filter(|slot| is_old(slot.expires(), round.ticks))
            .filter(|slot| !slot.is_replaced() && !slot.retires())
            .collect();
        for slot in old {
            if state.size + leaving < state.max + round.surge
                && state.creating < self.bounds.creating
            {
                slot.replace(true);
                state.begin_creation();
                done.replace += 1;
            } else if !idle.contains(&slot) {
                slot.retire();
            }
        }
    }

    /// Retires what is idle and too old, and for which no other one can be made first.
    fn without_old(
        &self,
        state: &mut State<T, E, A>,
        idle: Vec<SlotRef<T>>,
        round: &Upkeep,
        done: &mut UpkeepDone<T, A>,
    ) -> Vec<SlotRef<T>> {
        let goes = |slot: &SlotRef<T>| is_old(slot.expires(), round.ticks) && !slot.is_replaced();
        let full = state.size >= state.max + round.surge;
        let (old, kept): (Vec<_>, Vec<_>) = idle.into_iter().partition(|slot| full && goes(slot));
        for slot in old {
            done.after.join(self.retire(state, slot, Cause::TooOld));
            if state.creating < self.bounds.creating && state.size < state.max {
                state.begin_creation();
                done.create += 1;
            }
        }
        kept
    }

    /// The new one is there: the old one ends, now where it is idle, else when it comes back.
    pub(super) fn retire_replaced(&self, state: &mut State<T, E, A>) -> After<T, A> {
        let mut idle = self.take_idle(state);
        let place = idle.iter().rposition(|slot| slot.is_replaced());
        let gone = place.map(|place| idle.remove(place));
        self.stack.put_back(&idle);
        if let Some(slot) = gone {
            return self.retire(state, slot, Cause::TooOld);
        }
        let lent = self.stack.used(&state.vacant).find(|slot| slot.is_replaced());
        if let Some(slot) = lent {
            slot.replace(false);
            slot.retire();
        }
        After::NOTHING
    }

    /// No new one could be made: the old ones stay, and are tried again in the next round.
    pub(super) fn forget_replacements(&self, state: &State<T, E, A>) {
        for slot in self.stack.used(&state.vacant) {
            slot.replace(false);
        }
    }
}

/// Whether ticks have passed `expires`, where 0 is never.
const fn is_old(expires: u32, ticks: u32) -> bool {
    expires != 0 && ticks.wrapping_sub(expires) < u32::MAX / 2
}

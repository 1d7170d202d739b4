//! Who is taken out of rotation, and how one comes back.

use super::{Begun, Core, Ended, REFRESH_AT_ONCE, REFRESH_EVERY, State, Timestamp};

impl Core {
    /// How many backends may be out of rotation at once.
    fn cap(&self) -> usize {
        let draining = self
            .places
            .values()
            .filter(|place| self.slots[**place as usize].state == State::Draining);
        let members = self.places.len() - draining.count();
        let share = self.config.ejection.at_most.min_one().get();
        ((members as f64 * share) as usize).min(members.saturating_sub(1))
    }

    /// Judges a backend by how what was begun has ended.
    #[inline]
    pub(super) fn judge(&mut self, begun: &Begun, ended: Ended) {
        let slot = &mut self.slots[begun.place as usize];
        match (&mut slot.state, ended) {
            (State::Open, Ended::Badly) => {
                let limit = self.config.ejection.failures;
                if limit > 0 && slot.failures_in_row >= limit {
                    self.eject(begun.place);
                }
            }
            (State::Probing { .. }, Ended::Badly) if begun.probe => {
                self.eject_again(begun.place);
            }
            (State::Probing { to_hear, .. }, Ended::Well) if begun.probe => {
                *to_hear = to_hear.saturating_sub(1);
                if *to_hear == 0 {
                    self.readmit(begun.place);
                }
            }
            // A probe that nobody waited for says nothing: another one may be sent.
            (State::Probing { to_send, .. }, Ended::Cancelled) if begun.probe => *to_send += 1,
            _ => {}
        }
    }

    /// Takes an open backend out of rotation, unless too many are out already.
    pub(super) fn eject(&mut self, place: u32) {
        if self.ejected >= self.cap() {
            return;
        }
        self.ejected += 1;
        let slot = &mut self.slots[place as usize];
        // Good for as long as it would now be out: what was before is forgotten.
        if self.latest.saturating_since(slot.returned) >= slot.ejected_for(&self.config.ejection) {
            slot.ejections = 0;
        }
        self.eject_until(place);
    }

    fn eject_again(&mut self, place: u32) {
        self.probing.retain(|other| *other != place);
        self.eject_until(place);
    }

    fn eject_until(&mut self, place: u32) {
        let config = &self.config.ejection;
        let slot = &mut self.slots[place as usize];
        let until = self.latest + slot.ejected_for(config);
        slot.ejections = slot.ejections.saturating_add(1);
        slot.state = State::Ejected { until };
        self.changed = true;
        self.next_return = self.next_return.min(until);
        self.rescore(place);
    }

    /// Puts an ejected backend back into rotation; does nothing to others.
    pub(super) fn readmit(&mut self, place: u32) {
        let slot = &mut self.slots[place as usize];
        if !slot.is_out() {
            return;
        }
        slot.state = State::Open;
        self.changed = true;
        slot.forgive();
        slot.returned = self.latest;
        slot.heard = self.latest;
        self.ejected -= 1;
        self.probing.retain(|other| *other != place);
        self.rescore(place);
    }

    /// After somebody left, fewer may be out: who would return next returns now.
    pub(super) fn keep_cap(&mut self) {
        while self.ejected > self.cap() {
            let out = self.slots.iter().enumerate().filter_map(|(place, slot)| {
                let until = match slot.state {
                    State::Ejected { until } => until,
                    State::Probing { .. } => Timestamp::ZERO,
                    _ => return None,
                };
                Some((until, place))
            });
            let Some((_, place)) = out.min() else { return };
            self.readmit(place as u32);
        }
    }

    /// The backend that the next dispatch probes.
    pub(super) fn next_probe(&mut self) -> Option<u32> {
        for &place in &self.probing {
            let slot = &mut self.slots[place as usize];
            let full = self.fleet.late && slot.is_full();
            if let State::Probing { to_send, .. } = &mut slot.state
                && *to_send > 0
                && !full
            {
                *to_send -= 1;
                return Some(place);
            }
        }
        None
    }

    /// Looks at some backends whether or not anything was heard of them.
    pub(super) fn refresh(&mut self) {
        let now = self.latest;
        self.next_refresh = now + REFRESH_EVERY;
        if self.scores.move_epoch(now) {
            for place in 0..self.slots.len() {
                if self.slots[place].is_queueing() {
                    self.rescore(place as u32);
                }
            }
        }
        for _ in 0..REFRESH_AT_ONCE.min(self.slots.len()) {
            let place = self.cursor;
            self.cursor = (self.cursor + 1) % self.slots.len();
            if self.cursor == 0 {
                self.measure_median();
            }
            let slot = &mut self.slots[place];
            slot.forget(now);
            if slot.state == State::Open {
                self.judge_pace(place as u32);
                self.rescore(place as u32);
            }
        }
    }

    /// Begins to probe those whose time is over.
    pub(super) fn begin_probes(&mut self) {
        let probes = self.config.ejection.probes.max(1);
        self.next_return = Timestamp::MAX;
        for (place, slot) in self.slots.iter_mut().enumerate() {
            let State::Ejected { until } = slot.state else { continue };
            if until <= self.latest {
                slot.state = State::Probing { to_send: probes, to_hear: probes };
                self.probing.push(place as u32);
            } else {
                self.next_return = self.next_return.min(until);
            }
        }
    }

    fn measure_median(&mut self) {
        let open = self.slots.iter().filter(|slot| slot.state == State::Open);
        self.paces.clear();
        self.paces.extend(open.map(|slot| slot.pace));
        let middle = self.paces.len() / 2;
        if self.paces.len() > 2 {
            self.median_pace = *self.paces.select_nth_unstable_by(middle, f64::total_cmp).1;
        }
    }

    fn judge_pace(&mut self, place: u32) {
        let factor = self.config.ejection.slower_than_median;
        let slot = &mut self.slots[place as usize];
        if factor > 0.0 && slot.pace > self.median_pace * factor.max(2.0) && self.places.len() > 2 {
            self.eject(place);
        }
    }
}

//! The scores of all backends, kept up to date at every write.

use plimsoll_core_types::Timestamp;

use super::argmin::{Argmin, Score};
use super::sized::{Line, Lines};
use super::slot::{Fleet, Slot, since};

/// Moments in the busy argmin are counted from an epoch no older than this, which keeps them exact
/// to some 60 nanoseconds.
const EPOCH: std::time::Duration = std::time::Duration::from_secs(1);

/// Which of the argmins a backend stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Neither,
    Idle,
    Busy,
}

/// When each backend would be done with one more request: by a typical one, and by any size.
#[derive(Debug)]
pub(super) struct Scores {
    /// Backends with a free slot: nanoseconds from a dispatch until it would be done.
    idle: Argmin,
    /// Backends that are full: nanoseconds from the epoch until one more would be done. Apart from
    /// the others because those moments come nearer while nothing is written.
    busy: Argmin,
    /// The same by any size.
    lines: Lines,
    epoch: Timestamp,
}

impl Scores {
    pub(super) fn new() -> Self {
        let (idle, busy) = (Argmin::new(), Argmin::new());
        Self { idle, busy, lines: Lines::default(), epoch: Timestamp::ZERO }
    }

    /// Makes room for `places`.
    pub(super) fn reserve(&mut self, places: usize) {
        self.idle.reserve(places);
        self.busy.reserve(places);
        self.lines.reserve(places);
    }

    /// Scores `slot`, which is that of `place`, as of `now`.
    #[inline]
    pub(super) fn set(&mut self, place: usize, slot: &mut Slot, fleet: &Fleet, now: Timestamp) {
        let mut line = Line::NEVER;
        let mut side = Side::Neither;
        if let Some(completion) = slot.line(fleet, now) {
            line.pace = completion.pace as f32;
            let done = completion.of(fleet.typical);
            if slot.is_queueing() {
                side = Side::Busy;
                let since_epoch = since(now, self.epoch);
                line.busy = (completion.base + since_epoch) as f32;
                self.busy.set(place, Score::new(done + since_epoch), slot.age);
            } else {
                side = Side::Idle;
                line.idle = completion.base as f32;
                self.idle.set(place, Score::new(done), slot.age);
            }
        }
        if slot.side != side {
            match slot.side {
                Side::Neither => {}
                Side::Idle => self.idle.set(place, Score::NEVER, 0),
                Side::Busy => self.busy.set(place, Score::NEVER, 0),
            }
            slot.side = side;
        }
        self.lines.set(place, line);
    }

    /// Counts moments from `now` on, where the epoch is too old. True where whoever is queueing is
    /// then to be scored anew.
    pub(super) fn move_epoch(&mut self, now: Timestamp) -> bool {
        let old = now.saturating_since(self.epoch) >= EPOCH;
        if old {
            self.epoch = now;
        }
        old
    }

    /// The place that should be done first with a typical request.
    #[inline]
    pub(super) fn soonest(&self, now: Timestamp) -> Option<usize> {
        match (self.idle.root(), self.busy.root()) {
            (idle, Argmin::EMPTY) => Argmin::place(idle),
            (Argmin::EMPTY, busy) => Argmin::place(busy),
            (idle, busy) => {
                let from_now = f64::from(Argmin::nanos(busy)) - since(now, self.epoch);
                let sooner = from_now < f64::from(Argmin::nanos(idle));
                Argmin::place(if sooner { busy } else { idle })
            }
        }
    }

    /// The best of those with a free slot, and of those without.
    #[inline]
    pub(super) fn best(&self) -> (Option<usize>, Option<usize>) {
        (Argmin::place(self.idle.root()), Argmin::place(self.busy.root()))
    }

    /// The place that is done with `work` before `best` nanoseconds from `now`.
    pub(super) fn before(&mut self, work: f64, now: Timestamp, best: f64) -> Option<usize> {
        // What is as good is left to the argmins, which let equals take turns.
        let better = best as f32 * (1.0 - f32::EPSILON * 8.0);
        self.lines.first(work as f32, since(now, self.epoch) as f32, better)
    }

    /// Visits the places that are done with `work` by `bound` nanoseconds from `now`.
    pub(super) fn near(&mut self, work: f64, now: Timestamp, bound: f64, visit: impl FnMut(usize)) {
        self.lines.near(work as f32, since(now, self.epoch) as f32, bound as f32, visit);
    }

    /// Every backend stands where it belongs and nowhere else, and each argmin is that of a plain
    /// scan.
    #[cfg(test)]
    pub(super) fn check(&self, slots: &[Slot], fleet: &Fleet, now: Timestamp) {
        for (place, slot) in slots.iter().enumerate() {
            let side = match slot.line(fleet, now) {
                None => Side::Neither,
                Some(_) if slot.is_queueing() => Side::Busy,
                Some(_) => Side::Idle,
            };
            assert_eq!(slot.side, side, "{place}: {slot:?}");
            for (argmin, own) in [(&self.idle, Side::Idle), (&self.busy, Side::Busy)] {
                let (leaf, least) = argmin.plain(place);
                assert_eq!(leaf != Argmin::EMPTY, side == own, "{place}: {slot:?}");
                assert_eq!(argmin.root(), least);
            }
        }
    }
}

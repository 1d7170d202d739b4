//! One consumer's memory over time.

use std::time::Duration;

use plimsoll_core_types::{AllocationEvent, Bytes, MemoryAllocation, MemoryKind, Timestamp};

use super::ages::Ages;
use super::{ConsumerUse, KindUse};

/// After this long the rate of growth counts for half.
const RATE_HALF_LIFE: Duration = Duration::from_secs(30);

/// One consumer's memory.
#[derive(Clone, Debug, Default)]
pub(super) struct Account {
    /// One line for each kind that was heard of; a handful at most.
    lines: Vec<Line>,
    peak: Bytes,
    /// Net growth in bytes a second, smoothed.
    rate: f64,
    rated: Option<(Timestamp, Bytes)>,
    ages: Ages,
    pub(super) heard: Timestamp,
}

/// What is known of one kind.
#[derive(Clone, Copy, Debug)]
struct Line {
    kind: MemoryKind,
    /// By what was told to be taken and given back.
    tracked: Bytes,
    measured: Option<Bytes>,
    /// What was told to be given back beyond what had been taken.
    excess: Bytes,
}

impl Line {
    /// What it holds, as well as is known: measured where it was measured, else tracked.
    fn held(&self) -> Bytes {
        self.measured.unwrap_or(self.tracked)
    }
}

impl Account {
    pub(super) fn apply(&mut self, allocation: &MemoryAllocation) {
        let before = self.held();
        let bytes = allocation.bytes;
        let line = self.line(allocation.kind);
        match allocation.event {
            AllocationEvent::Taken => line.tracked = line.tracked.saturating_add(bytes),
            AllocationEvent::GivenBack => {
                let excess = bytes.saturating_sub(line.tracked);
                line.excess = line.excess.saturating_add(excess);
                line.tracked = line.tracked.saturating_sub(bytes);
            }
            AllocationEvent::Measured => line.measured = Some(bytes),
        }
        let (after, now) = (self.held(), allocation.at);
        self.ages.take(after.saturating_sub(before), now);
        self.ages.give_back(before.saturating_sub(after));
        self.peak = self.peak.max(after);
        self.heard = self.heard.max(now);
    }

    /// Brings the rate up to `now`.
    pub(super) fn rate_at(&mut self, now: Timestamp) -> f64 {
        let held = self.held();
        let Some((then, before)) = self.rated else {
            self.rated = Some((now, held));
            return 0.0;
        };
        let elapsed = now.saturating_since(then).as_secs_f64();
        if elapsed > 0.0 {
            let fresh = (held.as_f64() - before.as_f64()) / elapsed;
            let keep = (-elapsed / RATE_HALF_LIFE.as_secs_f64()).exp2();
            self.rate = keep * self.rate + (1.0 - keep) * fresh;
            self.rated = Some((now, held));
        }
        self.rate
    }

    pub(super) fn held(&self) -> Bytes {
        self.lines.iter().map(Line::held).sum()
    }

    /// Host memory alone: an accelerator's is not the host's.
    pub(super) fn held_on_host(&self) -> Bytes {
        let on_host = |line: &&Line| !matches!(line.kind, MemoryKind::Accelerator(_));
        self.lines.iter().filter(on_host).map(Line::held).sum()
    }

    pub(super) fn usage(&mut self, now: Timestamp) -> ConsumerUse {
        let rate = self.rate_at(now);
        let kind = |line: &Line| KindUse {
            kind: line.kind,
            tracked: line.tracked,
            measured: line.measured,
            excess: line.excess,
        };
        ConsumerUse {
            held: self.held(),
            peak: self.peak,
            rate,
            kinds: self.lines.iter().map(kind).collect(),
            ages: self.ages.histogram(now),
            oldest: self.ages.oldest(now),
        }
    }

    fn line(&mut self, kind: MemoryKind) -> &mut Line {
        let at = self.lines.iter().position(|line| line.kind == kind).unwrap_or_else(|| {
            let (tracked, excess) = (Bytes::ZERO, Bytes::ZERO);
            self.lines.push(Line { kind, tracked, measured: None, excess });
            self.lines.len() - 1
        });
        &mut self.lines[at]
    }
}

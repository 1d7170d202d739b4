//! One consumer's memory over time.

use std::time::Duration;

use plimsoll_core_types::{
    AllocationEvent, Bytes, ConsumerId, MemoryAllocation, MemoryKind, Timestamp,
};

use super::ages::Ages;
use super::leak::{Growth, LeakConfig, LeakSuspect};
use super::{ConsumerUse, KindUse, TrackConfig};

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
    growth: Growth,
    sites: Vec<Site>,
    pub(super) heard: Timestamp,
}

/// What one place in the consumer's code holds.
#[derive(Clone, Debug)]
struct Site {
    name: Box<str>,
    held: Bytes,
    ages: Ages,
    growth: Growth,
}

impl Site {
    fn apply(&mut self, allocation: &MemoryAllocation) {
        let (before, bytes) = (self.held, allocation.bytes);
        self.held = match allocation.event {
            AllocationEvent::Taken => before.saturating_add(bytes),
            AllocationEvent::GivenBack => before.saturating_sub(bytes),
            AllocationEvent::Measured => bytes,
        };
        self.ages.take(self.held.saturating_sub(before), allocation.at);
        self.ages.give_back(before.saturating_sub(self.held));
    }
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
    pub(super) fn apply(
        &mut self,
        site: Option<&str>,
        allocation: &MemoryAllocation,
        config: &TrackConfig,
    ) {
        if let Some(site) = site.and_then(|name| self.site(name, config.sites)) {
            site.apply(allocation);
            site.growth.observe(site.held, allocation.at, &config.leak);
        }
        self.account(allocation);
        self.growth.observe(self.held(), allocation.at, &config.leak);
    }

    /// Takes note of what is held at `now`, though nothing was told.
    pub(super) fn observe(&mut self, now: Timestamp, config: &LeakConfig) {
        self.growth.observe(self.held(), now, config);
        for site in &mut self.sites {
            site.growth.observe(site.held, now, config);
        }
    }

    pub(super) fn suspects(
        &self,
        consumer: &ConsumerId,
        now: Timestamp,
        config: &LeakConfig,
    ) -> Vec<LeakSuspect> {
        let suspect = |growth: &Growth, site: Option<&str>, held, ages: &Ages| {
            let (grown, over) = growth.suspect(config)?;
            let (consumer, site) = (consumer.clone(), site.map(str::to_owned));
            Some(LeakSuspect { consumer, site, grown, over, held, oldest: ages.oldest(now) })
        };
        let sites = self.sites.iter();
        let sites = sites.filter_map(|s| suspect(&s.growth, Some(&s.name), s.held, &s.ages));
        sites.chain(suspect(&self.growth, None, self.held(), &self.ages)).collect()
    }

    /// The site `name`; none where there are as many as may be.
    fn site(&mut self, name: &str, most: usize) -> Option<&mut Site> {
        if let Some(at) = self.sites.iter().position(|site| &*site.name == name) {
            return Some(&mut self.sites[at]);
        }
        if self.sites.len() >= most {
            return None;
        }
        let (ages, growth) = (Ages::default(), Growth::default());
        self.sites.push(Site { name: name.into(), held: Bytes::ZERO, ages, growth });
        self.sites.last_mut()
    }

    fn account(&mut self, allocation: &MemoryAllocation) {
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

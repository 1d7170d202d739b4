//! What was learned of one consumer in one configuration.
//!
//! As in the Kubernetes VPA recommender, a window (a life, or a day of a long one) counts as one
//! sample of its peak: while the peak rises within it, the sample moves with it. What differs:
//! finer buckets (1% where VPA has 5%), a window ends with the engine's life, and the figure is
//! never below the peak of the window that runs.

use plimsoll_core_types::{Bytes, Timestamp};

use super::config::FootprintConfig;
use super::histogram::DecayingHistogram;
use super::{Basis, Learned, Shortage};

/// The first bucket, and how much wider each is than the one before.
const FIRST_BUCKET: Bytes = Bytes::from_kib(256);
const BUCKET_RATIO: f64 = 1.01;
/// For so many lives after it ran out, a consumer gets no less than it got then.
const WARY_LIVES: u32 = 3;

#[derive(Clone, Debug)]
pub(super) struct Entry {
    peaks: DecayingHistogram,
    window: Option<Window>,
    declared: Bytes,
    highest: Bytes,
    samples: u32,
    lives: u32,
    /// The figure after it ran out, and how many lives it has still to hold for.
    bumped: Option<(Bytes, u32)>,
    heard: Timestamp,
}

/// The life that runs, or one window of it.
#[derive(Clone, Copy, Debug)]
struct Window {
    since: Timestamp,
    /// The peak that stands in the histogram, and the moment it stands under.
    peak: Bytes,
    added: Timestamp,
}

impl Entry {
    pub(super) fn new(config: &FootprintConfig, now: Timestamp) -> Self {
        Self {
            peaks: DecayingHistogram::new(FIRST_BUCKET, BUCKET_RATIO, config.half_life),
            window: None,
            declared: Bytes::ZERO,
            highest: Bytes::ZERO,
            samples: 0,
            lives: 0,
            bumped: None,
            heard: now,
        }
    }

    pub(super) fn observe(
        &mut self,
        declared: Bytes,
        peak: Bytes,
        now: Timestamp,
        config: &FootprintConfig,
    ) {
        self.declared = declared;
        self.samples = self.samples.saturating_add(1);
        self.heard = self.heard.max(now);
        self.highest = self.highest.max(peak);
        match &mut self.window {
            // A running peak does not fall: this is a new life.
            Some(window)
                if peak >= window.peak && now.saturating_since(window.since) < config.window =>
            {
                if peak > window.peak {
                    self.peaks.remove(window.peak, 1.0, window.added);
                    self.peaks.add(peak, 1.0, now);
                    (window.peak, window.added) = (peak, now);
                }
            }
            _ => {
                self.peaks.add(peak, 1.0, now);
                self.lives = self.lives.saturating_add(1);
                self.bumped = self.bumped.and_then(|(b, lives)| Some((b, lives.checked_sub(1)?)));
                self.window = Some(Window { since: now, peak, added: now });
            }
        }
    }

    pub(super) fn end_life(&mut self, now: Timestamp) {
        self.heard = self.heard.max(now);
        self.window = None;
    }

    /// What it needed is not known, only that it was more than it had.
    pub(super) fn ran_out(
        &mut self,
        held: Bytes,
        how: Shortage,
        now: Timestamp,
        config: &FootprintConfig,
    ) {
        self.heard = self.heard.max(now);
        // The kernel kills by use, a failed load by what it asked for.
        let had = match how {
            Shortage::Killed => held.max(self.window.map_or(Bytes::ZERO, |window| window.peak)),
            Shortage::LoadFailed => held.max(self.bumped.map_or(Bytes::ZERO, |(bytes, _)| bytes)),
        };
        let bumped = had.scaled(config.bump).max(had.saturating_add(config.bump_least));
        let before = self.bumped.map_or(Bytes::ZERO, |(bytes, _)| bytes);
        self.bumped = Some((before.max(bumped), WARY_LIVES));
        self.peaks.add(bumped, 1.0, now);
        self.highest = self.highest.max(had);
        // What comes next is another life.
        self.window = None;
    }

    pub(super) fn believed(&self, config: &FootprintConfig) -> Option<Learned> {
        let measured = (self.samples >= config.samples).then(|| {
            let covered = self.peaks.quantile(config.coverage.get()).unwrap_or_default();
            let running = self.window.map_or(Bytes::ZERO, |window| window.peak);
            covered.saturating_add(covered.scaled(config.margin)).max(running)
        });
        let (bytes, basis) = match (measured, self.bumped.map(|(bytes, _)| bytes)) {
            (Some(measured), Some(bumped)) if bumped > measured => (bumped, Basis::RanOut),
            (Some(measured), _) => (measured, Basis::Measured),
            (None, Some(bumped)) => (bumped, Basis::RanOut),
            (None, None) => return None,
        };
        Some(Learned {
            bytes,
            peak: self.highest,
            declared: self.declared,
            samples: self.samples,
            lives: self.lives,
            basis,
        })
    }

    pub(super) fn restore(&mut self, learned: Learned, now: Timestamp, config: &FootprintConfig) {
        *self = Self::new(config, now);
        self.declared = learned.declared;
        self.highest = learned.peak;
        self.samples = learned.samples;
        self.lives = learned.lives;
        match learned.basis {
            Basis::Measured => {
                // Without its margin it stands as one peak.
                let bare = learned.bytes.as_f64() / (1.0 + config.margin.get());
                self.peaks.add(Bytes::from_f64(bare.floor()), 1.0, now);
            }
            Basis::RanOut => self.bumped = Some((learned.bytes, WARY_LIVES)),
        }
    }

    /// When it was last heard of.
    pub(super) const fn heard(&self) -> Timestamp {
        self.heard
    }
}

//! What a model was measured to need, so that its next load asks for that.
//!
//! Declared figures and file sizes are wrong in both directions: users report estimates of twice
//! what is used, and engines killed because the estimate was too small. [`Footprints`] learns each
//! consumer's peaks, by configuration, and answers with a figure and where it comes from.
//!
//! ```
//! use std::time::Duration;
//! use plimsoll_core_types::{Bytes, ConsumerId, Timestamp};
//! use plimsoll_memory::footprint::Footprints;
//!
//! let mut footprints = Footprints::default();
//! let model = ConsumerId::new("llama-8b")?;
//! let declared = Bytes::from_gib(13);
//! for tick in 0..10 {
//!     let now = Timestamp::ZERO + Duration::from_millis(100 * tick);
//!     footprints.observe(&model, declared, Bytes::from_gib(10), now);
//! }
//! let learned = footprints.believed(&model).expect("ten measurements are enough");
//! assert!(learned.bytes > Bytes::from_gib(10) && learned.bytes < Bytes::from_gib(12));
//! // "measured 10.6 GiB in 10 samples, believed 13 GiB"
//! println!("{}", learned.reason());
//! # Ok::<(), plimsoll_core_types::NameError>(())
//! ```

mod config;
mod entry;
mod file;
mod histogram;

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};

use plimsoll_core_types::{Bytes, ConsumerId, Reason, Timestamp};
use serde::{Deserialize, Serialize};

pub use config::{FootprintConfig, FootprintConfigError};
use entry::Entry;
pub use file::{Estimate, KvType, Load, ModelFile, ModelFileError, ModelFormat};

/// Which of its configurations a consumer runs in: context length, quantization, batch size.
/// Footprints of one say nothing about another.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Configuration(u64);

impl Configuration {
    /// The configuration of whoever has but one.
    pub const DEFAULT: Self = Self(0);

    /// The configuration with these settings, in any order.
    ///
    /// ```
    /// use plimsoll_memory::footprint::Configuration;
    /// let one = Configuration::of([("context", "8192"), ("kv", "f16")]);
    /// assert_eq!(one, Configuration::of([("kv", "f16"), ("context", "8192")]));
    /// assert_ne!(one, Configuration::of([("context", "4096"), ("kv", "f16")]));
    /// ```
    pub fn of<'a>(settings: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut settings: Vec<_> = settings.into_iter().collect();
        if settings.is_empty() {
            return Self::DEFAULT;
        }
        settings.sort_unstable();
        let mut hasher = DefaultHasher::new();
        settings.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Where a learned figure comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// Measured peaks.
    Measured,
    /// It ran out of memory, and asks for more than it had then.
    RanOut,
}

/// What a consumer is believed to need.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Learned {
    /// How much, margin and all: what the next admission should ask for.
    pub bytes: Bytes,
    /// The highest peak that was measured since it last had to be forgotten.
    pub peak: Bytes,
    /// What was declared when it was last measured.
    pub declared: Bytes,
    /// How many measurements it is of.
    pub samples: u32,
    /// How many lives, or windows of one long life, they were of.
    pub lives: u32,
    /// Where it comes from.
    pub basis: Basis,
}

impl Learned {
    /// Why the next admission asks for this and not for what was declared.
    pub const fn reason(&self) -> Reason {
        Reason::Measured { believed: self.declared, measured: self.bytes, samples: self.samples }
    }
}

/// How a consumer ended for want of memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shortage {
    /// The kernel killed it.
    Killed,
    /// Its load failed for want of memory.
    LoadFailed,
}

/// What each consumer was measured to need, by configuration.
///
/// Keeps at most [`FootprintConfig::consumers`] of them, and forgets whom it has not heard of for
/// longest.
#[derive(Clone, Debug, Default)]
pub struct Footprints {
    config: FootprintConfig,
    entries: HashMap<(ConsumerId, Configuration), Entry>,
}

impl Footprints {
    /// Nothing learned yet.
    pub fn new(config: FootprintConfig) -> Self {
        Self { config, entries: HashMap::new() }
    }

    /// Learns that `consumer`, declared to need `declared`, has used at most `peak` since it was
    /// loaded. To be told again and again while it runs, once it is loaded: a figure from the
    /// middle of a load is too low.
    pub fn observe(&mut self, consumer: &ConsumerId, declared: Bytes, peak: Bytes, now: Timestamp) {
        self.observe_as(consumer, Configuration::DEFAULT, declared, peak, now);
    }

    /// The same of a consumer that runs in `configuration`.
    pub fn observe_as(
        &mut self,
        consumer: &ConsumerId,
        configuration: Configuration,
        declared: Bytes,
        peak: Bytes,
        now: Timestamp,
    ) {
        if peak.is_zero() {
            // Nothing runs in no memory: it was not measured.
            return;
        }
        let config = self.config;
        self.entry(consumer, configuration, now).observe(declared, peak, now, &config);
    }

    /// Takes note that the life of `consumer` that was observed has ended: its next peak is that of
    /// another one. Without it a life is taken to end when a peak falls.
    pub fn end_life(&mut self, consumer: &ConsumerId, now: Timestamp) {
        let key = (consumer.clone(), Configuration::DEFAULT);
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.end_life(now);
        }
    }

    /// Learns that `consumer`, which was given `held`, ran out of memory. Believed at once,
    /// whatever was measured before.
    pub fn ran_out(&mut self, consumer: &ConsumerId, held: Bytes, how: Shortage, now: Timestamp) {
        self.ran_out_as(consumer, Configuration::DEFAULT, held, how, now);
    }

    /// The same of a consumer that runs in `configuration`.
    pub fn ran_out_as(
        &mut self,
        consumer: &ConsumerId,
        configuration: Configuration,
        held: Bytes,
        how: Shortage,
        now: Timestamp,
    ) {
        let config = self.config;
        self.entry(consumer, configuration, now).ran_out(held, how, now, &config);
    }

    /// What `consumer` is believed to need; none where too little was measured to say.
    pub fn believed(&self, consumer: &ConsumerId) -> Option<Learned> {
        self.believed_as(consumer, Configuration::DEFAULT)
    }

    /// The same of a consumer that runs in `configuration`.
    pub fn believed_as(
        &self,
        consumer: &ConsumerId,
        configuration: Configuration,
    ) -> Option<Learned> {
        let key = (consumer.clone(), configuration);
        self.entries.get(&key)?.believed(&self.config)
    }

    /// Everything that is believed, by consumer and configuration, in no order.
    pub fn iter(&self) -> impl Iterator<Item = (&ConsumerId, Configuration, Learned)> {
        self.entries.iter().filter_map(|((consumer, configuration), entry)| {
            Some((consumer, *configuration, entry.believed(&self.config)?))
        })
    }

    /// Believes again what was believed before a restart, until it is measured anew.
    pub fn restore(
        &mut self,
        consumer: &ConsumerId,
        configuration: Configuration,
        learned: Learned,
        now: Timestamp,
    ) {
        let config = self.config;
        self.entry(consumer, configuration, now).restore(learned, now, &config);
    }

    /// Forgets what was learned of `consumer`, in every configuration.
    pub fn forget(&mut self, consumer: &ConsumerId) {
        self.entries.retain(|(known, _), _| known != consumer);
    }

    fn entry(
        &mut self,
        consumer: &ConsumerId,
        configuration: Configuration,
        now: Timestamp,
    ) -> &mut Entry {
        let key = (consumer.clone(), configuration);
        if self.entries.len() >= self.config.consumers && !self.entries.contains_key(&key) {
            let oldest = self.entries.iter().min_by_key(|(_, entry)| entry.heard());
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.entries.remove(&oldest);
            }
        }
        let config = &self.config;
        self.entries.entry(key).or_insert_with(|| Entry::new(config, now))
    }
}

#[cfg(test)]
mod tests;

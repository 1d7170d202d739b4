//! State that survives a restart.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::check::{Checked, ensure};
use crate::gate::LARGEST;

use super::{ALARM, Forecaster, LAST_STEP, season};

/// The version of the state that [`SavedForecaster`] writes. State of another version is refused,
/// and the series is learnt anew.
pub const STATE_VERSION: u32 = 4;

/// A forecaster's state with its version, to be kept and read back in any format of serde. It goes on
/// as if nothing had happened where that keeps every bit of a number; of `serde_json` the feature
/// `float_roundtrip` does.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_predict::{Forecaster, ForecasterConfig, SavedForecaster};
///
/// let forecaster = Forecaster::new(ForecasterConfig::new(Duration::from_secs(1)))?;
/// let text = serde_json::to_string(&SavedForecaster(forecaster.clone()))?;
/// let SavedForecaster(back) = serde_json::from_str(&text)?;
/// assert_eq!(back, forecaster);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct SavedForecaster(pub Forecaster);

/// Why state can't be read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StateError {
    /// It was written by another version.
    #[error("the state has version {found}; this is version {STATE_VERSION}")]
    Version {
        /// The version that was found.
        found: u32,
    },
    /// A field holds what it can't: the state was cut, changed or made up.
    #[error("the state is damaged: {what} is out of range, or does not fit the rest")]
    Damaged {
        /// Which field.
        what: &'static str,
    },
}

#[derive(Serialize)]
struct Written<'a> {
    version: u32,
    state: &'a Forecaster,
}

#[derive(Deserialize)]
struct Read {
    version: u32,
    state: Option<Forecaster>,
}

impl Serialize for SavedForecaster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { version: STATE_VERSION, state: &self.0 }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for SavedForecaster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let read = Read::deserialize(deserializer)?;
        if read.version != STATE_VERSION {
            return Err(D::Error::custom(StateError::Version { found: read.version }));
        }
        read.state.map(Self).ok_or_else(|| D::Error::missing_field("state"))
    }
}

impl Serialize for Forecaster {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Self::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Forecaster {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let state = Self::deserialize(deserializer)?;
        let damaged = |what| D::Error::custom(StateError::Damaged { what });
        state.check().map_err(damaged)?;
        Ok(state)
    }
}

impl Forecaster {
    /// Checks every field, so that damaged state is an error, and never a panic or nonsense.
    fn check(&self) -> Checked {
        self.config.check().map_err(|_| "config")?;
        let fresh = Self::new(self.config).map_err(|_| "config")?;
        let seasonal = &self.experts.seasonal;
        ensure("step", self.step == seasonal.next_step() && self.step <= 2 * LAST_STEP)?;
        ensure("seen", self.seen <= self.step)?;
        ensure("drifted", self.drifted.is_none_or(|at| at <= self.step))?;
        let known = |season: usize| (2..=self.config.max_season).contains(&season);
        ensure("found", self.found.is_none_or(known))?;
        let plausible = |origin: f64| (-LARGEST..=LARGEST).contains(&origin);
        ensure("origin", self.origin.map_or(self.step == 0, plausible))?;
        self.grid.check(&fresh.grid)?;
        self.outage.check()?;
        self.experts.levels.check()?;
        seasonal.check(&fresh.experts.seasonal)?;
        self.finder.check(&fresh.finder, self.step)?;
        self.spread.check()?;
        self.drift.check(ALARM)?;
        let scale = seasonal.season().unwrap_or_else(|| season::scale(&self.config));
        let horizons = season::horizons(scale);
        for (place, (node, ahead)) in self.nodes.iter().zip(horizons).enumerate() {
            node.check(place, ahead)?;
        }
        Ok(())
    }
}

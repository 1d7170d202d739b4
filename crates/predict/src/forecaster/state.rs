//! State that survives a restart.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Forecaster;

/// The version of the state that [`SavedForecaster`] writes. State of another version is refused,
/// and the series is learnt anew.
pub const STATE_VERSION: u32 = 2;

/// A forecaster's state with its version, to be kept and read back in any format of serde.
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
    /// It does not fit together: it was cut or changed.
    #[error("the state does not fit together: {what}")]
    Damaged {
        /// What does not fit.
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
        let state = read.state.ok_or_else(|| D::Error::missing_field("state"))?;
        state.check().map_err(D::Error::custom)?;
        Ok(Self(state))
    }
}

impl Forecaster {
    /// Checks what indexing relies on, so that damaged state is an error and never a panic.
    fn check(&self) -> Result<(), StateError> {
        let damaged = |what| Err(StateError::Damaged { what });
        if self.config.check().is_err() {
            return damaged("config");
        }
        let fresh = Self::new(self.config).map_err(|_| StateError::Damaged { what: "config" })?;
        if !self.experts.seasonal.fits(&fresh.experts.seasonal) {
            return damaged("profiles");
        }
        if !self.finder.fits(&fresh.finder) {
            return damaged("autocorrelation");
        }
        let rises = self.nodes.windows(2).all(|pair| pair[0].ahead < pair[1].ahead);
        if !rises || !self.nodes.iter().zip(&fresh.nodes).all(|(node, fresh)| node.fits(fresh)) {
            return damaged("horizons");
        }
        if self.step != self.experts.seasonal.next_step() || !self.outlives() {
            return damaged("numbers");
        }
        Ok(())
    }

    /// Whether what it says is finite, which it is unless its numbers were tampered with.
    fn outlives(&self) -> bool {
        let origin = self.origin.is_none_or(f64::is_finite);
        let finite = |ahead: &usize| self.center(*ahead).is_finite();
        origin && self.tracked().iter().all(finite)
    }
}

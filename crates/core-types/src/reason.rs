//! Why something was decided: carried by every grant, wait, eviction and refusal.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::id::{ConsumerId, ModelId};
use crate::memory::PressureLevel;
use crate::units::{Bytes, Ratio};
use crate::vector::{Dimension, ResourceVector};

/// What a waiter lacks: the first dimension that does not fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lacking {
    /// Where.
    pub dimension: Dimension,
    /// What was asked, in the dimension's unit.
    pub asked: u64,
    /// What is free.
    pub free: u64,
}

impl fmt::Display for Lacking {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, free) = (self.dimension.format(self.asked), self.dimension.format(self.free));
        write!(f, "{}: asks {asked}, {free} free", self.dimension)
    }
}

/// A request that no amount of waiting could serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NeverFits {
    /// Where.
    pub dimension: Dimension,
    /// What was asked, in the dimension's unit.
    pub asked: u64,
    /// All that there is, or that the asker may ever have.
    pub limit: u64,
}

impl fmt::Display for NeverFits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asked, limit) = (self.dimension.format(self.asked), self.dimension.format(self.limit));
        write!(f, "can never fit: {} asks {asked}, the limit is {limit}", self.dimension)
    }
}

/// Why something was decided.
///
/// Displayed as one line for people, serialized with a `kind` for programs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// There was room.
    Fits {
        /// How long it had waited.
        waited: Duration,
    },
    /// There is no room yet.
    Waits {
        /// How many are before it, plus one.
        position: usize,
        /// What it lacks.
        lacking: Lacking,
    },
    /// There is room, and a model that may not be loaded beside it has not gone yet.
    Excluded {
        /// By which.
        by: ModelId,
    },
    /// There can never be room.
    NeverFits(NeverFits),
    /// It waited until its deadline.
    DeadlinePassed {
        /// How long it had waited.
        waited: Duration,
    },
    /// Whoever asked went away.
    Cancelled,
    /// Its time to live ended without a renewal.
    Expired {
        /// How long it had been granted for.
        ttl: Duration,
    },
    /// It gave way to somebody who waits.
    GaveWay {
        /// For whom.
        to: ConsumerId,
        /// What it freed.
        freed: ResourceVector,
        /// How long it had been idle.
        idle: Duration,
        /// How probably it is needed again soon.
        need: Ratio,
        /// How long its return takes.
        return_cost: Duration,
    },
    /// A forecast says that it will be needed.
    Forecast {
        /// How probably.
        probability: Ratio,
        /// Within which time.
        within: Duration,
    },
    /// Its owner is wanted: a request asks for it.
    Demanded {
        /// How many requests wait for it.
        waiting: usize,
    },
    /// It has not been used for longer than it may idle.
    Idle {
        /// For how long.
        idle: Duration,
    },
    /// It stopped answering.
    Unresponsive {
        /// For how long.
        silent: Duration,
        /// How many probes in a row it missed.
        missed: u32,
    },
    /// Its process ended by itself.
    Exited {
        /// The process's exit code, or none where a signal ended it.
        code: Option<i32>,
    },
    /// Measured use replaces what was declared or believed.
    Measured {
        /// What was believed.
        believed: Bytes,
        /// What was measured.
        measured: Bytes,
        /// In how many samples.
        samples: u32,
    },
    /// There is too little of something.
    Pressure {
        /// How bad.
        level: PressureLevel,
        /// Of what.
        dimension: Dimension,
    },
    /// Too many requests wait or run.
    Overload {
        /// How many are in the system.
        in_system: usize,
        /// How many may be.
        limit: usize,
    },
    /// One setting is better than another by measure.
    Better {
        /// What was measured.
        what: String,
        /// With the present setting.
        current: f64,
        /// With the other.
        candidate: f64,
    },
    /// A change did harm and is taken back.
    Worse {
        /// What was measured.
        what: String,
        /// What it would have been without the change.
        without: f64,
        /// What it was with it.
        with: f64,
    },
    /// The present setting is as good as any.
    AsGood {
        /// What was measured.
        what: String,
        /// With the present setting.
        current: f64,
    },
    /// Forecasts of this series are no better than its last value.
    NoSkill {
        /// Error relative to the last value's; one or more is no skill.
        relative_error: f64,
    },
    /// Too little has been seen to say.
    TooFewSamples {
        /// How many were seen.
        seen: usize,
        /// How many it takes.
        needed: usize,
    },
    /// Demand asks for it.
    Demand {
        /// What was measured or forecast, in the dimension's unit.
        wanted: u64,
        /// Of what.
        dimension: Dimension,
    },
    /// What made it necessary has been over for long enough.
    Calm {
        /// For how long.
        lasting: Duration,
    },
    /// Whoever should decide is not there, and the safe static rule stands in.
    Unattended {
        /// For how long nobody has decided.
        silent: Duration,
    },
    /// Somebody asked for it.
    Requested,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fits { waited } if waited.is_zero() => f.write_str("there was room"),
            Self::Fits { waited } => write!(f, "there was room after {}", secs(*waited)),
            Self::Waits { position, lacking } => {
                write!(f, "waits at position {position}, {lacking}")
            }
            Self::Excluded { by } => write!(f, "waits for {by} to go: only one of both is loaded"),
            Self::NeverFits(never) => never.fmt(f),
            Self::DeadlinePassed { waited } => {
                write!(f, "its deadline passed after {} of waiting", secs(*waited))
            }
            Self::Cancelled => f.write_str("whoever asked went away"),
            Self::Expired { ttl } => write!(f, "its {} ended without a renewal", secs(*ttl)),
            Self::GaveWay { to, freed, idle, need, return_cost } => write!(
                f,
                "gave way to {to}: frees {freed}, idle for {}, needed again with {need}, \
                 back in {}",
                secs(*idle),
                secs(*return_cost)
            ),
            Self::Forecast { probability, within } => {
                write!(f, "forecast: needed within {} with {probability}", secs(*within))
            }
            Self::Demanded { waiting: 1 } => f.write_str("1 request waits for it"),
            Self::Demanded { waiting } => write!(f, "{waiting} requests wait for it"),
            Self::Idle { idle } => write!(f, "idle for {}", secs(*idle)),
            Self::Unresponsive { silent, missed } => {
                write!(f, "no answer for {}, {missed} probes missed", secs(*silent))
            }
            Self::Exited { code: Some(code) } => write!(f, "its process ended with code {code}"),
            Self::Exited { code: None } => f.write_str("its process was ended by a signal"),
            Self::Measured { believed, measured, samples } => {
                write!(f, "measured {measured} in {samples} samples, believed {believed}")
            }
            Self::Pressure { level, dimension } => write!(f, "{dimension} pressure is {level}"),
            Self::Overload { in_system, limit } => {
                write!(f, "overload: {in_system} in the system, the limit is {limit}")
            }
            Self::Better { what, current, candidate } => {
                write!(f, "{what}: {candidate:.4} instead of {current:.4}")
            }
            Self::Worse { what, without, with } => {
                write!(f, "{what}: {with:.4}, without the change {without:.4}")
            }
            Self::AsGood { what, current } => write!(f, "{what}: nothing beats {current:.4}"),
            Self::NoSkill { relative_error } => {
                write!(f, "no forecast skill: error {relative_error:.2} times the last value's")
            }
            Self::TooFewSamples { seen, needed } => {
                write!(f, "too few samples: {seen} of {needed}")
            }
            Self::Demand { wanted, dimension } => {
                write!(f, "demand: {} of {dimension}", dimension.format(*wanted))
            }
            Self::Calm { lasting } => write!(f, "calm for {}", secs(*lasting)),
            Self::Unattended { silent } => {
                write!(f, "nobody has decided for {}: the safe static rule", secs(*silent))
            }
            Self::Requested => f.write_str("asked for"),
        }
    }
}

fn secs(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds < 0.001 {
        format!("{:.0} µs", seconds * 1e6)
    } else if seconds < 1.0 {
        format!("{:.0} ms", seconds * 1e3)
    } else {
        format!("{seconds:.1} s")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_one_line_with_the_numbers() {
        let never = NeverFits {
            dimension: Dimension::Memory,
            asked: Bytes::from_gib(2).get(),
            limit: Bytes::from_mib(512).get(),
        };
        assert_eq!(
            Reason::NeverFits(never).to_string(),
            "can never fit: memory asks 2 GiB, the limit is 512 MiB"
        );
        let gave_way = Reason::GaveWay {
            to: ConsumerId::new("b").unwrap(),
            freed: ResourceVector::new().with_memory(Bytes::from_mib(64)),
            idle: Duration::from_millis(1500),
            need: Ratio::new(0.1).unwrap(),
            return_cost: Duration::from_millis(300),
        };
        assert_eq!(
            gave_way.to_string(),
            "gave way to b: frees 64 MiB memory, idle for 1.5 s, needed again with 10%, back in 300 ms"
        );
    }

    #[test]
    fn round_trips_with_its_kind() {
        let reason = Reason::Waits {
            position: 2,
            lacking: Lacking { dimension: Dimension::Cpu, asked: 1000, free: 500 },
        };
        let json = serde_json::to_string(&reason).unwrap();
        assert!(json.starts_with(r#"{"kind":"waits""#), "{json}");
        assert_eq!(serde_json::from_str::<Reason>(&json).unwrap(), reason);
    }
}

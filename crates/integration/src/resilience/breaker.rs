//! A circuit breaker in one atomic word.

mod config;
mod permit;
mod probes;
mod successes;
mod word;

use std::fmt;
use std::time::Duration;

use plimsoll_core_types::{Ratio, Timestamp};

use crate::config::ConfigError;
use crate::sync::{AtomicU64, Ordering};
pub use config::BreakerConfig;
pub use permit::Permit;
use probes::{Claim, Probes};
use successes::Successes;
use word::{
    FULL, MOST_IN_A_ROW, State, Word, after_failure, after_successes, is_closed, successes_since,
};

/// Keeps callers away from what fails, and lets a few try whether it has recovered.
///
/// **Closed**, calls go through and their failures are weighed. **Open**, calls are refused at
/// once. **Half open**, at most [`probes`](BreakerConfig::probes) calls are in flight at any
/// moment, each for at most [`probe_timeout`](BreakerConfig::probe_timeout); when so many have
/// gone well it closes, and when one fails or times out it opens again for twice as long. A probe
/// whose caller goes away leaves its place to the next one.
///
/// A caller asks to be [admitted](Self::admit), and tells its [`Permit`] what came of the call.
/// While nothing fails both only read one word, so that threads do not slow each other down; for
/// some time after a failure each thread counts its successes on a line of its own. The clock is
/// asked only where the answer depends on it: never while the breaker is closed and stays so.
///
/// It takes about a KiB and a half, most of it those lines.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{Clock, ManualClock};
/// use plimsoll_integration::resilience::{Breaker, BreakerConfig};
///
/// let clock = ManualClock::new();
/// let breaker = Breaker::new(BreakerConfig { failures_in_a_row: 2, ..BreakerConfig::default() })?;
/// for _ in 0..2 {
///     breaker.admit(|| clock.now()).unwrap().failure(|| clock.now());
/// }
/// let refused = breaker.admit(|| clock.now()).unwrap_err();
/// assert_eq!(refused.to_string(), "the breaker is open; try again in 1 s");
///
/// clock.advance(Duration::from_secs(1));
/// for _ in 0..3 {
///     breaker.admit(|| clock.now()).unwrap().success();
/// }
/// assert!(breaker.is_closed());
/// # Ok::<(), plimsoll_integration::ConfigError>(())
/// ```
pub struct Breaker {
    word: Line,
    /// The level from which on it opens.
    threshold: u32,
    shift: u32,
    successes: Successes,
    probes: Probes,
    opened: AtomicU64,
    config: BreakerConfig,
}

/// A word that shares its cache line with nothing that is written.
#[repr(align(128))]
struct Line(AtomicU64);

/// What a breaker does, for people and metrics.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum BreakerState {
    /// It lets calls through.
    Closed {
        /// The weighted share of failures.
        failing: Ratio,
        /// Failures since the last success.
        in_a_row: u16,
    },
    /// It refuses calls.
    Open {
        /// For how long yet; zero where the next call will be a probe.
        remaining: Duration,
    },
    /// It lets probes through.
    HalfOpen {
        /// How many have gone well.
        good: u8,
    },
    /// It refuses calls until it is [released](Breaker::release).
    Held,
}

/// A call was refused, and nothing was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// What is called has failed too often.
    #[error("the breaker is open; try again in {}", seconds(*.retry_in))]
    Open {
        /// When it will let probes through.
        retry_in: Duration,
    },
    /// As many probes are in flight as may be.
    #[error("the breaker is half open, and all its probes are out")]
    Probing,
    /// Somebody holds it open.
    #[error("the breaker is held open by hand")]
    Held,
}

fn seconds(duration: Duration) -> impl fmt::Display {
    format!("{} s", duration.as_millis() as f64 / 1e3)
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    ///
    /// When a value of `config` is out of its bounds.
    pub fn new(config: BreakerConfig) -> Result<Self, ConfigError> {
        config.check()?;
        let closed = Word::new(State::Closed { level: 0, in_a_row: 0, seen: 0 });
        Ok(Self {
            word: Line(AtomicU64::new(closed.pack())),
            threshold: (config.failure_share.get() * f64::from(FULL)) as u32,
            shift: config.window.trailing_zeros(),
            successes: Successes::new(),
            probes: Probes::new(config.probes, config.probe_timeout),
            opened: AtomicU64::new(0),
            config,
        })
    }

    /// Lets a call through, or refuses it. `now` is asked only when the breaker is not closed.
    ///
    /// # Errors
    ///
    /// Says why the call was refused, and where it is known for how long.
    #[inline]
    pub fn admit(&self, now: impl FnOnce() -> Timestamp) -> Result<Permit<'_>, Refused> {
        let word = self.word.0.load(Ordering::Relaxed);
        let token = if is_closed(word) { word } else { self.admit_probe(now)? };
        Ok(Permit { breaker: self, token })
    }

    /// The token of a probe, or of a call where it is closed by now.
    #[cold]
    #[inline(never)]
    fn admit_probe(&self, now: impl FnOnce() -> Timestamp) -> Result<u64, Refused> {
        let now_ms = millis(now());
        loop {
            let packed = self.word.0.load(Ordering::Acquire);
            let word = Word::unpack(packed);
            match word.state {
                State::Closed { .. } => return Ok(packed),
                State::Held => return Err(Refused::Held),
                State::Open { until, .. } if now_ms < until => {
                    let retry_in = Duration::from_millis(until - now_ms);
                    return Err(Refused::Open { retry_in });
                }
                State::Open { again, .. } => {
                    // Whoever wins, the next time round it is half open or something later.
                    self.swap(packed, word.then(State::HalfOpen { good: 0, again }));
                }
                State::HalfOpen { .. } => match self.probes.claim(word.turn, now_ms) {
                    Claim::Taken(ticket) => return Ok(ticket.0),
                    Claim::Overdue => self.reopen(packed, now_ms),
                    Claim::Full if self.word.0.load(Ordering::Acquire) != packed => {}
                    Claim::Full => return Err(Refused::Probing),
                },
            }
        }
    }

    /// True where calls go through.
    pub fn is_closed(&self) -> bool {
        is_closed(self.word.0.load(Ordering::Relaxed))
    }

    /// What it does at `now`.
    pub fn state(&self, now: Timestamp) -> BreakerState {
        match Word::unpack(self.word.0.load(Ordering::Acquire)).state {
            State::Closed { level, in_a_row, seen } => {
                let (level, in_a_row) = self.with_successes(level, in_a_row, seen).0;
                let failing = Ratio::saturating(f64::from(level) / f64::from(FULL));
                BreakerState::Closed { failing, in_a_row }
            }
            State::Open { until, .. } => {
                let remaining = Duration::from_millis(until.saturating_sub(millis(now)));
                BreakerState::Open { remaining }
            }
            State::HalfOpen { good, .. } => BreakerState::HalfOpen { good },
            State::Held => BreakerState::Held,
        }
    }

    /// How many times it has opened.
    pub fn opened(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Refuses every call until [`release`](Self::release): for maintenance, or an emergency.
    pub fn hold_open(&self) {
        self.change(|word| (word.state != State::Held).then(|| word.then(State::Held)));
    }

    /// Ends [`hold_open`](Self::hold_open): the next calls are probes. Does nothing where it is
    /// not held.
    pub fn release(&self) {
        let probing = State::HalfOpen { good: 0, again: 0 };
        self.change(|word| (word.state == State::Held).then(|| word.then(probing)));
    }

    /// How it was configured.
    pub const fn config(&self) -> &BreakerConfig {
        &self.config
    }

    /// Level and failures in a row, with the successes since they were written taken in, and how
    /// many those have been in all.
    fn with_successes(&self, level: u32, in_a_row: u16, seen: u16) -> ((u32, u16), u16) {
        let total = self.successes.total();
        match successes_since(seen, total) {
            0 => ((level, in_a_row), seen),
            count => ((after_successes(level, count, self.shift), 0), total),
        }
    }

    /// A success while there is something that it changes. Every so often what was counted is
    /// taken in, so that the word becomes spotless again.
    fn succeeded(&self) {
        if self.successes.count().is_multiple_of(TAKEN_IN_EVERY) {
            self.take_in();
        }
    }

    #[cold]
    fn take_in(&self) {
        self.change(|word| match word.state {
            State::Closed { level, in_a_row, seen } => {
                let ((level, in_a_row), seen) = self.with_successes(level, in_a_row, seen);
                Some(word.still(State::Closed { level, in_a_row, seen }))
            }
            _ => None,
        });
    }

    #[cold]
    fn failed(&self, token: u64, now: impl FnOnce() -> Timestamp) {
        let turn = word::turn(token);
        let mut now = Some(now);
        let mut told = None;
        let mut opens = false;
        self.change(|word| {
            opens = false;
            let State::Closed { level, in_a_row, seen } = word.state else { return None };
            if word.turn != turn {
                return None;
            }
            let ((level, in_a_row), seen) = self.with_successes(level, in_a_row, seen);
            let level = after_failure(level, self.shift);
            let in_a_row = (in_a_row + 1).min(MOST_IN_A_ROW);
            let limit = self.config.failures_in_a_row;
            opens = level >= self.threshold || (limit > 0 && in_a_row >= limit);
            if !opens {
                return Some(word.still(State::Closed { level, in_a_row, seen }));
            }
            if let Some(now) = now.take() {
                told = Some(millis(now()));
            }
            Some(word.then(self.open(0, told.unwrap_or_default())))
        });
        if opens {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn probe_succeeded(&self, turn: u32) {
        self.change(|word| match word.state {
            State::HalfOpen { good, again } if word.turn == turn => {
                let good = good + 1;
                Some(if good >= self.config.probes {
                    let seen = self.successes.total();
                    word.then(State::Closed { level: 0, in_a_row: 0, seen })
                } else {
                    word.still(State::HalfOpen { good, again })
                })
            }
            _ => None,
        });
    }

    fn probe_failed(&self, turn: u32, now: Timestamp) {
        loop {
            let packed = self.word.0.load(Ordering::Acquire);
            let word = Word::unpack(packed);
            if word.turn != turn || !matches!(word.state, State::HalfOpen { .. }) {
                return;
            }
            self.reopen(packed, millis(now));
        }
    }

    /// From half open back to open, unless somebody has changed the word meanwhile.
    fn reopen(&self, packed: u64, now_ms: u64) {
        let word = Word::unpack(packed);
        let State::HalfOpen { again, .. } = word.state else { return };
        let again = again.saturating_add(1).min(63);
        if self.swap(packed, word.then(self.open(again, now_ms))) {
            self.opened.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn open(&self, again: u8, now_ms: u64) -> State {
        let base = self.config.open_for.as_millis() as u64;
        let most = (self.config.open_at_most.as_millis() as u64).max(base);
        let length = base.saturating_mul(1_u64 << again.min(40)).min(most);
        State::Open { until: now_ms.saturating_add(length), again }
    }

    fn swap(&self, from: u64, to: Word) -> bool {
        let order = (Ordering::AcqRel, Ordering::Relaxed);
        self.word.0.compare_exchange(from, to.pack(), order.0, order.1).is_ok()
    }

    fn change(&self, mut step: impl FnMut(Word) -> Option<Word>) {
        let mut packed = self.word.0.load(Ordering::Acquire);
        while let Some(next) = step(Word::unpack(packed)) {
            let order = (Ordering::AcqRel, Ordering::Acquire);
            match self.word.0.compare_exchange_weak(packed, next.pack(), order.0, order.1) {
                Ok(_) => return,
                Err(now) => packed = now,
            }
        }
    }
}

/// A thread takes in what all have counted each time it has counted so many; a power of two.
const TAKEN_IN_EVERY: u64 = 64;

/// Milliseconds of the breaker's clock, rounded down.
const fn millis(moment: Timestamp) -> u64 {
    moment.as_nanos() / 1_000_000
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Word::unpack(self.word.0.load(Ordering::Relaxed));
        f.debug_struct("Breaker").field("word", &word).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

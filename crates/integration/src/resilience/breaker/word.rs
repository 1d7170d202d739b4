//! The breaker's state, packed into one word, and its transitions: pure functions from word to
//! word.
//!
//! Source: M. Nygard, *Release It!* (2007), for the three states. The failure share is an
//! exponentially weighted mean over calls, as in Roberts, *Control Chart Tests Based on Geometric
//! Moving Averages* (Technometrics 1959), because unlike a window it fits into a word, and because
//! its floor is zero: where nothing fails, a success leaves the word as it is, so that nobody
//! writes and threads share the word without slowing each other down.

/// What the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Calls go through.
    Closed {
        /// The weighted share of failures; [`FULL`] is all.
        level: u32,
        /// Failures since the last success.
        in_a_row: u16,
    },
    /// Calls are refused.
    Open {
        /// Until when, in milliseconds of the breaker's clock.
        until: u64,
        /// How many times in a row it has opened without closing, less one.
        again: u8,
    },
    /// A few calls go through, to see.
    HalfOpen {
        /// How many of them went well so far.
        good: u8,
        /// As in `Open`.
        again: u8,
    },
    /// Somebody holds it open by hand.
    Held,
}

/// A state, and how many transitions led to it (modulo 2^18): a call that began under another
/// turn has no say in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) state: State,
    pub(super) turn: u32,
}

/// All calls fail.
pub(super) const FULL: u32 = (1 << 24) - 1;
/// The latest moment that fits: 34 years of milliseconds.
pub(super) const LATEST: u64 = (1 << 38) - 1;

const TURNS: u32 = 1 << 18;
const TAG: u32 = 62;
const TURN: u32 = 44;
/// Closed, at level zero, with no failure in a row: everything but the turn is zero.
const PAYLOAD: u64 = (1 << TURN) - 1;

impl Word {
    pub(super) const fn new(state: State) -> Self {
        Self { state, turn: 0 }
    }

    pub(super) const fn pack(self) -> u64 {
        let (tag, payload) = match self.state {
            State::Closed { level, in_a_row } => (0, level as u64 | (in_a_row as u64) << 24),
            State::Open { until, again } => {
                (1, (if until > LATEST { LATEST } else { until }) | ((again & 63) as u64) << 38)
            }
            State::HalfOpen { good, again } => (2, good as u64 | ((again & 63) as u64) << 38),
            State::Held => (3, 0),
        };
        (tag << TAG) | ((self.turn % TURNS) as u64) << TURN | payload
    }

    pub(super) const fn unpack(word: u64) -> Self {
        let state = match word >> TAG {
            0 => State::Closed {
                level: (word & FULL as u64) as u32,
                in_a_row: ((word >> 24) & 0xffff) as u16,
            },
            1 => State::Open { until: word & LATEST, again: ((word >> 38) & 63) as u8 },
            2 => State::HalfOpen { good: (word & 0xff) as u8, again: ((word >> 38) & 63) as u8 },
            _ => State::Held,
        };
        Self { state, turn: turn(word) }
    }

    /// The word after a transition to `state`.
    pub(super) const fn then(self, state: State) -> Self {
        Self { state, turn: (self.turn + 1) % TURNS }
    }

    /// The same turn, in which something was counted.
    pub(super) const fn still(self, state: State) -> Self {
        Self { state, turn: self.turn }
    }
}

/// Which turn a packed word is of, without unpacking the rest.
#[inline]
pub(super) const fn turn(word: u64) -> u32 {
    ((word >> TURN) as u32) % TURNS
}

#[inline]
pub(super) const fn is_closed(word: u64) -> bool {
    word >> TAG == 0
}

/// True where a success has nothing to change.
#[inline]
pub(super) const fn is_spotless(word: u64) -> bool {
    word & PAYLOAD == 0
}

/// The level after a success, where a call weighs `1 / 2^shift`. Goes to zero once what is left of
/// the last failure is an eighth of what it weighed.
pub(super) const fn after_success(level: u32, shift: u32) -> u32 {
    let left = level - (level >> shift);
    if left < FULL >> (shift + 3) { 0 } else { left }
}

/// The level after a failure.
pub(super) const fn after_failure(level: u32, shift: u32) -> u32 {
    level + ((FULL - level) >> shift)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_state() -> impl Strategy<Value = State> {
        prop_oneof![
            (0..=FULL, any::<u16>())
                .prop_map(|(level, in_a_row)| State::Closed { level, in_a_row }),
            (0..=LATEST, 0_u8..64).prop_map(|(until, again)| State::Open { until, again }),
            (any::<u8>(), 0_u8..64).prop_map(|(good, again)| State::HalfOpen { good, again }),
            Just(State::Held),
        ]
    }

    proptest! {
        #[test]
        fn a_word_says_what_was_packed(state in any_state(), turn in 0..TURNS) {
            let word = Word { state, turn };
            prop_assert_eq!(Word::unpack(word.pack()), word);
            prop_assert_eq!(super::turn(word.pack()), turn);
            prop_assert_eq!(is_closed(word.pack()), matches!(state, State::Closed { .. }));
            let spotless = state == (State::Closed { level: 0, in_a_row: 0 });
            prop_assert_eq!(is_closed(word.pack()) && is_spotless(word.pack()), spotless);
        }

        /// The level follows the share of failures, whatever the share and the window.
        #[test]
        fn the_level_is_the_share_of_failures(percent in 5_u32..=95, shift in 3_u32..=10) {
            let (mut level, mut sum, mut seen) = (0_u32, 0.0, 0.0);
            for call in 0..(400_u32 << shift) {
                // Spread evenly: a failure wherever the running share crosses a whole number.
                let fails = (call + 1) * percent / 100 > call * percent / 100;
                level = if fails { after_failure(level, shift) } else { after_success(level, shift) };
                if call > 40 << shift {
                    sum += f64::from(level) / f64::from(FULL);
                    seen += 1.0;
                }
            }
            let share = f64::from(percent) / 100.0;
            prop_assert!((sum / seen - share).abs() < 0.03, "{} against {share}", sum / seen);
        }
    }

    #[test]
    fn a_level_returns_to_zero_and_never_passes_all() {
        for shift in 3..=10 {
            let mut level = 0;
            for _ in 0..(20 << shift) {
                level = after_failure(level, shift);
            }
            assert!(level <= FULL && level > FULL / 10 * 9, "{level}");
            let mut successes = 0;
            while level > 0 {
                level = after_success(level, shift);
                successes += 1;
            }
            assert!(successes < 12 << shift, "{successes} for shift {shift}");
        }
    }

    #[test]
    fn turns_wrap_and_late_moments_saturate() {
        let last = Word { state: State::Held, turn: TURNS - 1 };
        assert_eq!(last.then(State::Held).turn, 0);
        let late = Word::new(State::Open { until: u64::MAX, again: 0 });
        assert_eq!(Word::unpack(late.pack()).state, State::Open { until: LATEST, again: 0 });
    }
}

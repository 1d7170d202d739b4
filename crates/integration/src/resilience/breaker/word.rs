//! The breaker's state, packed into one word, and its transitions: pure functions from word to
//! word.
//!
//! Source: M. Nygard, *Release It!* (2007), for the three states. The failure share is an
//! exponentially weighted mean over calls, as in Roberts, *Control Chart Tests Based on Geometric
//! Moving Averages* (Technometrics 1959), because unlike a window it fits into a word, and because
//! its floor is zero: where nothing fails, a success leaves the word as it is, so that nobody
//! writes and threads share the word without slowing each other down. Where something has failed,
//! successes are counted beside the word, and taken into it by the next failure: the word says how
//! far they have been, so that each counts once.

/// What the word says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// Calls go through.
    Closed {
        /// The weighted share of failures; [`FULL`] is all.
        level: u32,
        /// Failures since the last success; at most [`MOST_IN_A_ROW`].
        in_a_row: u16,
        /// How many successes there had been in all when this was written, modulo 2^16.
        seen: u16,
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

/// A state, and how many transitions led to it (modulo 2^16): a call that began under another
/// turn has no say in this one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) state: State,
    pub(super) turn: u32,
}

/// All calls fail.
pub(super) const FULL: u32 = (1 << 20) - 1;
/// More failures in a row than this are not counted.
pub(super) const MOST_IN_A_ROW: u16 = (1 << 10) - 1;
/// The latest moment that fits: 34 years of milliseconds.
pub(super) const LATEST: u64 = (1 << 38) - 1;

const TURNS: u32 = 1 << 16;
const TAG: u32 = 62;
const TURN: u32 = 46;
const SEEN: u32 = 30;
const IN_A_ROW: u32 = 20;
const AGAIN: u32 = 38;
/// Level and failures in a row, of a closed breaker.
const FAILURES: u64 = (1 << SEEN) - 1;

impl Word {
    pub(super) const fn new(state: State) -> Self {
        Self { state, turn: 0 }
    }

    pub(super) const fn pack(self) -> u64 {
        let (tag, payload) = match self.state {
            State::Closed { level, in_a_row, seen } => {
                let in_a_row = if in_a_row > MOST_IN_A_ROW { MOST_IN_A_ROW } else { in_a_row };
                let level = if level > FULL { FULL } else { level };
                (0, level as u64 | (in_a_row as u64) << IN_A_ROW | (seen as u64) << SEEN)
            }
            State::Open { until, again } => {
                (1, (if until > LATEST { LATEST } else { until }) | ((again & 63) as u64) << AGAIN)
            }
            State::HalfOpen { good, again } => (2, good as u64 | ((again & 63) as u64) << AGAIN),
            State::Held => (3, 0),
        };
        (tag << TAG) | ((self.turn % TURNS) as u64) << TURN | payload
    }

    pub(super) const fn unpack(word: u64) -> Self {
        let state = match word >> TAG {
            0 => State::Closed {
                level: (word & FULL as u64) as u32,
                in_a_row: (word >> IN_A_ROW) as u16 & MOST_IN_A_ROW,
                seen: (word >> SEEN) as u16,
            },
            1 => State::Open { until: word & LATEST, again: ((word >> AGAIN) & 63) as u8 },
            2 => State::HalfOpen { good: (word & 0xff) as u8, again: ((word >> AGAIN) & 63) as u8 },
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

/// True where `word` is closed, and was so without a break since it was `then`.
#[inline]
pub(super) const fn is_same_closed(word: u64, then: u64) -> bool {
    is_closed(word) && (word ^ then) >> TURN == 0
}

/// True where a success changes nothing in the closed `word`.
#[inline]
pub(super) const fn is_spotless(word: u64) -> bool {
    word & FAILURES == 0
}

/// The level after so many successes, where a call weighs `1 / 2^shift`. Zero once what is left of
/// the last failure is an eighth of what it weighed.
pub(super) const fn after_successes(level: u32, count: u16, shift: u32) -> u32 {
    // In 2^32ths: what one success leaves, and what `count` of them leave, by squaring.
    let (mut one, mut all, mut count) = ((1_u64 << 32) - (1 << (32 - shift)), 1_u64 << 32, count);
    while count > 0 {
        if count & 1 == 1 {
            all = mul(all, one);
        }
        one = mul(one, one);
        count >>= 1;
    }
    // Rounded down, so that the last of it fades too.
    let left = ((level as u64 * all) >> 32) as u32;
    if left < FULL >> (shift + 3) { 0 } else { left }
}

/// The product of two numbers of which one is in 2^32ths, rounded to the nearest.
const fn mul(one: u64, other: u64) -> u64 {
    ((one as u128 * other as u128 + (1 << 31)) >> 32) as u64
}

/// The level after a failure.
pub(super) const fn after_failure(level: u32, shift: u32) -> u32 {
    level + ((FULL - level) >> shift)
}

/// How many successes there were since `seen`, where by now there have been `total`. None where
/// the total was taken before what was seen.
pub(super) const fn successes_since(seen: u16, total: u16) -> u16 {
    let since = total.wrapping_sub(seen);
    if since > u16::MAX / 2 { 0 } else { since }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_state() -> impl Strategy<Value = State> {
        prop_oneof![
            (0..=FULL, 0..=MOST_IN_A_ROW, any::<u16>())
                .prop_map(|(level, in_a_row, seen)| State::Closed { level, in_a_row, seen }),
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
            let spotless = matches!(state, State::Closed { level: 0, in_a_row: 0, .. });
            prop_assert_eq!(is_closed(word.pack()) && is_spotless(word.pack()), spotless);
            let closed = Word { state: State::Closed { level: 9, in_a_row: 1, seen: 7 }, turn };
            let same = is_same_closed(word.pack(), closed.pack());
            prop_assert_eq!(same, is_closed(word.pack()));
            prop_assert!(!is_same_closed(word.pack(), closed.then(closed.state).pack()));
        }

        /// Many successes at once are as many one by one, but for rounding.
        #[test]
        fn successes_add_up(level in 0..=FULL, counts in prop::collection::vec(0_u16..300, 0..9),
            shift in 3_u32..=10) {
            let at_once = after_successes(level, counts.iter().sum(), shift);
            let in_turn = counts.iter().fold(level, |l, count| after_successes(l, *count, shift));
            let floor = FULL >> (shift + 3);
            prop_assert!(at_once.abs_diff(in_turn) <= 9 + floor * u32::from(at_once.min(in_turn) == 0));
            prop_assert!(at_once <= level);
        }

        #[test]
        fn a_total_that_was_taken_too_early_takes_nothing_back(seen in any::<u16>(), by in 0_u16..9999) {
            prop_assert_eq!(successes_since(seen, seen.wrapping_add(by)), by);
            prop_assert_eq!(successes_since(seen.wrapping_add(by + 1), seen), 0);
        }

        /// The level follows the share of failures, whatever the share and the window.
        #[test]
        fn the_level_is_the_share_of_failures(percent in 5_u32..=95, shift in 3_u32..=10) {
            let (mut level, mut sum, mut seen) = (0_u32, 0.0, 0.0);
            for call in 0..(400_u32 << shift) {
                // Spread evenly: a failure wherever the running share crosses a whole number.
                let fails = (call + 1) * percent / 100 > call * percent / 100;
                level = if fails { after_failure(level, shift) } else { after_successes(level, 1, shift) };
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
                level = after_successes(level, 1, shift);
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

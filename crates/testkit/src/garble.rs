//! Input gone wrong: what a fuzzer feeds to a parser.
//!
//! Changes are those that find mistakes in readers of text and headers: bits flipped, pieces cut,
//! doubled or moved, numbers at the edges of their types, and what is no number at all.

use plimsoll_core_types::SplitMix64;

/// Words that parsers trip over.
const WORDS: [&[u8]; 20] = [
    b"",
    b"-1",
    b"0",
    b"1e309",
    b"-0",
    b"NaN",
    b"inf",
    b"max",
    b"18446744073709551615",
    b"18446744073709551616",
    b"9223372036854771712",
    b"1e-320",
    b"\xff\xfe",
    b"\0",
    b"\r\n",
    b",,,,",
    b"\"",
    b"{[{[",
    b"100%",
    "\u{1d7d8}\u{a0}".as_bytes(),
];
/// At most so many changes at once: more of them are all alike.
const MOST_CHANGES: u64 = 6;
/// Texts do not grow beyond this.
const LONGEST: usize = 1 << 16;

/// Makes wrong inputs out of right ones, the same for the same seed.
#[derive(Clone, Debug)]
pub struct Garble(SplitMix64);

impl Garble {
    /// Those of `seed`.
    pub const fn new(seed: u64) -> Self {
        Self(SplitMix64::new(seed))
    }

    /// A number below `below`, which must be above zero.
    pub const fn below(&mut self, below: u64) -> u64 {
        self.0.next_u64() % below
    }

    /// `input` with a few things wrong.
    pub fn bytes(&mut self, input: &[u8]) -> Vec<u8> {
        let mut bytes = input.to_vec();
        for _ in 0..=self.below(MOST_CHANGES) {
            self.change(&mut bytes);
        }
        bytes.truncate(LONGEST);
        bytes
    }

    /// The same as text; what is no text is replaced as a lenient reader would.
    pub fn text(&mut self, input: &str) -> String {
        String::from_utf8_lossy(&self.bytes(input.as_bytes())).into_owned()
    }

    fn change(&mut self, bytes: &mut Vec<u8>) {
        let (from, to) = self.piece(bytes.len());
        match self.below(7) {
            0 => drop(bytes.drain(from..to)),
            1 => bytes.truncate(from),
            2 => {
                let piece = bytes[from..to].to_vec();
                bytes.splice(from..from, piece);
            }
            3 | 4 => {
                let word = WORDS[self.below(WORDS.len() as u64) as usize];
                bytes.splice(from..to, word.iter().copied());
            }
            5 => {
                let at = self.below(bytes.len() as u64 + 1) as usize;
                bytes.insert(at, self.below(256) as u8);
            }
            _ => {
                let bit = 1_u8 << self.below(8);
                if let Some(byte) = bytes.get_mut(from) {
                    *byte ^= bit;
                }
            }
        }
    }

    /// A piece of something `length` long: mostly short, so that the rest stays right.
    fn piece(&mut self, length: usize) -> (usize, usize) {
        let from = self.below(length as u64 + 1) as usize;
        let longest = if self.below(4) == 0 { 256 } else { 8 };
        (from, length.min(from + self.below(longest) as usize))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_makes_the_same_mistakes_again_and_many_different_ones() {
        let all = |seed| {
            let mut garble = Garble::new(seed);
            (0..100).map(|_| garble.text("MemTotal: 16384 kB\n")).collect::<Vec<_>>()
        };
        assert_eq!(all(3), all(3));
        let mut different = all(3);
        different.sort();
        different.dedup();
        assert!(different.len() > 90, "{}", different.len());
    }

    #[test]
    fn nothing_can_go_wrong_too() {
        let mut garble = Garble::new(1);
        assert!((0..1000).all(|_| garble.bytes(b"").len() <= LONGEST));
    }
}

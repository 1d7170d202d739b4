//! Places by hash, one cache line at a time.
//!
//! A look-up in a table that outgrows the processor's caches costs what the lines that it touches
//! cost. So the bytes that tell which of twelve slots may hold a hash share a line with the slots:
//! a key is found, or found missing, on one line, and that line's address is known from the hash
//! alone, so that it can be [asked for](prefetch) before it is needed.
//!
//! A full chunk counts those that would have stood in it and went on to another. Who leaves counts
//! itself out again, so that a search ends early without a trace of what was removed.
//!
//! Source: Bronson and Shi, *Open-sourcing F14 for faster, more memory-efficient hash tables*
//! (Facebook Engineering, 2019).

use std::fmt;

use crate::prefetch;

/// Places in a chunk.
const SLOTS: usize = 12;

/// Where a chunk counts those that went on, among its tags.
const PASSED: usize = SLOTS;

/// A count this high is no longer kept, and the chunk always passed by.
const MANY: u8 = u8::MAX;

/// The slots that are filled in the mean chunk before there are twice as many chunks.
const FILLED: usize = 10;

/// A line of slots.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Chunk {
    /// For each slot some of its hash's bits, or zero where it is empty; then the count of those
    /// that passed by.
    tags: [u8; 16],
    places: [u32; SLOTS],
}

const EMPTY: Chunk = Chunk { tags: [0; 16], places: [0; SLOTS] };

/// Tells places by the hashes of what stands there.
#[derive(Clone)]
pub(super) struct Index {
    /// A power of two of them.
    chunks: Box<[Chunk]>,
}

impl Index {
    pub(super) fn new() -> Self {
        Self { chunks: Box::new([EMPTY]) }
    }

    /// Where the chunks are, and how many less one.
    #[inline]
    pub(super) fn whereabouts(&self) -> (usize, usize) {
        (self.chunks.as_ptr().addr(), self.mask())
    }

    #[inline]
    fn mask(&self) -> usize {
        self.chunks.len() - 1
    }

    /// What `is_it` makes of the place with this hash of which it makes anything.
    #[inline]
    pub(super) fn find<R>(&self, hash: u64, mut is_it: impl FnMut(u32) -> Option<R>) -> Option<R> {
        let path = Path::new(hash);
        let chunk = &self.chunks[path.at & self.mask()];
        let found = chunk.find(path.tag, &mut is_it);
        if found.is_none() && chunk.was_passed() { self.find_on(path, is_it) } else { found }
    }

    /// Goes on where the first chunk was passed by.
    #[cold]
    #[inline(never)]
    fn find_on<R>(&self, mut path: Path, mut is_it: impl FnMut(u32) -> Option<R>) -> Option<R> {
        for _ in 1..self.chunks.len() {
            path.go_on();
            let chunk = &self.chunks[path.at & self.mask()];
            let found = chunk.find(path.tag, &mut is_it);
            if found.is_some() || !chunk.was_passed() {
                return found;
            }
        }
        None
    }

    /// Makes sure that there is room for `places` of them, of which one may still come; `hash_of`
    /// tells the hash of those that are here.
    #[inline]
    pub(super) fn fit(&mut self, places: usize, hash_of: impl Fn(u32) -> u64) {
        if places > self.chunks.len() * FILLED {
            self.grow(hash_of);
        }
    }

    /// Adds a place that is not here, where there is [room](Self::fit).
    #[inline]
    pub(super) fn insert(&mut self, hash: u64, place: u32) {
        let (mut path, mask) = (Path::new(hash), self.mask());
        loop {
            let chunk = &mut self.chunks[path.at & mask];
            let empty = chunk.alike(0);
            if empty != 0 {
                let slot = empty.trailing_zeros() as usize;
                (chunk.tags[slot], chunk.places[slot]) = (path.tag, place);
                return;
            }
            chunk.tags[PASSED] = chunk.tags[PASSED].saturating_add(1);
            path.go_on();
        }
    }

    #[cold]
    #[inline(never)]
    fn grow(&mut self, hash_of: impl Fn(u32) -> u64) {
        let chunks = vec![EMPTY; self.chunks.len() * 2].into_boxed_slice();
        let before = std::mem::replace(&mut self.chunks, chunks);
        for chunk in &before {
            let filled = chunk.tags.iter().zip(&chunk.places).filter(|(tag, _)| **tag != 0);
            filled.for_each(|(_, place)| self.insert(hash_of(*place), *place));
        }
    }

    /// Takes a place out.
    #[inline]
    pub(super) fn remove(&mut self, hash: u64, place: u32) {
        let (mut path, mask) = (Path::new(hash), self.mask());
        for passed in 0..self.chunks.len() {
            let chunk = &mut self.chunks[path.at & mask];
            if let Some(slot) = chunk.slot(path.tag, place) {
                chunk.tags[slot] = 0;
                self.unpass(hash, passed);
                return;
            }
            if chunk.tags[PASSED] == 0 {
                return;
            }
            path.go_on();
        }
    }

    /// Counts one out of the first chunks on the way of `hash`.
    #[inline]
    fn unpass(&mut self, hash: u64, chunks: usize) {
        let (mut path, mask) = (Path::new(hash), self.mask());
        for _ in 0..chunks {
            let passed = &mut self.chunks[path.at & mask].tags[PASSED];
            if *passed < MANY {
                *passed -= 1;
            }
            path.go_on();
        }
    }
}

/// Asks for the chunk in which a search for `hash` begins, where an index was once so
/// [situated](Index::whereabouts).
#[inline]
pub(crate) fn prefetch((chunks, mask): (usize, usize), hash: u64) {
    prefetch::to_read(chunks.wrapping_add((hash as usize & mask) * size_of::<Chunk>()));
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").field("chunks", &self.chunks.len()).finish_non_exhaustive()
    }
}

/// The chunks in which a hash may be, one after the other.
struct Path {
    at: usize,
    tag: u8,
}

impl Path {
    #[inline]
    fn new(hash: u64) -> Self {
        Self { at: hash as usize, tag: ((hash >> 56) as u8).max(1) }
    }

    /// To the next; an odd step comes by all of them.
    #[inline]
    fn go_on(&mut self) {
        self.at = self.at.wrapping_add(2 * usize::from(self.tag) + 1);
    }
}

impl Chunk {
    /// A bit for each slot with this tag.
    #[inline]
    fn alike(&self, tag: u8) -> u32 {
        alike(&self.tags, tag) & ((1 << SLOTS) - 1)
    }

    #[inline]
    fn find<R>(&self, tag: u8, is_it: &mut impl FnMut(u32) -> Option<R>) -> Option<R> {
        let mut alike = self.alike(tag);
        while alike != 0 {
            let found = is_it(self.places[alike.trailing_zeros() as usize]);
            if found.is_some() {
                return found;
            }
            alike &= alike - 1;
        }
        None
    }

    /// Whether some of those that would stand here went on. As the line was just compared it is
    /// again: reading one byte of what is in a wide register goes by way of the stack.
    #[inline]
    fn was_passed(&self) -> bool {
        alike(&self.tags, 0) & (1 << PASSED) == 0
    }

    #[inline]
    fn slot(&self, tag: u8, place: u32) -> Option<usize> {
        let mut alike = self.alike(tag);
        while alike != 0 {
            let slot = alike.trailing_zeros() as usize;
            if self.places[slot] == place {
                return Some(slot);
            }
            alike &= alike - 1;
        }
        None
    }
}

/// A bit for each byte that is `byte`.
#[cfg(all(target_arch = "x86_64", target_feature = "sse2"))]
#[expect(unsafe_code, reason = "sixteen bytes are compared at once")]
#[inline]
fn alike(bytes: &[u8; 16], byte: u8) -> u32 {
    use std::arch::x86_64::{_mm_cmpeq_epi8, _mm_loadu_si128, _mm_movemask_epi8, _mm_set1_epi8};
    // SAFETY: the processor has SSE2, or this is not compiled; sixteen bytes are read, of sixteen.
    let same = unsafe {
        let bytes = _mm_loadu_si128(bytes.as_ptr().cast());
        _mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(byte.cast_signed())))
    };
    same.cast_unsigned()
}

/// A bit for each byte that is `byte`.
#[cfg(not(all(target_arch = "x86_64", target_feature = "sse2")))]
#[inline]
fn alike(bytes: &[u8; 16], byte: u8) -> u32 {
    let bits = bytes.iter().enumerate().map(|(at, other)| u32::from(*other == byte) << at);
    bits.fold(0, |all, bit| all | bit)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashSet;

    /// Each place has a hash of its own making: few of them, so that they collide, with `kinds` of
    /// tags and homes.
    fn hash_of(place: u32, kinds: u64) -> u64 {
        let kind = u64::from(place) % kinds;
        kind << 56 | (kind / 3)
    }

    fn check(steps: &[(u32, bool)], kinds: u64) {
        let hash = |place| hash_of(place, kinds);
        let (mut index, mut truth) = (Index::new(), HashSet::new());
        for (place, put) in steps {
            let there = truth.contains(place);
            assert_eq!(
                index.find(hash(*place), |at| (at == *place).then_some(at)).is_some(),
                there
            );
            if *put && !there {
                index.fit(truth.len() + 1, hash);
                index.insert(hash(*place), *place);
                truth.insert(*place);
            } else if !*put {
                index.remove(hash(*place), *place);
                truth.remove(place);
            }
        }
        for place in 0..3000 {
            let found = index.find(hash(place), |at| (at == place).then_some(at));
            assert_eq!(found.is_some(), truth.contains(&place), "{place}");
        }
        let filled: usize =
            index.chunks.iter().map(|chunk| SLOTS - chunk.alike(0).count_ones() as usize).sum();
        assert_eq!(filled, truth.len());
        assert!(filled <= index.chunks.len() * FILLED);
        for place in truth {
            index.remove(hash(place), place);
        }
        let passed = |chunk: &Chunk| chunk.tags[PASSED] == 0 || chunk.tags[PASSED] == MANY;
        assert!(index.chunks.iter().all(|chunk| chunk.alike(0) == 0xfff && passed(chunk)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn it_knows_what_a_map_knows(
            steps in prop::collection::vec((0..300_u32, prop::bool::weighted(0.6)), 1..1500),
            kinds in prop_oneof![Just(1_u64), 2..20_u64, Just(256)],
        ) {
            check(&steps, kinds);
        }
    }

    #[test]
    fn a_count_that_is_full_stays_and_nothing_is_lost() {
        let all: Vec<_> = (0..2000).map(|place| (place, true)).collect();
        let most = all.iter().map(|(place, _)| (*place, place % 3 == 0));
        let steps: Vec<_> = all.iter().copied().chain(most).chain(all.iter().copied()).collect();
        check(&steps, 1);
        check(&steps, 7);
    }

    #[test]
    fn a_chunk_is_a_line_and_every_slot_is_told_apart() {
        assert_eq!((size_of::<Chunk>(), align_of::<Chunk>()), (64, 64));
        for at in 0..16 {
            let mut bytes = [3; 16];
            bytes[at] = 200;
            assert_eq!((alike(&bytes, 200), alike(&bytes, 3)), (1 << at, 0xffff ^ (1 << at)));
        }
    }
}

//! Weights that turn text into vectors: hashed n-grams, and a random projection of them.
//!
//! Every feature of a text (its words, and the runs of three to five characters in them) is
//! hashed to one row of a table, with a sign; the text's embedding is the normalized sum of its
//! rows. Rows are random unit vectors, so texts that share features get similar embeddings, and
//! texts that share none get nearly orthogonal ones.
//!
//! Sources: Weinberger et al., *Feature Hashing for Large Scale Multitask Learning* (ICML 2009);
//! Bojanowski et al., *Enriching Word Vectors with Subword Information* (TACL 2017) for the
//! n-grams; Ailon and Chazelle, *The Fast Johnson–Lindenstrauss Transform* (SIAM J. Comput. 2009)
//! for rows made by rounds of random signs and Hadamard transforms.

use plimsoll_core_types::{Bytes, SplitMix64};

/// Numbers in an embedding; a power of two, as the Hadamard transform wants.
pub const DIMENSIONS: usize = 256;
const ROW_BYTES: u64 = (DIMENSIONS * size_of::<f32>()) as u64;
const SHORTEST: usize = 3;
const LONGEST: usize = 5;

/// A table of random unit vectors, in memory that has been written to.
#[derive(Debug)]
pub struct Weights {
    table: Vec<f32>,
}

impl Weights {
    /// As many rows as fit in `size` (at least one), made by `rounds` rounds (at least two) from
    /// `seed`. Tells `progress` which share is done, about a hundred times.
    pub fn build(size: Bytes, rounds: u32, seed: u64, progress: impl Fn(f32)) -> Self {
        let rows = (size.get() / ROW_BYTES).max(1) as usize;
        let mut table = vec![0.0; rows * DIMENSIONS];
        let report_every = rows.div_ceil(100);
        for (index, row) in table.chunks_exact_mut(DIMENSIONS).enumerate() {
            let mut state = mix(seed ^ mix(index as u64));
            fill(row, &mut state, rounds.max(2));
            if index % report_every == 0 {
                progress(index as f32 / rows as f32);
            }
        }
        progress(1.0);
        Self { table }
    }

    /// The unit vector of `text`; all zeros where it has no word.
    pub fn embed(&self, text: &str) -> Vec<f32> {
        let mut sum = vec![0.0_f32; DIMENSIONS];
        for word in text.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
            self.add_word(&word.to_lowercase(), &mut sum);
        }
        normalize(&mut sum);
        sum
    }

    fn add_word(&self, word: &str, sum: &mut [f32]) {
        // Boundaries make the start and the end of a word features of their own.
        let bounded: Vec<char> = std::iter::once('<').chain(word.chars()).chain(['>']).collect();
        for length in SHORTEST..=LONGEST.min(bounded.len()) {
            bounded.windows(length).for_each(|gram| self.add_feature(gram, sum));
        }
        if bounded.len() > LONGEST {
            self.add_feature(&bounded, sum);
        }
    }

    fn add_feature(&self, feature: &[char], sum: &mut [f32]) {
        let hash = feature.iter().fold(0, |hash, c| mix(hash ^ u64::from(u32::from(*c))));
        let rows = self.table.len() / DIMENSIONS;
        let start = (hash as usize >> 1) % rows * DIMENSIONS;
        let sign = if hash & 1 == 0 { 1.0 } else { -1.0 };
        let row = &self.table[start..start + DIMENSIONS];
        sum.iter_mut().zip(row).for_each(|(total, value)| *total += sign * value);
    }
}

/// A random unit vector: one basis vector, turned by rounds of signs and Hadamard transforms.
fn fill(row: &mut [f32], state: &mut u64, rounds: u32) {
    *state = mix(*state);
    row[*state as usize % DIMENSIONS] = 1.0;
    for _ in 0..rounds {
        flip_signs(row, state);
        hadamard(row);
    }
}

fn flip_signs(row: &mut [f32], state: &mut u64) {
    for lane in row.chunks_mut(64) {
        *state = mix(*state);
        for (bit, value) in lane.iter_mut().enumerate() {
            let sign = ((*state >> bit) as u32 & 1) << 31;
            *value = f32::from_bits(value.to_bits() ^ sign);
        }
    }
}

/// The orthonormal Walsh–Hadamard transform, in place.
fn hadamard(row: &mut [f32]) {
    let mut half = 1;
    while half < row.len() {
        for pair in row.chunks_exact_mut(2 * half) {
            let (left, right) = pair.split_at_mut(half);
            for (a, b) in left.iter_mut().zip(right) {
                (*a, *b) = (*a + *b, *a - *b);
            }
        }
        half *= 2;
    }
    let scale = 1.0 / (row.len() as f32).sqrt();
    for value in row {
        *value *= scale;
    }
}

fn normalize(vector: &mut [f32]) {
    let length = vector.iter().map(|value| value * value).sum::<f32>().sqrt();
    if length > 0.0 {
        for value in vector {
            *value /= length;
        }
    }
}

/// The number that follows `state`, which spreads each of its bits over all.
const fn mix(state: u64) -> u64 {
    SplitMix64::new(state).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weights() -> Weights {
        Weights::build(Bytes::from_mib(4), 3, 7, |_| ())
    }

    fn cosine(a: &[f32], b: &[f32]) -> f32 {
        a.iter().zip(b).map(|(a, b)| a * b).sum()
    }

    #[test]
    fn similar_texts_get_similar_vectors() {
        let weights = weights();
        let base = weights.embed("The ship takes its cargo on board at noon");
        let close = weights.embed("the ships take their cargo on board at noon!");
        let far = weights.embed("quarterly revenue grew by eleven percent");
        assert!((cosine(&base, &base) - 1.0).abs() < 1e-5);
        assert!(cosine(&base, &close) > 0.6, "{}", cosine(&base, &close));
        assert!(cosine(&base, &far) < 0.25, "{}", cosine(&base, &far));
    }

    #[test]
    fn rows_are_unit_vectors_and_nearly_orthogonal() {
        let weights = weights();
        let rows: Vec<_> = weights.table.chunks_exact(DIMENSIONS).take(64).collect();
        for (index, row) in rows.iter().enumerate() {
            assert!((cosine(row, row) - 1.0).abs() < 1e-4);
            for other in &rows[..index] {
                assert!(cosine(row, other).abs() < 0.35);
            }
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_embedding() {
        let (one, two) = (weights().embed("noon"), weights().embed("noon"));
        assert_eq!(one, two);
        let other = Weights::build(Bytes::from_mib(4), 3, 8, |_| ()).embed("noon");
        assert!(cosine(&one, &other) < 0.5);
        assert!(weights().embed(" … ").iter().all(|value| *value == 0.0));
    }
}

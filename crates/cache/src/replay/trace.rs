//! Recorded keys.

use std::collections::HashMap;
use std::hash::BuildHasher;
use std::io;
use std::path::{Path, PathBuf};

use crate::hash::{Seeded, Spread, mix};

/// How many accesses are looked at to guess what an entry weighs.
const EARLY: usize = 1000;

/// Turns keys into others.
const OTHER: u64 = 0x5bd1_e995_9e37_79b9;

/// Keys in the order in which they were asked for, with sizes where those are known.
#[derive(Clone, Debug, PartialEq)]
pub struct Trace {
    accesses: Vec<(u64, u32)>,
    has_sizes: bool,
    unique_keys: usize,
    unique_weight: u64,
}

/// Why a trace can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TraceError {
    /// The file can't be read.
    #[error("reading {path}: {source}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// This build can't decompress it.
    #[error("{path} is compressed; build with the feature `traces` of plimsoll-cache to read it")]
    Compressed {
        /// Which file.
        path: PathBuf,
    },
    /// Not whole numbers of four bytes.
    #[error("{path} has {bytes} bytes, which are no whole number of 4-byte keys")]
    Ragged {
        /// Which file.
        path: PathBuf,
        /// How many bytes it has.
        bytes: usize,
    },
    /// Not text.
    #[error("{path} is no UTF-8 text; binary keys go by the name of *.u32 or *.u32.zst")]
    NotText {
        /// Which file.
        path: PathBuf,
    },
    /// A size that is none.
    #[error("line {line}: size is {given:?}; it must be 0 to 4294967295")]
    Size {
        /// Which line, from 1.
        line: usize,
        /// What was given.
        given: String,
    },
    /// More than a key and a size.
    #[error("line {line} has {given} fields; it must have a key and, where it is known, a size")]
    Fields {
        /// Which line, from 1.
        line: usize,
        /// How many fields it has.
        given: usize,
    },
    /// A line without a size among others with one, or the other way round.
    #[error(
        "line {line} has {this} size, unlike those before it; all lines must have one, or none"
    )]
    Mixed {
        /// Which line, from 1.
        line: usize,
        /// What it has: `a` or `no`.
        this: &'static str,
    },
    /// There is no access.
    #[error("the trace is empty")]
    Empty,
    /// One size for each access is needed.
    #[error("there are {sizes} sizes for {accesses} accesses")]
    Sizes {
        /// How many sizes there are.
        sizes: usize,
        /// How many accesses.
        accesses: usize,
    },
}

impl Trace {
    /// Accesses by number.
    ///
    /// # Errors
    ///
    /// When there is none, or `sizes` are not as many.
    pub fn new(
        keys: impl IntoIterator<Item = u64>,
        sizes: Option<&[u32]>,
    ) -> Result<Self, TraceError> {
        let keys = keys.into_iter().map(mix);
        let accesses: Vec<(u64, u32)> = match sizes {
            None => keys.map(|key| (key, 1)).collect(),
            Some(sizes) => {
                let keys: Vec<u64> = keys.collect();
                if keys.len() != sizes.len() {
                    let (sizes, accesses) = (sizes.len(), keys.len());
                    return Err(TraceError::Sizes { sizes, accesses });
                }
                keys.into_iter().zip(sizes.iter().copied()).collect()
            }
        };
        Self::of(accesses, sizes.is_some())
    }

    /// One access a line: the key, and after white space or a comma its size; on all lines or on
    /// none. Empty lines and those that begin with `#` are left out.
    ///
    /// # Errors
    ///
    /// The first line with a size that is no number, with none or one unlike the others, or with
    /// more than that; or no access at all.
    pub fn parse(text: &str) -> Result<Self, TraceError> {
        let hasher = Seeded::fixed(1);
        let mut has_sizes = None;
        let mut accesses = Vec::new();
        for (line, text) in (1..).zip(text.lines()) {
            let mut fields = text.split([' ', '\t', ',']).filter(|field| !field.is_empty());
            let Some(key) = fields.next().filter(|key| !key.starts_with('#')) else { continue };
            let size = fields.next().map(|size| {
                let error = |_| TraceError::Size { line, given: size.to_owned() };
                size.parse::<u32>().map_err(error)
            });
            let size = size.transpose()?;
            let rest = fields.count();
            if rest > 0 {
                return Err(TraceError::Fields { line, given: rest + 2 });
            }
            if *has_sizes.get_or_insert(size.is_some()) != size.is_some() {
                let this = if size.is_some() { "a" } else { "no" };
                return Err(TraceError::Mixed { line, this });
            }
            accesses.push((hasher.hash_one(key), size.unwrap_or(1)));
        }
        Self::of(accesses, has_sizes.unwrap_or(false))
    }

    /// Reads a file: `*.u32.zst` (with the feature `traces`) and `*.u32` as little-endian numbers,
    /// everything else as text. `NAME.sizes.u32.zst` beside `NAME.u32.zst` is not read by itself:
    /// a trace of keys stays one of keys.
    ///
    /// # Errors
    ///
    /// The file, and what is wrong with it.
    pub fn read(path: &Path) -> Result<Self, TraceError> {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.ends_with(".u32.zst") || name.ends_with(".u32") {
            return Self::new(numbers(path)?.into_iter().map(u64::from), None);
        }
        let bytes = bytes(path)?;
        let text =
            String::from_utf8(bytes).map_err(|_| TraceError::NotText { path: path.to_owned() })?;
        Self::parse(&text)
    }

    /// As [`read`](Self::read), with the sizes in another file of numbers.
    ///
    /// # Errors
    ///
    /// As those of `read`, for both files.
    pub fn read_sized(path: &Path, sizes: &Path) -> Result<Self, TraceError> {
        let sizes = numbers(sizes)?;
        Self::new(numbers(path)?.into_iter().map(u64::from), Some(&sizes))
    }

    fn of(accesses: Vec<(u64, u32)>, has_sizes: bool) -> Result<Self, TraceError> {
        if accesses.is_empty() {
            return Err(TraceError::Empty);
        }
        let unique: HashMap<u64, u32, Spread> = accesses.iter().copied().collect();
        let unique_weight = unique.values().map(|weight| u64::from(*weight)).sum();
        Ok(Self { accesses, has_sizes, unique_keys: unique.len(), unique_weight })
    }

    /// Key and weight of every access.
    pub fn accesses(&self) -> &[(u64, u32)] {
        &self.accesses
    }

    /// Whether weights are sizes, rather than all one.
    pub fn has_sizes(&self) -> bool {
        self.has_sizes
    }

    /// How many keys there are.
    pub fn unique_keys(&self) -> usize {
        self.unique_keys
    }

    /// What they weigh together, each as it was last.
    pub fn unique_weight(&self) -> u64 {
        self.unique_weight
    }

    /// What one of the first thousand weighs, on average: what is known when a cache starts.
    pub fn early_mean_weight(&self) -> f64 {
        let early = &self.accesses[..self.accesses.len().min(EARLY)];
        let sum: u64 = early.iter().map(|(_, weight)| u64::from(*weight)).sum();
        sum as f64 / early.len() as f64
    }

    /// The same accesses to keys that no other trace has.
    #[must_use]
    pub fn with_other_keys(mut self) -> Self {
        self.accesses.iter_mut().for_each(|(key, _)| *key = mix(*key ^ OTHER));
        self
    }

    /// One trace after the other; keys of the same number are the same key.
    #[must_use]
    pub fn then(mut self, other: &Self) -> Self {
        let weight = self.has_sizes || other.has_sizes;
        self.accesses.extend_from_slice(&other.accesses);
        // Neither is empty, so together they are not.
        Self::of(self.accesses.clone(), weight).unwrap_or(self)
    }
}

fn bytes(path: &Path) -> Result<Vec<u8>, TraceError> {
    std::fs::read(path).map_err(|source| TraceError::Read { path: path.to_owned(), source })
}

fn numbers(path: &Path) -> Result<Vec<u32>, TraceError> {
    let mut bytes = bytes(path)?;
    if path.extension().is_some_and(|extension| extension == "zst") {
        bytes = decompress(path, &bytes)?;
    }
    let (numbers, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(TraceError::Ragged { path: path.to_owned(), bytes: bytes.len() });
    }
    Ok(numbers.iter().map(|bytes| u32::from_le_bytes(*bytes)).collect())
}

#[cfg(feature = "traces")]
fn decompress(path: &Path, bytes: &[u8]) -> Result<Vec<u8>, TraceError> {
    zstd::decode_all(bytes).map_err(|source| TraceError::Read { path: path.to_owned(), source })
}

#[cfg(not(feature = "traces"))]
fn decompress(path: &Path, _: &[u8]) -> Result<Vec<u8>, TraceError> {
    Err(TraceError::Compressed { path: path.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_has_keys_and_perhaps_sizes() {
        let check = |text: &str, expected: &str| {
            assert_eq!(Trace::parse(text).unwrap_err().to_string(), expected);
        };
        check(
            "# header\nGET /a, 10\n\nb\tx\n",
            "line 2: size is \"/a\"; it must be 0 to 4294967295",
        );
        check(
            "a 1\nb 2 3\n",
            "line 2 has 3 fields; it must have a key and, where it is known, a size",
        );
        let mixed = "unlike those before it; all lines must have one, or none";
        check("a 1\n#\nb\n", &format!("line 3 has no size, {mixed}"));
        check("a\nb 1\n", &format!("line 2 has a size, {mixed}"));
        let trace = Trace::parse("# header\n/a, 10\n\n/b\t20\n/a 10").unwrap();
        assert_eq!((trace.accesses().len(), trace.unique_keys()), (3, 2));
        assert!(trace.has_sizes() && trace.accesses()[0] == trace.accesses()[2]);
        assert!(matches!(Trace::parse("#\n"), Err(TraceError::Empty)));
    }

    #[test]
    fn sizes_must_be_as_many() {
        let error = Trace::new([1, 2], Some(&[1])).unwrap_err();
        assert_eq!(error.to_string(), "there are 1 sizes for 2 accesses");
    }
}

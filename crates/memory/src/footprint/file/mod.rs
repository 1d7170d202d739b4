//! What a model's file says of its footprint, for the first load, before anything was measured.
//!
//! The weights' size and the attention's shape stand in the file's own header, so that nothing has
//! to be guessed from names or parameter counts:
//!
//! - **weights**: the data after the header;
//! - **KV cache**: for each token of context and each layer, one key and one value of (KV heads ×
//!   head length) elements;
//! - **compute**: one batch of activations and logits, and of attention scores where they are
//!   written out.
//!
//! ```no_run
//! use plimsoll_core_types::Bytes;
//! use plimsoll_memory::footprint::{Load, ModelFile};
//!
//! let file = ModelFile::open("llama-8b.Q4_K_M.gguf".as_ref())?;
//! let estimate = file.estimate(&Load { context: 8192, ..Load::default() });
//! println!("{} in all, {:?} of it KV cache", estimate.total(), estimate.kv_cache);
//! # Ok::<(), plimsoll_memory::footprint::ModelFileError>(())
//! ```

mod gguf;
mod safetensors;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use plimsoll_core_types::Bytes;
use serde::{Deserialize, Serialize};

/// How keys and values are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum KvType {
    /// Four bytes an element.
    F32,
    /// Two bytes an element: the usual.
    #[default]
    F16,
    /// Blocks of 32 elements in 34 bytes.
    Q8,
    /// Blocks of 32 elements in 18 bytes.
    Q4,
}

impl KvType {
    /// Bytes that 32 elements take.
    const fn block(self) -> u64 {
        match self {
            Self::F32 => 128,
            Self::F16 => 64,
            Self::Q8 => 34,
            Self::Q4 => 18,
        }
    }
}

/// How a model is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Load {
    /// Tokens of context of all sequences together. Default 4096.
    pub context: u64,
    /// Tokens that are computed at once. Default 512.
    pub batch: u64,
    /// How keys and values are stored. Default [`KvType::F16`].
    pub kv: KvType,
    /// True where attention scores are never written out. Default true.
    pub flash_attention: bool,
}

impl Default for Load {
    fn default() -> Self {
        Self { context: 4096, batch: 512, kv: KvType::F16, flash_attention: true }
    }
}

/// Which format a file has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ModelFormat {
    /// Of `llama.cpp` and its kin.
    Gguf,
    /// Of Hugging Face.
    Safetensors,
}

/// What a model's file says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ModelFile {
    /// Its format.
    pub format: ModelFormat,
    /// The size of its weights.
    pub weights: Bytes,
    /// How many layers it has; zero where the file does not tell.
    pub layers: u64,
    /// Elements of keys and values that one token of context takes, in all layers together: zero of
    /// a model that keeps none, none where the file does not tell.
    pub kv_elements: Option<u64>,
    /// The longest context that it was trained for, where the file tells.
    pub longest_context: Option<u64>,
    /// Elements of one token's activations and logits; zero where the file does not tell.
    pub activations: u64,
    /// Attention heads; zero where the file does not tell.
    pub heads: u64,
}

/// What a load is estimated to take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Estimate {
    /// The weights. Where they are mapped and not read, these are pages of the file; an engine
    /// that rearranges them for its processor holds a second copy, which no header tells of and
    /// the first measurement does.
    pub weights: Bytes,
    /// Keys and values; none where the file does not tell.
    pub kv_cache: Option<Bytes>,
    /// Activations, logits, scores.
    pub compute: Bytes,
}

impl Estimate {
    /// All of it. What is not known is not in it.
    pub fn total(&self) -> Bytes {
        [self.weights, self.kv_cache.unwrap_or_default(), self.compute].into_iter().sum()
    }
}

impl ModelFile {
    /// Reads the header of the file at `path`.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is of neither format.
    pub fn open(path: &Path) -> Result<Self, ModelFileError> {
        let file = File::open(path).map_err(|error| ModelFileError::read("opening it", &error))?;
        let length =
            file.metadata().map_err(|error| ModelFileError::read("its length", &error))?.len();
        Self::parse(BufReader::new(file), Bytes::new(length))
    }

    /// Reads the header of a file of `length` from its start. No more than the header is read.
    ///
    /// # Errors
    ///
    /// When it can't be read, or is of neither format.
    pub fn parse(mut reader: impl Read, length: Bytes) -> Result<Self, ModelFileError> {
        let mut start = [0; 8];
        reader.read_exact(&mut start).map_err(|error| ModelFileError::read("its start", &error))?;
        if start.starts_with(b"GGUF") {
            gguf::parse(io::Cursor::new(start).chain(reader), length)
        } else {
            safetensors::parse(u64::from_le_bytes(start), reader, length)
        }
    }

    /// What a load takes.
    pub fn estimate(&self, load: &Load) -> Estimate {
        let kv = |elements: u64| {
            let all = u128::from(elements) * u128::from(load.context);
            saturated(all.saturating_mul(u128::from(load.kv.block())).div_ceil(32))
        };
        Estimate {
            weights: self.weights,
            kv_cache: self.kv_elements.map(kv),
            compute: self.compute(load),
        }
    }

    /// One batch of activations and logits in 32 bits, and of scores where they are written out.
    fn compute(&self, load: &Load) -> Bytes {
        const FLOAT: u128 = 4;
        let batch = u128::from(load.batch.min(load.context));
        let scores = if load.flash_attention {
            0
        } else {
            u128::from(self.heads).saturating_mul(u128::from(load.context))
        };
        let of_token = u128::from(self.activations).saturating_add(scores);
        saturated(of_token.saturating_mul(batch).saturating_mul(FLOAT))
    }
}

fn saturated(bytes: u128) -> Bytes {
    Bytes::new(u64::try_from(bytes).unwrap_or(u64::MAX))
}

/// Why a model's file can't be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ModelFileError {
    /// It can't be read, or ends too early.
    #[error("model file: reading {what} failed: {problem}")]
    Read {
        /// Which part.
        what: &'static str,
        /// What was wrong.
        problem: String,
    },
    /// A version that is not known.
    #[error("model file: GGUF version {given}; 2 and 3 are known")]
    Version {
        /// What it says.
        given: u32,
    },
    /// A part is larger than it may be.
    #[error("model file: {what} is {given}; at most {most}")]
    TooLarge {
        /// Which part.
        what: &'static str,
        /// What it says.
        given: u64,
        /// What is allowed.
        most: u64,
    },
    /// A part is not what it should be.
    #[error("model file: {what}: {problem}")]
    Malformed {
        /// Which part.
        what: &'static str,
        /// What was wrong.
        problem: String,
    },
}

impl ModelFileError {
    fn read(what: &'static str, error: &io::Error) -> Self {
        Self::Read { what, problem: error.to_string() }
    }

    fn malformed(what: &'static str, problem: &dyn std::fmt::Display) -> Self {
        Self::Malformed { what, problem: problem.to_string() }
    }
}

/// Elements that one token has in flight: its logits, its state before and after a layer with a
/// copy of each, and both sides of a gated feed-forward.
fn activations(words: u64, embedding: u64, wide: u64) -> u64 {
    words.saturating_add(embedding.saturating_mul(4)).saturating_add(wide.saturating_mul(2))
}

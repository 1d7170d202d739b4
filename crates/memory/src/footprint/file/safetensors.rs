//! Safetensors, as its README describes it: the header's length, the header as JSON, the data.
//!
//! The header tells names and shapes. A layer's number stands in a tensor's name, and the rows of
//! its key and value projections are (KV heads × head length), which is what a token of context
//! takes there.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;

use plimsoll_core_types::Bytes;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::{ModelFile, ModelFileError, ModelFormat};

/// The format's own bound on its header.
const MOST_HEADER: u64 = 100_000_000;

#[derive(Deserialize)]
struct Tensor {
    shape: Vec<u64>,
    data_offsets: [u64; 2],
}

/// A tensor, or the entry that is none.
#[derive(Deserialize)]
#[serde(untagged)]
enum Entry {
    Tensor(Tensor),
    Other(IgnoredAny),
}

pub(super) fn parse(
    header: u64,
    reader: impl Read,
    length: Bytes,
) -> Result<ModelFile, ModelFileError> {
    const WHAT: &str = "its header";
    if header > MOST_HEADER {
        let (what, most) = ("the length of its header", MOST_HEADER);
        return Err(ModelFileError::TooLarge { what, given: header, most });
    }
    let mut text = Vec::new();
    let read = reader.take(header).read_to_end(&mut text);
    read.map_err(|error| ModelFileError::read(WHAT, &error))?;
    if (text.len() as u64) < header {
        return Err(ModelFileError::malformed(WHAT, &"the file ends within it"));
    }
    let entries: BTreeMap<String, Entry> =
        serde_json::from_slice(&text).map_err(|error| ModelFileError::malformed(WHAT, &error))?;
    let tensors = entries.iter().filter_map(|(name, entry)| match entry {
        Entry::Tensor(tensor) => Some((name.as_str(), tensor)),
        Entry::Other(_) => None,
    });
    let tensors: Vec<_> = tensors.collect();
    if tensors.is_empty() {
        return Err(ModelFileError::malformed(WHAT, &"it names no tensors"));
    }
    let end = tensors.iter().map(|(_, tensor)| tensor.data_offsets[1]).max().unwrap_or(0);
    let data = length.saturating_sub(Bytes::new(header.saturating_add(8)));
    if Bytes::new(end) > data {
        return Err(ModelFileError::malformed("its data", &"the file ends within it"));
    }
    Ok(shape(&tensors))
}

fn shape(tensors: &[(&str, &Tensor)]) -> ModelFile {
    let size = |tensor: &Tensor| {
        let [start, end] = tensor.data_offsets;
        Bytes::new(end.saturating_sub(start))
    };
    let layers: BTreeSet<u64> = tensors.iter().filter_map(|(name, _)| layer(name)).collect();
    let rows = |ends: &[&str]| -> u64 {
        let ending = |name: &str| ends.iter().any(|end| name.ends_with(end));
        let fitting = tensors.iter().filter(|(name, _)| layer(name).is_some() && ending(name));
        fitting.fold(0, |sum, (_, tensor)| {
            sum.saturating_add(tensor.shape.first().copied().unwrap_or(0))
        })
    };
    let is_encoder = tensors.iter().any(|(name, _)| name.contains("encoder.layer."));
    let keys_and_values = rows(&["k_proj.weight", "v_proj.weight"]);
    let kv_elements = match keys_and_values {
        0 => is_encoder.then_some(0),
        elements => Some(elements),
    };
    // The embedding's table has a row for each word, of one embedding.
    let table = tensors.iter().find(|(name, tensor)| {
        tensor.shape.len() == 2
            && (name.contains("embed_tokens") || name.contains("word_embeddings"))
    });
    let (words, embedding) = table.map_or((0, 0), |(_, table)| (table.shape[0], table.shape[1]));
    let first = layers.first().copied();
    let wide = tensors.iter().filter(|(name, _)| layer(name) == first);
    let wide = wide.filter_map(|(_, tensor)| tensor.shape.iter().max()).max().copied().unwrap_or(0);
    // An encoder has no logits over words.
    let words = if is_encoder { 0 } else { words };
    ModelFile {
        format: ModelFormat::Safetensors,
        weights: tensors.iter().map(|(_, tensor)| size(tensor)).sum(),
        layers: layers.len() as u64,
        kv_elements,
        longest_context: None,
        activations: super::activations(words, embedding, wide),
        heads: 0,
    }
}

/// The first number among the parts of a name such as `model.layers.7.self_attn.k_proj.weight`.
fn layer(name: &str) -> Option<u64> {
    name.split('.').find_map(|part| part.parse().ok())
}

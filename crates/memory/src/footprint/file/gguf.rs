//! GGUF, versions 2 and 3, as `docs/gguf.md` of the `ggml` project describes it.

use std::collections::HashMap;
use std::io::Read;

use plimsoll_core_types::Bytes;

use super::{ModelFile, ModelFileError, ModelFormat};

/// What any of these may be at most: far more than any model has, far less than would hurt.
const MOST_ENTRIES: u64 = 1 << 20;
const MOST_TENSORS: u64 = 1 << 20;
const MOST_TEXT: u64 = 1 << 24;
const MOST_ELEMENTS: u64 = 1 << 24;
const MOST_DIMENSIONS: u64 = 8;
const MOST_NESTED: u32 = 4;

/// A value that matters here; everything else is passed over.
#[derive(Clone, Debug)]
enum Value {
    Number(u64),
    Text(String),
    /// Numbers by layer.
    Numbers(Vec<u64>),
    /// How many elements there were.
    Count(u64),
    Other,
}

pub(super) fn parse(reader: impl Read, length: Bytes) -> Result<ModelFile, ModelFileError> {
    let mut input = Input { reader, position: 0 };
    let (_magic, version) = (input.u32("its magic")?, input.u32("its version")?);
    if !(2..=3).contains(&version) {
        return Err(ModelFileError::Version { given: version });
    }
    let tensors = input.count("the number of tensors", MOST_TENSORS)?;
    let entries = input.count("the number of entries", MOST_ENTRIES)?;
    let mut values = HashMap::new();
    for _ in 0..entries {
        let key = input.text("a key")?;
        let kind = input.u32("a type")?;
        let value = input.value(kind, 0)?;
        values.insert(key, value);
    }
    for _ in 0..tensors {
        input.tensor()?;
    }
    let alignment = number(&values, "general.alignment").unwrap_or(32).max(1);
    let data = input.position.div_ceil(alignment).saturating_mul(alignment);
    let weights = length.saturating_sub(Bytes::new(data));
    Ok(shape(&values, weights))
}

/// The model's shape by its entries, which stand under its architecture's name.
fn shape(values: &HashMap<String, Value>, weights: Bytes) -> ModelFile {
    let architecture = match values.get("general.architecture") {
        Some(Value::Text(name)) => name.as_str(),
        _ => "",
    };
    let own = |key: &str| number(values, &format!("{architecture}.{key}"));
    let layers = own("block_count").unwrap_or(0);
    let heads = own("attention.head_count").unwrap_or(0);
    let embedding = own("embedding_length").unwrap_or(0);
    let head = embedding.checked_div(heads);
    let key = own("attention.key_length").or(head);
    let value = own("attention.value_length").or(head);
    let kv_heads = values.get(&format!("{architecture}.attention.head_count_kv"));
    let kv_heads = match kv_heads {
        // Layers differ: those without attention have none.
        Some(Value::Numbers(by_layer)) => {
            Some(by_layer.iter().fold(0, |a: u64, b| a.saturating_add(*b)))
        }
        Some(Value::Number(each)) => Some(each.saturating_mul(layers)),
        _ => (heads > 0).then(|| heads.saturating_mul(layers)),
    };
    // Models that only embed keep no keys and values.
    let causal =
        !matches!(values.get(&format!("{architecture}.attention.causal")), Some(Value::Number(0)));
    let per_head = key.zip(value).map(|(key, value)| key.saturating_add(value));
    let kv_elements = if causal {
        kv_heads.zip(per_head).map(|(heads, elements)| heads.saturating_mul(elements))
    } else {
        Some(0)
    };
    let words = match values.get("tokenizer.ggml.tokens") {
        Some(Value::Count(words)) => *words,
        _ => own("vocab_size").unwrap_or(0),
    };
    let wide = own("feed_forward_length").unwrap_or(0);
    ModelFile {
        format: ModelFormat::Gguf,
        weights,
        layers,
        kv_elements,
        longest_context: own("context_length"),
        activations: super::activations(words, embedding, wide),
        heads,
    }
}

fn number(values: &HashMap<String, Value>, key: &str) -> Option<u64> {
    match values.get(key) {
        Some(Value::Number(number)) => Some(*number),
        // Where it differs by layer, the largest decides how wide buffers are.
        Some(Value::Numbers(by_layer)) => by_layer.iter().copied().max(),
        _ => None,
    }
}

/// Little-endian values, one after the other.
struct Input<R> {
    reader: R,
    position: u64,
}

impl<R: Read> Input<R> {
    fn bytes<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], ModelFileError> {
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes).map_err(|error| ModelFileError::read(what, &error))?;
        self.position += N as u64;
        Ok(bytes)
    }

    fn u32(&mut self, what: &'static str) -> Result<u32, ModelFileError> {
        self.bytes(what).map(u32::from_le_bytes)
    }

    fn count(&mut self, what: &'static str, most: u64) -> Result<u64, ModelFileError> {
        let given = self.bytes(what).map(u64::from_le_bytes)?;
        if given > most { Err(ModelFileError::TooLarge { what, given, most }) } else { Ok(given) }
    }

    fn text(&mut self, what: &'static str) -> Result<String, ModelFileError> {
        let length = self.count(what, MOST_TEXT)?;
        let mut bytes = Vec::new();
        // By what is there, not by what is announced: a short file allocates little.
        let read = self.reader.by_ref().take(length).read_to_end(&mut bytes);
        let read = read.map_err(|error| ModelFileError::read(what, &error))? as u64;
        self.position += read;
        if read < length {
            return Err(ModelFileError::malformed(what, &"the file ends within it"));
        }
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, kind: u32, nested: u32) -> Result<Value, ModelFileError> {
        const WHAT: &str = "a value";
        let signed = |number: i64| u64::try_from(number).map_or(Value::Other, Value::Number);
        Ok(match kind {
            0 | 7 => Value::Number(u64::from(self.bytes::<1>(WHAT)?[0])),
            1 => signed(i64::from(i8::from_le_bytes(self.bytes(WHAT)?))),
            2 => Value::Number(u64::from(u16::from_le_bytes(self.bytes(WHAT)?))),
            3 => signed(i64::from(i16::from_le_bytes(self.bytes(WHAT)?))),
            4 => Value::Number(u64::from(self.u32(WHAT)?)),
            5 => signed(i64::from(i32::from_le_bytes(self.bytes(WHAT)?))),
            6 => self.bytes::<4>(WHAT).map(|_| Value::Other)?,
            8 => Value::Text(self.text(WHAT)?),
            9 => self.array(nested)?,
            10 => Value::Number(u64::from_le_bytes(self.bytes(WHAT)?)),
            11 => signed(i64::from_le_bytes(self.bytes(WHAT)?)),
            12 => self.bytes::<8>(WHAT).map(|_| Value::Other)?,
            unknown => {
                return Err(ModelFileError::malformed(WHAT, &format!("type {unknown} is unknown")));
            }
        })
    }

    /// Numbers are kept where there are so few that they may be by layer; of the rest the count.
    fn array(&mut self, nested: u32) -> Result<Value, ModelFileError> {
        const BY_LAYER: u64 = 1024;
        const WHAT: &str = "an array";
        if nested >= MOST_NESTED {
            return Err(ModelFileError::malformed(WHAT, &"nested too deep"));
        }
        let kind = self.u32(WHAT)?;
        let count = self.count(WHAT, MOST_ELEMENTS)?;
        let mut numbers = Vec::new();
        for _ in 0..count {
            if let Value::Number(number) = self.value(kind, nested + 1)?
                && count <= BY_LAYER
            {
                numbers.push(number);
            }
        }
        let all = numbers.len() as u64 == count && count > 0;
        Ok(if all { Value::Numbers(numbers) } else { Value::Count(count) })
    }

    fn tensor(&mut self) -> Result<(), ModelFileError> {
        const WHAT: &str = "a tensor";
        self.text(WHAT)?;
        let given = u64::from(self.u32(WHAT)?);
        if given > MOST_DIMENSIONS {
            let (what, most) = ("a tensor's number of dimensions", MOST_DIMENSIONS);
            return Err(ModelFileError::TooLarge { what, given, most });
        }
        for _ in 0..given {
            self.bytes::<8>(WHAT)?;
        }
        self.bytes::<4>(WHAT)?;
        self.bytes::<8>(WHAT)?;
        Ok(())
    }
}

//! Model files whose headers lie.

use plimsoll_core_types::Bytes;
use plimsoll_memory::footprint::{Load, ModelFile};
use plimsoll_testkit::{Garble, scale, seed};

fn safetensors() -> Vec<u8> {
    let header = br#"{"model.embed_tokens.weight":{"dtype":"F16","shape":[1000,64],"data_offsets":[0,128000]},"model.layers.0.self_attn.k_proj.weight":{"dtype":"F16","shape":[32,64],"data_offsets":[128000,132096]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header);
    bytes
}

/// A GGUF header with the keys that a footprint is made of, and one tensor.
fn gguf() -> Vec<u8> {
    let text = |bytes: &mut Vec<u8>, text: &str| {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    };
    let mut bytes = b"GGUF".to_vec();
    bytes.extend_from_slice(&3_u32.to_le_bytes());
    bytes.extend_from_slice(&1_u64.to_le_bytes());
    bytes.extend_from_slice(&4_u64.to_le_bytes());
    text(&mut bytes, "general.architecture");
    bytes.extend_from_slice(&8_u32.to_le_bytes());
    text(&mut bytes, "llama");
    for (key, value) in
        [("block_count", 30_u32), ("embedding_length", 576), ("attention.head_count", 9)]
    {
        text(&mut bytes, &format!("llama.{key}"));
        bytes.extend_from_slice(&4_u32.to_le_bytes());
        bytes.extend_from_slice(&value.to_le_bytes());
    }
    text(&mut bytes, "token_embd.weight");
    bytes.extend_from_slice(&2_u32.to_le_bytes());
    for size in [576_u64, 1000] {
        bytes.extend_from_slice(&size.to_le_bytes());
    }
    bytes.extend_from_slice(&0_u32.to_le_bytes());
    bytes.extend_from_slice(&0_u64.to_le_bytes());
    bytes
}

#[test]
fn headers_are_understood_or_refused() {
    let samples = [gguf(), safetensors()];
    let length = Bytes::from_mib(3);
    for sample in &samples {
        let file = ModelFile::parse(&sample[..], length);
        assert!(file.is_ok(), "{file:?}");
    }
    let mut garble = Garble::new(seed("memory.model_files", 51));
    let rounds = scale(60_000);
    let mut understood = 0;
    for round in 0..rounds {
        let bytes = garble.bytes(&samples[round % samples.len()]);
        match ModelFile::parse(&bytes[..], length) {
            Ok(file) => {
                understood += 1;
                // However absurd the header, the sum saturates.
                let load = Load { context: u64::MAX, batch: u64::MAX, ..Load::default() };
                assert!(file.estimate(&load).total() >= file.estimate(&Load::default()).weights);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(understood > rounds / 50 && understood < rounds, "{understood} of {rounds}");
}

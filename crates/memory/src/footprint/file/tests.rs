use proptest::prelude::*;

use super::*;

/// A GGUF file as a writer of that format lays it out.
struct Gguf {
    entries: u64,
    body: Vec<u8>,
    tensors: u64,
    infos: Vec<u8>,
}

impl Gguf {
    fn new() -> Self {
        Self { entries: 0, body: Vec::new(), tensors: 0, infos: Vec::new() }
    }

    fn text_into(out: &mut Vec<u8>, text: &str) {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.as_bytes());
    }

    fn entry(mut self, key: &str, kind: u32, value: &[u8]) -> Self {
        Self::text_into(&mut self.body, key);
        self.body.extend(kind.to_le_bytes());
        self.body.extend(value);
        self.entries += 1;
        self
    }

    fn number(self, key: &str, value: u32) -> Self {
        self.entry(key, 4, &value.to_le_bytes())
    }

    fn text(self, key: &str, value: &str) -> Self {
        let mut bytes = Vec::new();
        Self::text_into(&mut bytes, value);
        self.entry(key, 8, &bytes)
    }

    fn words(self, count: u64) -> Self {
        let mut bytes = 8_u32.to_le_bytes().to_vec();
        bytes.extend(count.to_le_bytes());
        for word in 0..count {
            Self::text_into(&mut bytes, &format!("w{word}"));
        }
        self.entry("tokenizer.ggml.tokens", 9, &bytes)
    }

    fn numbers(self, key: &str, values: &[u32]) -> Self {
        let mut bytes = 4_u32.to_le_bytes().to_vec();
        bytes.extend((values.len() as u64).to_le_bytes());
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        self.entry(key, 9, &bytes)
    }

    fn tensor(mut self, name: &str, shape: &[u64]) -> Self {
        Self::text_into(&mut self.infos, name);
        self.infos.extend((shape.len() as u32).to_le_bytes());
        self.infos.extend(shape.iter().flat_map(|side| side.to_le_bytes()));
        self.infos.extend([0; 12]);
        self.tensors += 1;
        self
    }

    fn header(&self) -> Vec<u8> {
        let mut out = b"GGUF".to_vec();
        out.extend(3_u32.to_le_bytes());
        out.extend(self.tensors.to_le_bytes());
        out.extend(self.entries.to_le_bytes());
        out.extend(&self.body);
        out.extend(&self.infos);
        out
    }

    /// The header, and a length as if `data` bytes followed it from the next multiple of 32.
    fn with_data(&self, data: u64) -> (Vec<u8>, Bytes) {
        let header = self.header();
        let length = (header.len() as u64).div_ceil(32) * 32 + data;
        (header, Bytes::new(length))
    }
}

fn llama() -> Gguf {
    Gguf::new()
        .text("general.architecture", "llama")
        .entry("general.quality", 6, &1.5_f32.to_le_bytes())
        .number("llama.block_count", 32)
        .number("llama.context_length", 131_072)
        .number("llama.embedding_length", 4096)
        .number("llama.feed_forward_length", 14_336)
        .number("llama.attention.head_count", 32)
        .number("llama.attention.head_count_kv", 8)
        .words(1000)
        .tensor("token_embd.weight", &[4096, 1000])
        .tensor("output_norm.weight", &[4096])
}

fn parse(file: &(Vec<u8>, Bytes)) -> Result<ModelFile, ModelFileError> {
    ModelFile::parse(&file.0[..], file.1)
}

#[test]
fn gguf_of_a_llama_gives_the_well_known_kv_cache() {
    let file = parse(&llama().with_data(4_920_000_000)).unwrap();
    assert_eq!((file.weights, file.layers), (Bytes::new(4_920_000_000), 32));
    assert_eq!(file.longest_context, Some(131_072));
    // 2 × 32 layers × 8 heads × 128 × 2 bytes = 128 KiB a token: 1 GiB at 8192.
    let estimate = file.estimate(&Load { context: 8192, ..Load::default() });
    assert_eq!(estimate.kv_cache, Some(Bytes::from_gib(1)));
    assert_eq!(estimate.compute, Bytes::new(512 * 4 * (1000 + 4 * 4096 + 2 * 14_336)));
    let quantized = file.estimate(&Load { context: 8192, kv: KvType::Q8, ..Load::default() });
    assert_eq!(quantized.kv_cache, Some(Bytes::from_mib(544)));
    let scores = Load { context: 8192, flash_attention: false, ..Load::default() };
    let more = file.estimate(&scores).compute.saturating_sub(estimate.compute);
    assert_eq!(more, Bytes::new(32 * 8192 * 512 * 4));
    assert!(estimate.total() > Bytes::from_gib(5));
}

#[test]
fn gguf_of_other_shapes() {
    let hybrid = llama().numbers("llama.attention.head_count_kv", &[8, 0, 0, 8]);
    let file = parse(&hybrid.with_data(10)).unwrap();
    assert_eq!(file.kv_elements, Some(16 * 256), "layers without attention keep nothing");
    let wide = llama()
        .number("llama.attention.key_length", 192)
        .number("llama.attention.value_length", 64);
    assert_eq!(parse(&wide.with_data(10)).unwrap().kv_elements, Some(32 * 8 * 256));
    let embedder = llama().entry("llama.attention.causal", 7, &[0]);
    assert_eq!(parse(&embedder.with_data(10)).unwrap().kv_elements, Some(0));
    let bare = Gguf::new().text("general.architecture", "x");
    let file = parse(&bare.with_data(77)).unwrap();
    assert_eq!((file.weights, file.kv_elements), (Bytes::new(77), None));
    assert_eq!(file.estimate(&Load::default()).total(), Bytes::new(77));
}

#[test]
fn gguf_that_is_damaged_is_named() {
    let check = |bytes: Vec<u8>, expected: &str| {
        let length = Bytes::new(bytes.len() as u64);
        let error = ModelFile::parse(&bytes[..], length).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    let mut old = llama().header();
    old[4] = 1;
    check(old, "version 1");
    let mut huge = llama().header();
    huge[8..16].copy_from_slice(&u64::MAX.to_le_bytes());
    check(huge, "the number of tensors");
    check(llama().header()[..50].to_vec(), "model file");
    check(Gguf::new().entry("k", 99, &[]).header(), "type 99");
    check(b"GG".to_vec(), "its start");
    let mut nested = Vec::new();
    for _ in 0..9 {
        nested.extend(9_u32.to_le_bytes());
        nested.extend(1_u64.to_le_bytes());
    }
    check(Gguf::new().entry("k", 9, &nested).header(), "nested too deep");
}

fn safetensors(header: &str, data: u64) -> (Vec<u8>, Bytes) {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    let length = Bytes::new(bytes.len() as u64 + data);
    (bytes, length)
}

#[test]
fn safetensors_of_a_decoder_and_of_an_encoder() {
    let decoder = r#"{"__metadata__":{"format":"pt"},
        "model.embed_tokens.weight":{"dtype":"F16","shape":[1000,64],"data_offsets":[0,128000]},
        "model.layers.0.self_attn.k_proj.weight":{"dtype":"F16","shape":[16,64],"data_offsets":[128000,130048]},
        "model.layers.0.self_attn.v_proj.weight":{"dtype":"F16","shape":[16,64],"data_offsets":[130048,132096]},
        "model.layers.0.mlp.up_proj.weight":{"dtype":"F16","shape":[256,64],"data_offsets":[132096,164864]},
        "model.layers.1.self_attn.k_proj.weight":{"dtype":"F16","shape":[16,64],"data_offsets":[164864,166912]},
        "model.layers.1.self_attn.v_proj.weight":{"dtype":"F16","shape":[16,64],"data_offsets":[166912,168960]}}"#;
    let file = parse(&safetensors(decoder, 168_960)).unwrap();
    assert_eq!((file.weights, file.layers), (Bytes::new(168_960), 2));
    assert_eq!(file.kv_elements, Some(64));
    assert_eq!(file.activations, 1000 + 4 * 64 + 2 * 256);
    let encoder = r#"{"encoder.layer.0.attention.self.key.weight":{"dtype":"F32","shape":[8,8],"data_offsets":[0,256]}}"#;
    let file = parse(&safetensors(encoder, 256)).unwrap();
    assert_eq!(file.estimate(&Load::default()).kv_cache, Some(Bytes::ZERO));
    let fused = r#"{"layers.0.qkv.weight":{"dtype":"F32","shape":[8,8],"data_offsets":[0,256]}}"#;
    assert_eq!(parse(&safetensors(fused, 256)).unwrap().kv_elements, None);
}

#[test]
fn safetensors_that_is_damaged_is_named() {
    let check = |header: &str, data, expected: &str| {
        let error = parse(&safetensors(header, data)).unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    check("{}", 0, "names no tensors");
    check("not json", 0, "its header");
    let one = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    check(one, 3, "the file ends within it");
    let error = ModelFile::parse(&[0xFF; 16][..], Bytes::new(16)).unwrap_err().to_string();
    assert!(error.contains("at most 100000000"), "{error}");
    let short = ModelFile::parse(&100_u64.to_le_bytes()[..], Bytes::new(8)).unwrap_err();
    assert!(short.to_string().contains("ends within"), "{short}");
}

proptest! {
    #[test]
    fn any_bytes_are_answered(mut bytes: Vec<u8>, gguf: bool, length: u64) {
        if gguf {
            bytes.splice(0..0, *b"GGUF\x03\0\0\0\x02\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0");
        }
        let _ = ModelFile::parse(&bytes[..], Bytes::new(length));
    }

    #[test]
    fn a_header_with_any_damage_is_answered(at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let (mut bytes, length) = llama().with_data(1000);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        bytes.truncate(cut.index(bytes.len() + 1));
        if let Ok(file) = ModelFile::parse(&bytes[..], length) {
            let _ = file.estimate(&Load { context: u64::MAX, batch: u64::MAX, ..Load::default() });
        }
    }
}

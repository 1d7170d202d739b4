//! Says what model files would take: `cargo run -p plimsoll-memory --example footprint FILE…`.

use std::error::Error;
use std::io::Write as _;
use std::path::Path;

use plimsoll_memory::footprint::{Load, ModelFile};

fn main() -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    let files: Vec<_> = std::env::args().skip(1).collect();
    if files.is_empty() {
        return Err("name one or more .gguf or .safetensors files".into());
    }
    for name in files {
        let file = ModelFile::open(Path::new(&name))?;
        writeln!(out, "{name}: {:?}, {} layers", file.format, file.layers)?;
        for context in [2048, 4096, 8192] {
            let estimate = file.estimate(&Load { context, ..Load::default() });
            let cache = estimate.kv_cache.map_or("unknown".to_owned(), |bytes| bytes.to_string());
            writeln!(
                out,
                "  context {context}: weights {}, KV cache {cache}, compute {}: {} in all",
                estimate.weights,
                estimate.compute,
                estimate.total(),
            )?;
        }
    }
    Ok(())
}

//! Gzip and zstd, told by their magic bytes.

use std::borrow::Cow;
use std::io::Read;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;

use super::TraceError;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// What `bytes` hold, at most `limit` bytes of it.
pub(super) fn unpack(bytes: &[u8], limit: u64) -> Result<Cow<'_, [u8]>, TraceError> {
    if bytes.starts_with(&GZIP) {
        return read("gzip", MultiGzDecoder::new(bytes), limit).map(Cow::Owned);
    }
    if bytes.starts_with(&ZSTD) {
        let decoder = StreamingDecoder::new(bytes)
            .map_err(|cause| TraceError::Damaged { packing: "zstd", cause: cause.to_string() })?;
        return read("zstd", decoder, limit).map(Cow::Owned);
    }
    if bytes.len() as u64 > limit {
        return Err(TraceError::TooLarge { limit });
    }
    Ok(Cow::Borrowed(bytes))
}

fn read(packing: &'static str, from: impl Read, limit: u64) -> Result<Vec<u8>, TraceError> {
    let mut bytes = Vec::new();
    from.take(limit.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(|cause| TraceError::Damaged { packing, cause: cause.to_string() })?;
    if bytes.len() as u64 > limit {
        return Err(TraceError::TooLarge { limit });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::Compression;
    use flate2::write::GzEncoder;
    use std::io::Write as _;

    #[test]
    fn a_small_file_that_unpacks_to_a_large_one_is_refused() {
        let mut gz = GzEncoder::new(Vec::new(), Compression::default());
        gz.write_all(&[b'x'; 10_000]).unwrap();
        let packed = gz.finish().unwrap();
        assert_eq!(unpack(&packed, 10_000).unwrap().len(), 10_000);
        assert!(matches!(unpack(&packed, 9_999), Err(TraceError::TooLarge { limit: 9_999 })));
        assert!(matches!(unpack(b"plain", 4), Err(TraceError::TooLarge { limit: 4 })));
        let cut = unpack(&packed[..packed.len() / 2], 10_000);
        assert!(matches!(cut, Err(TraceError::Damaged { packing: "gzip", .. })));
    }

    #[test]
    fn zstd_is_unpacked_too() {
        let level = ruzstd::encoding::CompressionLevel::Fastest;
        let packed = ruzstd::encoding::compress_to_vec(&b"some text"[..], level);
        assert_eq!(unpack(&packed, 100).unwrap().as_ref(), b"some text");
        let cut = unpack(&packed[..5], 100);
        assert!(matches!(cut, Err(TraceError::Damaged { packing: "zstd", .. })));
    }
}

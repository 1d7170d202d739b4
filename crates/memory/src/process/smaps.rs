//! `/proc/PID/smaps_rollup`, as the kernel's `Documentation/filesystems/proc.rst` describes it.

use plimsoll_core_types::Bytes;

use super::ProcessShare;
use crate::host::linux::files::number_after;

/// Reads the rollup; names the field that is missing.
pub(super) fn share(text: &[u8]) -> Result<ProcessShare, &'static str> {
    let kib = |key: &str| number_after(text, key.as_bytes()).map(Bytes::from_kib);
    let (pss, resident) = (kib("Pss").ok_or("Pss")?, kib("Rss").ok_or("Rss")?);
    let private = kib("Private_Clean")
        .unwrap_or_default()
        .saturating_add(kib("Private_Dirty").unwrap_or_default());
    // Kernels before 5.9 do not tell the kinds apart; all that is surely anonymous is `Anonymous`,
    // which counts pages whole.
    let anonymous = kib("Pss_Anon").or_else(|| kib("Anonymous")).ok_or("Anonymous")?.min(pss);
    let shared = kib("Pss_Shmem").unwrap_or_default();
    let file =
        kib("Pss_File").unwrap_or_else(|| pss.saturating_sub(anonymous).saturating_sub(shared));
    let swapped = kib("SwapPss").or_else(|| kib("Swap")).unwrap_or_default();
    Ok(ProcessShare { anonymous, file, shared, swapped, private, resident })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn kinds_are_told_apart_where_the_kernel_does() {
        let new = b"1-2 ---p 0 00:00 0 [rollup]\nRss: 1684 kB\nPss: 369 kB\nPss_Anon: 112 kB\n\
            Pss_File: 257 kB\nPss_Shmem: 0 kB\nPrivate_Clean: 64 kB\nPrivate_Dirty: 112 kB\n\
            Anonymous: 112 kB\nSwap: 4 kB\nSwapPss: 2 kB\n";
        let read = share(new).unwrap();
        assert_eq!(read.proportional(), Bytes::from_kib(369));
        assert_eq!(read.private, Bytes::from_kib(176));
        assert_eq!(read.swapped, Bytes::from_kib(2));
        let old = b"Rss: 1684 kB\nPss: 369 kB\nAnonymous: 112 kB\n";
        assert_eq!(share(old).unwrap().file, Bytes::from_kib(257));
        assert_eq!(share(b"Rss: 1 kB\n"), Err("Pss"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text: Vec<u8>) {
            let _ = share(&text);
        }
    }
}

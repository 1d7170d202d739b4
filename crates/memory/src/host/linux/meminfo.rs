//! `/proc/meminfo`, as `proc_meminfo(5)` describes it.

use plimsoll_core_types::Bytes;

use super::files::number_after;

/// What the host has, and what could be had of it without swapping.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MemInfo {
    pub(super) total: Bytes,
    pub(super) available: Bytes,
    /// False where the kernel does not tell, and `available` was put together from its parts.
    pub(super) told: bool,
}

/// Reads `text`; none where it does not even tell the total, or tells nonsense.
pub(super) fn parse(text: &[u8]) -> Option<MemInfo> {
    let kib = |key: &[u8]| number_after(text, key).map(Bytes::from_kib);
    let total = kib(b"MemTotal").filter(|total| !total.is_zero())?;
    if let Some(available) = kib(b"MemAvailable") {
        return Some(MemInfo { total, available: available.min(total), told: true });
    }
    // Kernels before 3.14: free memory and what can be dropped. Shared memory stands under
    // `Cached` and can't be dropped.
    let free = kib(b"MemFree")?;
    let part = |key: &[u8]| kib(key).unwrap_or_default();
    let cache = part(b"Cached").saturating_sub(part(b"Shmem"));
    let available =
        [free, part(b"Buffers"), cache, part(b"SReclaimable")].into_iter().sum::<Bytes>();
    Some(MemInfo { total, available: available.min(total), told: false })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_is_told_or_puts_it_together() {
        let check = |text: &str, expected: Option<(u64, u64, bool)>| {
            let read = parse(text.as_bytes());
            let figures = read.map(|m| (m.total.get() >> 10, m.available.get() >> 10, m.told));
            assert_eq!(figures, expected, "{text:?}");
        };
        check(
            "MemTotal:       24684092 kB\nMemFree:  23470572 kB\nMemAvailable:   24373936 kB\n",
            Some((24_684_092, 24_373_936, true)),
        );
        check(
            "MemTotal: 1000 kB\nMemFree: 100 kB\nBuffers: 10 kB\nCached: 300 kB\nShmem: 50 kB\n\
             SReclaimable: 20 kB\n",
            Some((1000, 380, false)),
        );
        check("MemTotal: 10 kB\nMemAvailable: 20 kB\n", Some((10, 10, true)));
        check("MemTotal: 0 kB\nMemAvailable: 0 kB\n", None);
        check("MemTotal: 10 kB\n", None);
        check("MemFree: 10 kB\n", None);
        check("", None);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: Vec<u8>) {
            let _ = parse(&text);
        }
    }
}

//! `/proc/PID/statm` and `/proc/PID/status`, as `proc_pid_statm(5)` and `proc_pid_status(5)`
//! describe them.

use plimsoll_core_types::Bytes;

use super::{ProcessUsage, QuickUsage};
use crate::host::linux::files::{leading_number, number_after};

/// Reads `statm`: pages in all, resident, and of these backed by files or shared.
pub(super) fn quick(text: &[u8], page: u64) -> Option<QuickUsage> {
    let mut fields = text.split(u8::is_ascii_whitespace).skip(1).map(leading_number);
    let (resident, mapped) = (fields.next()??, fields.next()??);
    let bytes = |pages: u64| Bytes::new(pages.saturating_mul(page));
    Some(QuickUsage {
        // The kernel counts the two apart, and may have counted one page in between.
        anonymous: bytes(resident.saturating_sub(mapped)),
        mapped: bytes(mapped.min(resident)),
    })
}

/// Reads `status`; names the field that is missing. A kernel thread has none of them and holds
/// nothing.
pub(super) fn usage(text: &[u8]) -> Result<ProcessUsage, &'static str> {
    let kib = |key: &str| number_after(text, key.as_bytes()).map(Bytes::from_kib);
    if kib("VmRSS").is_none() && number_after(text, b"Pid").is_some() {
        return Ok(ProcessUsage::default());
    }
    Ok(ProcessUsage {
        anonymous: kib("RssAnon").ok_or("RssAnon")?,
        file: kib("RssFile").ok_or("RssFile")?,
        shared: kib("RssShmem").ok_or("RssShmem")?,
        swapped: kib("VmSwap").unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn statm_is_pages() {
        let read = quick(b"765 439 411 5 0 123 0\n", 4096).unwrap();
        assert_eq!(read.anonymous, Bytes::new(28 * 4096));
        assert_eq!(read.mapped, Bytes::new(411 * 4096));
        assert_eq!(quick(b"5 3 9 0", 4096).unwrap().anonymous, Bytes::ZERO);
        assert_eq!(quick(b"5 3", 4096), None);
        assert_eq!(quick(b"", 4096), None);
    }

    #[test]
    fn status_tells_kinds() {
        let text = b"Name:\tx\nPid:\t7\nVmRSS:\t 12 kB\nRssAnon:\t 1 kB\nRssFile:\t 3 kB\nRssShmem:\t 8 kB\n";
        let read = usage(text).unwrap();
        assert_eq!(read.resident(), Bytes::from_kib(12));
        assert_eq!(read.shared, Bytes::from_kib(8));
        assert_eq!(usage(b"Name:\tkthreadd\nPid:\t2\n"), Ok(ProcessUsage::default()));
        assert_eq!(usage(b"Pid:\t2\nVmRSS:\t1 kB\n"), Err("RssAnon"));
        assert_eq!(usage(b""), Err("RssAnon"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text: Vec<u8>) {
            let _ = quick(&text, 4096);
            let _ = usage(&text);
        }
    }
}

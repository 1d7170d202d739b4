//! Kernel files whose descriptors are kept.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// The most that is read of one file. The largest that is read here, `memory.stat`, has about
/// 2 KiB; a `mountinfo` of a host full of containers has some hundred KiB.
const LONGEST: usize = 1 << 20;

/// A kernel file that is opened once and read from its start at each look.
///
/// Opening costs several times as much as reading; the kernel writes such a file anew for each
/// read from its start.
#[derive(Debug)]
pub(crate) struct KeptFile {
    path: PathBuf,
    file: File,
}

impl KeptFile {
    /// Opens `path`.
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = File::open(&path)?;
        Ok(Self { path, file })
    }

    /// The file's content now, in `buffer`, which keeps its memory from look to look.
    pub(crate) fn read<'b>(&self, buffer: &'b mut Vec<u8>) -> io::Result<&'b [u8]> {
        const STEP: usize = 4096;
        let mut filled = 0;
        loop {
            if buffer.len() < filled + STEP {
                buffer.resize(filled + STEP, 0);
            }
            match self.file.read_at(&mut buffer[filled..], filled as u64) {
                Ok(0) => return Ok(&buffer[..filled]),
                Ok(more) => {
                    filled += more;
                    // A short read of less than a page is the whole of a generated file; asking
                    // once more for its end would double the cost.
                    if filled < STEP && more < STEP || filled >= LONGEST {
                        return Ok(&buffer[..filled]);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// The unsigned number that follows `key` at the start of a line, past colons and blanks.
pub(crate) fn number_after(text: &[u8], key: &[u8]) -> Option<u64> {
    let mut lines = text.split(|byte| *byte == b'\n');
    lines.find_map(|line| {
        let rest = line.strip_prefix(key)?;
        let digits = rest.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b':'))?;
        // Without a separator it is another, longer key.
        if digits == 0 { None } else { leading_number(&rest[digits..]) }
    })
}

/// The unsigned number at the start of `text`.
pub(crate) fn leading_number(text: &[u8]) -> Option<u64> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    if end == 0 {
        return None;
    }
    text[..end]
        .iter()
        .try_fold(0_u64, |sum, digit| sum.checked_mul(10)?.checked_add(u64::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn finds_the_number_of_a_key() {
        let text = b"MemTotal:       24684092 kB\ninactive_file_more 9\ninactive_file 7\nbad x\n";
        assert_eq!(number_after(text, b"MemTotal"), Some(24_684_092));
        assert_eq!(number_after(text, b"inactive_file"), Some(7), "not that of a longer key");
        assert_eq!(number_after(text, b"bad"), None);
        assert_eq!(number_after(text, b"absent"), None);
        assert_eq!(number_after(b"n 99999999999999999999999", b"n"), None);
        assert_eq!(leading_number(b"max\n"), None);
        assert_eq!(leading_number(b"12\n"), Some(12));
    }

    proptest! {
        #[test]
        fn any_bytes_are_answered(text: Vec<u8>, key: Vec<u8>) {
            let _ = number_after(&text, &key);
            let _ = leading_number(&text);
        }
    }
}

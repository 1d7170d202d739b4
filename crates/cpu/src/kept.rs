//! Small files of the kernel, opened once and read again from their start.
//!
//! Opening `/proc/pressure/cpu` costs four times as much as reading it, and a descriptor under
//! `/proc/<pid>` belongs to its process for ever: once the process has ended, reading fails, even
//! where another process has the same number by then.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// The most that is read of one file; a longer one is an error, not a part of itself.
const MOST: usize = 1 << 20;

/// One such file.
#[derive(Debug)]
pub(crate) struct KeptFile {
    file: File,
}

impl KeptFile {
    /// Opens the file at `path`.
    pub(crate) fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Ok(Self { file: File::open(path)? })
    }

    /// Reads the whole file into `buffer`, which is reused between calls.
    pub(crate) fn read<'a>(&self, buffer: &'a mut Vec<u8>) -> io::Result<&'a str> {
        let mut filled = 0;
        loop {
            if buffer.len() - filled < 1024 {
                if buffer.len() >= MOST {
                    return Err(io::Error::new(io::ErrorKind::FileTooLarge, "over 1 MiB"));
                }
                buffer.resize((buffer.len() * 2).max(4096), 0);
            }
            match self.file.read_at(&mut buffer[filled..], filled as u64) {
                Ok(0) => break,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        text(&buffer[..filled])
    }

    /// Reads a file of one short record with one call of the kernel. What does not fit in `buffer`
    /// is left out.
    pub(crate) fn read_short<'a>(&self, buffer: &'a mut [u8]) -> io::Result<&'a str> {
        loop {
            match self.file.read_at(buffer, 0) {
                Ok(count) => return text(&buffer[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

fn text(bytes: &[u8]) -> io::Result<&str> {
    std::str::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

//! A process that holds memory of every kind: this test binary, run again.

#![expect(unsafe_code, reason = "maps and forks are made by the C library alone")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};

/// How the holder is told what to hold.
const ORDER: &str = "PLIMSOLL_HOLD";

/// What to hold, in MiB.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Order {
    pub(crate) anonymous: usize,
    pub(crate) file: usize,
    pub(crate) shared: usize,
    /// Whether to fork once everything is held.
    pub(crate) fork: bool,
}

/// A process that holds what it was told to, until this is dropped.
pub(crate) struct Holder {
    child: Child,
    _stdin: ChildStdin,
    pub(crate) forked: Option<u32>,
}

impl Holder {
    pub(crate) fn start(order: Order) -> Self {
        let text =
            format!("{} {} {} {}", order.anonymous, order.file, order.shared, u8::from(order.fork));
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child::holds_what_it_is_told", "--nocapture", "--test-threads=1"])
            .env(ORDER, text)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let stdin = child.stdin.take().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let ready = lines.find_map(|line| {
            let line = line.unwrap();
            Some(line.split_once("holding ")?.1.parse::<u32>().unwrap())
        });
        let forked = Some(ready.expect("the holder says that it holds")).filter(|pid| *pid > 0);
        Self { child, _stdin: stdin, forked }
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Ends it, and waits until it has ended.
    pub(crate) fn end(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        self.end();
    }
}

/// No test of its own: what [`Holder`] runs.
#[test]
fn holds_what_it_is_told() {
    let Ok(order) = std::env::var(ORDER) else { return };
    let figures: Vec<usize> = order.split(' ').map(|figure| figure.parse().unwrap()).collect();
    let anonymous = vec![1_u8; figures[0] << 20];
    let mut file = tempfile::tempfile_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    file.write_all(&vec![2; figures[1] << 20]).unwrap();
    let mapped = map(figures[1] << 20, Some(&file));
    let shared = map(figures[2] << 20, None);
    let forked = if figures[3] == 1 { fork_a_sleeper() } else { 0 };
    println!("holding {forked}");
    // Until whoever started this lets go of it.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    std::hint::black_box((anonymous, mapped, shared));
    if forked > 0 {
        // SAFETY: signals a child of this process that was not waited for, so that its number is
        // still its own.
        unsafe { libc::kill(forked, libc::SIGKILL) };
    }
}

/// Maps `length` bytes of `file`, or of shared memory, and touches each page.
fn map(length: usize, file: Option<&std::fs::File>) -> usize {
    use std::os::fd::AsRawFd as _;
    if length == 0 {
        return 0;
    }
    let (protection, flags, fd) = match file {
        Some(file) => (libc::PROT_READ, libc::MAP_SHARED, file.as_raw_fd()),
        None => (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED | libc::MAP_ANONYMOUS, -1),
    };
    // SAFETY: a new map at an address that the kernel chooses, of a file that is as long, or of
    // none; checked below before it is read.
    let start = unsafe { libc::mmap(std::ptr::null_mut(), length, protection, flags, fd, 0) };
    assert_ne!(start, libc::MAP_FAILED, "{}", std::io::Error::last_os_error());
    let mut sum = 0;
    for page in (0..length).step_by(4096) {
        // SAFETY: within the map that was just made, which nobody else writes; shared memory is
        // written so that it is backed by pages of its own.
        unsafe {
            let byte = start.cast::<u8>().add(page);
            if file.is_none() {
                byte.write_volatile(1);
            }
            sum += usize::from(byte.read_volatile());
        }
    }
    sum
}

/// A fork of this process that does nothing, and ends with it.
fn fork_a_sleeper() -> libc::pid_t {
    // SAFETY: the child only calls what is safe after a fork of a process with several threads.
    unsafe {
        let pid = libc::fork();
        if pid == 0 {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            loop {
                libc::pause();
            }
        }
        assert!(pid > 0, "{}", std::io::Error::last_os_error());
        pid
    }
}

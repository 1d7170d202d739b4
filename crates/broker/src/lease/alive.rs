//! Whether a process still lives: its number alone does not say, since numbers come back.

use serde::{Deserialize, Serialize};

/// A process, told apart from later ones of the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ProcessKey {
    pub(crate) pid: u32,
    /// When it was started, in ticks since the host was.
    started: u64,
}

impl ProcessKey {
    /// The process that has this number now; none where there is none.
    pub(crate) fn of(pid: u32) -> Option<Self> {
        Some(Self { pid, started: started(pid)? })
    }

    /// This very process.
    pub(crate) fn own() -> Option<Self> {
        Self::of(std::process::id())
    }

    /// Whether it has not ended. One that has ended and whose parent has not asked is no more.
    pub(crate) fn is_alive(self) -> bool {
        started(self.pid) == Some(self.started)
    }
}

/// The start of a process that has not ended.
#[cfg(target_os = "linux")]
fn started(pid: u32) -> Option<u64> {
    /// Counted from the state, which is the first field after the name.
    const START: usize = 19;
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    fields.nth(START - 1)?.parse().ok()
}

/// Elsewhere only the number is known.
#[cfg(all(unix, not(target_os = "linux")))]
fn started(pid: u32) -> Option<u64> {
    let pid = rustix::process::Pid::from_raw(pid.cast_signed())?;
    rustix::process::test_kill_process(pid).ok().map(|()| 0)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_told_from_a_later_one_of_its_number() {
        let own = ProcessKey::own().unwrap();
        assert!(own.is_alive());
        assert!(!ProcessKey { started: own.started + 1, ..own }.is_alive());
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        let key = ProcessKey::of(pid);
        child.wait().unwrap();
        assert!(key.is_none_or(|key| !key.is_alive()));
    }
}

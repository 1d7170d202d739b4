//! What the files of a process say.

use std::time::Duration;

use super::ContextSwitches;

/// `schedstat`: time run, time waited, and how often it was put on a core.
///
/// Source: the kernel's `Documentation/scheduler/sched-stats.rst`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Schedstat {
    pub(super) ran: Duration,
    pub(super) waited: Duration,
    pub(super) slices: u64,
}

pub(super) fn schedstat(text: &str) -> Option<Schedstat> {
    let mut fields = text.split_ascii_whitespace().map(str::parse);
    let mut field = || fields.next()?.ok();
    Some(Schedstat {
        ran: Duration::from_nanos(field()?),
        waited: Duration::from_nanos(field()?),
        slices: field()?,
    })
}

/// `status`, of which only the counts of context switches are wanted.
pub(super) fn context_switches(text: &str) -> Option<ContextSwitches> {
    let field = |name: &str| {
        let mut lines = text.lines();
        lines.find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
    };
    Some(ContextSwitches {
        voluntary: field("voluntary_ctxt_switches")?,
        involuntary: field("nonvoluntary_ctxt_switches")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_kernels_write() {
        let read = schedstat("1500 80516 3\n").unwrap();
        assert_eq!((read.ran.as_nanos(), read.waited.as_nanos(), read.slices), (1500, 80516, 3));
        assert_eq!(schedstat("1500 80516"), None);
        assert_eq!(schedstat(""), None);
        let status = "Name:\tx\nvoluntary_ctxt_switches:\t7\nnonvoluntary_ctxt_switches:\t1\n";
        let expected = ContextSwitches { voluntary: 7, involuntary: 1 };
        assert_eq!(context_switches(status), Some(expected));
        assert_eq!(context_switches("Name:\tx\n"), None);
    }
}

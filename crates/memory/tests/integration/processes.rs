//! Processes that really hold memory, beside what the kernel's own roll-up says of them.

use plimsoll_core_types::Bytes;
use plimsoll_memory::process::{PortableProcess, ProcessError, ProcessMemory, total};

use super::child::{Holder, Order};

/// The kernel's roll-up of a process, read by other means than the crate's.
struct Rollup(String);

impl Rollup {
    fn of(pid: u32) -> Self {
        Self(std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap())
    }

    fn get(&self, key: &str) -> f64 {
        let line = self.0.lines().find(|line| line.split(':').next() == Some(key));
        let kib: f64 = line.unwrap().split_whitespace().nth(1).unwrap().parse().unwrap();
        kib * 1024.0
    }
}

#[track_caller]
fn close(what: &str, told: Bytes, expected: f64) {
    let gap = (told.as_f64() - expected).abs();
    // Below two MiB a handful of pages is more than 2%.
    let allowed = (0.02 * expected).max(40.0 * 1024.0);
    assert!(gap <= allowed, "{what}: told {told}, expected {}", Bytes::from_f64(expected));
}

fn mib(count: usize) -> f64 {
    (count << 20) as f64
}

#[test]
fn every_kind_agrees_with_the_kernels_rollup() {
    let order = Order { anonymous: 64, file: 48, shared: 32, fork: false };
    let holder = Holder::start(order);
    let memory = ProcessMemory::open(holder.pid()).unwrap();
    let (usage, quick, share) =
        (memory.sample().unwrap(), memory.quick().unwrap(), memory.exact().unwrap());
    let rollup = Rollup::of(holder.pid());
    close("anonymous", usage.anonymous, rollup.get("Anonymous"));
    close("resident", usage.resident(), rollup.get("Rss"));
    close("file", usage.file, rollup.get("Rss") - rollup.get("Anonymous") - mib(order.shared));
    close("shared", usage.shared, mib(order.shared));
    close("quick anonymous", quick.anonymous, rollup.get("Anonymous"));
    close("quick mapped", quick.mapped, rollup.get("Rss") - rollup.get("Anonymous"));
    close("exact anonymous", share.anonymous, rollup.get("Pss_Anon"));
    close("exact file", share.file, rollup.get("Pss_File"));
    close("exact shared", share.shared, rollup.get("Pss_Shmem"));
    close("exact resident", share.resident, rollup.get("Rss"));
    let private = rollup.get("Private_Clean") + rollup.get("Private_Dirty");
    close("exact private", share.private, private);
    let portable = PortableProcess::open(holder.pid()).unwrap().sample().unwrap();
    close("portable", portable.anonymous, rollup.get("Rss"));
}

#[test]
fn each_kind_counts_what_was_taken_and_nothing_else() {
    let bare = Holder::start(Order::default());
    let bare = ProcessMemory::open(bare.pid()).unwrap().sample().unwrap();
    let check = |order: Order| {
        let holder = Holder::start(order);
        let usage = ProcessMemory::open(holder.pid()).unwrap().sample().unwrap();
        let more = |with: Bytes, without: Bytes| with.saturating_sub(without);
        // A bare process varies by some pages from run to run.
        let near = |what: &str, told: Bytes, mib_expected: usize| {
            let gap = (told.as_f64() - mib(mib_expected)).abs();
            assert!(gap <= mib(mib_expected) * 0.02 + 512.0 * 1024.0, "{order:?}: {what} {told}");
        };
        near("anonymous", more(usage.anonymous, bare.anonymous), order.anonymous);
        near("file", more(usage.file, bare.file), order.file);
        near("shared", usage.shared, order.shared);
    };
    check(Order { anonymous: 64, ..Order::default() });
    check(Order { file: 64, ..Order::default() });
    check(Order { shared: 64, ..Order::default() });
}

#[test]
fn what_a_fork_shares_counts_once() {
    let order = Order { anonymous: 64, file: 16, shared: 32, fork: true };
    let holder = Holder::start(order);
    let both = [holder.pid(), holder.forked.unwrap()];
    let opened: Vec<_> = both.iter().map(|pid| ProcessMemory::open(*pid).unwrap()).collect();
    let whole: Bytes = opened.iter().map(|memory| memory.sample().unwrap().anonymous).sum();
    assert!(whole.as_f64() > 1.9 * mib(order.anonymous), "each maps them: {whole}");
    let together = total(&opened).unwrap();
    let expected = |key| Rollup::of(both[0]).get(key) + Rollup::of(both[1]).get(key);
    close("anonymous", together.anonymous, expected("Pss_Anon"));
    close("proportional", together.proportional(), expected("Pss"));
    close("shared", together.shared, mib(order.shared));
    let anonymous = together.anonymous.as_f64();
    assert!(anonymous < 1.1 * mib(order.anonymous), "{}", together.anonymous);
}

#[test]
fn a_process_that_has_ended_is_told_as_such() {
    let mut holder = Holder::start(Order::default());
    let pid = holder.pid();
    let memory = ProcessMemory::open(pid).unwrap();
    memory.exact().unwrap();
    holder.end();
    for answer in [memory.sample().err(), memory.quick().err(), memory.exact().err()] {
        assert_eq!(answer, Some(ProcessError::Ended { pid }));
    }
    assert_eq!(ProcessMemory::open(pid).err(), Some(ProcessError::Ended { pid }));
    assert_eq!(total([&memory]).unwrap().resident, Bytes::ZERO);
}

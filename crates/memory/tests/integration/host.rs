//! The host's truth from recorded trees.

use std::time::Duration;

use plimsoll_core_types::{Bytes, CapacityProbe as _, Ratio, Timestamp};
use plimsoll_memory::{HostMemory, PortableMemory};
use proptest::prelude::*;

use super::tree::Tree;

const GIB: u64 = 1 << 30;

/// Capacity, used, in MiB, and how many notes.
#[track_caller]
fn check(tree: &Tree, capacity: u64, used: u64, notes: usize) {
    let probe = tree.probe();
    for _ in 0..2 {
        let reading = probe.sample(Timestamp::ZERO).unwrap();
        let mib = |bytes: Bytes| bytes.get() >> 20;
        let figures = (mib(reading.capacity.memory()), mib(reading.used.memory()));
        assert_eq!(figures, (capacity, used), "notes: {:#?}", reading.notes);
        assert_eq!(reading.notes.len(), notes, "{:#?}", reading.notes);
    }
    // The thorough look agrees with the quick one.
    let detail = probe.detail(Timestamp::ZERO).unwrap();
    assert_eq!(detail.capacity().get() >> 20, capacity);
    assert_eq!(detail.capacity().saturating_sub(detail.free()).get() >> 20, used);
}

#[test]
fn a_bare_host_is_bounded_by_itself() {
    let tree = Tree::bare();
    check(&tree, 16_000, 8000, 0);
    assert_eq!(tree.probe().sample(Timestamp::ZERO).unwrap().pressure, Ratio::new(0.015).ok());
}

#[test]
fn page_cache_is_not_used() {
    let tree = Tree::v2("/app").v2_group("/app", &(4 * GIB).to_string(), 3500, 3000);
    check(&tree, 4096, 500, 0);
    let tree = Tree::v1("/app").v1_group("/app", &(4 * GIB).to_string(), 3500, 3000);
    check(&tree, 4096, 500, 0);
}

#[test]
fn the_tightest_ancestor_binds() {
    let tree = Tree::v2("/slice/app/worker")
        .v2_group("/slice", &(2 * GIB).to_string(), 1500, 0)
        .v2_group("/slice/app", &(8 * GIB).to_string(), 400, 100)
        .v2_group("/slice/app/worker", "max", 300, 100);
    check(&tree, 2048, 1500, 0);
    let detail = tree.probe().detail(Timestamp::ZERO).unwrap();
    let limits: Vec<_> = detail.bounds.iter().map(|bound| bound.limit.get() / GIB).collect();
    assert_eq!(limits, [8, 2], "own group first; one without a limit is no bound");
    let tree = Tree::v1("/slice/app").v1_group("/slice", &(2 * GIB).to_string(), 1500, 0).v1_group(
        "/slice/app",
        &(8 * GIB).to_string(),
        400,
        100,
    );
    check(&tree, 2048, 1500, 0);
}

#[test]
fn no_limit_is_no_bound() {
    check(&Tree::v2("/app").v2_group("/app", "max", 3500, 3000), 16_000, 8000, 0);
    check(&Tree::v1("/app").v1_group("/app", "9223372036854771712", 3500, 3000), 16_000, 8000, 0);
    let above_the_host = (64 * GIB).to_string();
    check(&Tree::v2("/app").v2_group("/app", &above_the_host, 3500, 3000), 16_000, 8000, 0);
}

#[test]
fn other_programs_count_though_the_group_is_empty() {
    // The group has 9 GiB left, the host only 8000 MiB.
    let tree = Tree::v2("/app").v2_group("/app", &(10 * GIB).to_string(), 1024, 0);
    check(&tree, 10_240, 2240, 0);
    let detail = tree.probe().detail(Timestamp::ZERO).unwrap();
    assert_eq!(detail.others(Bytes::from_mib(1000)), Bytes::from_mib(1240));
}

#[test]
fn the_throttling_limit_is_a_limit() {
    let tree = Tree::v2("/app")
        .v2_group("/app", &(4 * GIB).to_string(), 1000, 0)
        .with("sys/fs/cgroup/app/memory.high", &format!("{}\n", 3 * GIB));
    check(&tree, 3072, 1000, 0);
}

#[test]
fn a_hidden_ancestor_of_version_1_is_told_by_the_kernel() {
    let tree = Tree::v1("/app").v1_group("/app", &(8 * GIB).to_string(), 1000, 500);
    let stat = String::from_utf8(tree.read("sys/fs/cgroup/memory/app/memory.stat")).unwrap();
    let hidden = format!("hierarchical_memory_limit {}", 3 * GIB);
    let stat = stat.replace(&format!("hierarchical_memory_limit {}", 8 * GIB), &hidden);
    let tree = tree.with("sys/fs/cgroup/memory/app/memory.stat", &stat);
    check(&tree, 3072, 500, 0);
}

#[test]
fn what_is_missing_is_noted_with_what_stands_in() {
    let note = |tree: &Tree| {
        let reading = tree.probe().sample(Timestamp::ZERO).unwrap();
        let notes = reading.notes.iter().map(|note| format!("{}: {}", note.source, note.problem));
        notes.collect::<Vec<_>>().join("\n")
    };
    let group = |tree: Tree| tree.v2_group("/app", &(4 * GIB).to_string(), 3500, 3000);
    let silent = Tree::bare().without("proc/pressure");
    check(&silent, 16_000, 8000, 1);
    assert!(note(&silent).starts_with("/proc/pressure/memory"), "{}", note(&silent));
    assert_eq!(silent.probe().sample(Timestamp::ZERO).unwrap().pressure, None);

    let no_stat = group(Tree::v2("/app")).without("sys/fs/cgroup/app/memory.stat");
    check(&no_stat, 4096, 3500, 1);
    assert!(note(&no_stat).contains("page cache counts as used"), "{}", note(&no_stat));

    let malformed = group(Tree::v2("/app")).with("sys/fs/cgroup/app/memory.max", "plenty\n");
    check(&malformed, 16_000, 8000, 1);
    assert!(note(&malformed).contains("neither a number nor \"max\""), "{}", note(&malformed));

    let no_group = Tree::v2("/app");
    check(&no_group, 16_000, 8000, 1);
    assert!(note(&no_group).contains("limit is not known"), "{}", note(&no_group));

    let old = Tree::bare().with(
        "proc/meminfo",
        "MemTotal: 1024000 kB\nMemFree: 102400 kB\nBuffers: 0 kB\nCached: 204800 kB\nShmem: 102400 kB\n",
    );
    check(&old, 1000, 800, 1);
    assert!(note(&old).contains("MemAvailable"), "{}", note(&old));

    let no_groups = Tree::bare().without("proc/self/cgroup");
    check(&no_groups, 16_000, 8000, 1);
}

#[test]
fn without_the_hosts_total_there_is_no_reading() {
    let error = Tree::bare().without("proc/meminfo").probe().sample(Timestamp::ZERO).unwrap_err();
    assert_eq!(error.from, "/proc/meminfo");
    let garbled = Tree::bare().with("proc/meminfo", "MemTotal: many kB\n");
    assert!(garbled.probe().sample(Timestamp::ZERO).is_err());
}

#[test]
fn a_process_that_is_moved_is_followed() {
    let tree = Tree::v2("/old").v2_group("/old", &(4 * GIB).to_string(), 100, 0).v2_group(
        "/new",
        &(2 * GIB).to_string(),
        100,
        0,
    );
    let probe = tree.probe();
    let capacity = |second: u64| {
        let now = Timestamp::ZERO + Duration::from_secs(second);
        probe.sample(now).unwrap().capacity.memory().get() / GIB
    };
    assert_eq!(capacity(0), 4);
    tree.write("proc/self/cgroup", b"0::/new\n");
    assert_eq!(capacity(9), 4, "not looked up yet");
    assert_eq!(capacity(10), 2);
}

#[test]
fn a_limit_that_changes_is_seen_at_once() {
    let tree = Tree::v2("/app").v2_group("/app", &(4 * GIB).to_string(), 100, 0);
    let probe = tree.probe();
    let capacity = || probe.sample(Timestamp::ZERO).unwrap().capacity.memory().get() / GIB;
    assert_eq!(capacity(), 4);
    tree.write("sys/fs/cgroup/app/memory.max", format!("{}\n", 3 * GIB).as_bytes());
    assert_eq!(capacity(), 3);
    tree.write("sys/fs/cgroup/app/memory.max", b"max\n");
    assert_eq!(capacity(), 15);
}

#[test]
fn the_worst_stall_counts() {
    let tree = Tree::v2("/app")
        .v2_group("/app", "max", 100, 0)
        .with("sys/fs/cgroup/app/memory.pressure", "some avg10=44.00 avg60=0 avg300=0 total=1\n");
    let reading = tree.probe().sample(Timestamp::ZERO).unwrap();
    assert_eq!(reading.pressure, Ratio::new(0.44).ok());
}

#[test]
fn this_host_is_told_alike_by_both_probes() {
    let kernel = HostMemory::system().sample(Timestamp::ZERO).unwrap();
    let portable = PortableMemory::system().sample(Timestamp::ZERO).unwrap();
    assert!(!kernel.capacity.memory().is_zero());
    assert!(kernel.capacity.memory() <= portable.capacity.memory());
    assert!(kernel.used.memory() <= kernel.capacity.memory());
    assert_eq!(portable.notes.len(), 1);
}

/// One of the trees above, by number.
fn tree(number: usize) -> Tree {
    match number {
        0 => Tree::bare(),
        1 => Tree::v2("/slice/app").v2_group("/slice", &(2 * GIB).to_string(), 1500, 0).v2_group(
            "/slice/app",
            &(8 * GIB).to_string(),
            400,
            100,
        ),
        _ => Tree::v1("/app").v1_group("/app", &(4 * GIB).to_string(), 3500, 3000),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(plimsoll_testkit::scale(100) as u32))]

    /// Whatever stands in any of the files, the answer is a reading that makes sense or an error.
    #[test]
    fn any_damage_is_answered(
        number in 0..3_usize,
        damages in prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8, any::<prop::sample::Index>(), any::<Vec<u8>>()), 1..5),
    ) {
        let tree = tree(number);
        let files = tree.files();
        for (file, kind, place, bytes) in damages {
            let path = &files[file.index(files.len())];
            let mut text = tree.read(path);
            let at = place.index(text.len() + 1);
            match kind {
                0 => text.truncate(at),
                1 => text = bytes,
                2 => { text.splice(at..at, bytes); }
                _ => { text.splice(at..at, *b"99999999999999999999"); }
            }
            tree.write(path, &text);
        }
        let probe = tree.probe();
        if let Ok(reading) = probe.sample(Timestamp::ZERO) {
            prop_assert!(reading.used.memory() <= reading.capacity.memory());
            prop_assert!(!reading.capacity.memory().is_zero() || reading.used.memory().is_zero());
            let detail = probe.detail(Timestamp::ZERO).unwrap();
            prop_assert!(detail.free() <= detail.capacity());
        }
    }
}

//! Fixture hosts of every kind, and this one.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_core_types::{CapacityProbe, Clock, Millicores, Ratio, SystemClock, Timestamp};
use plimsoll_cpu::{HostConfig, HostCpu, LimitedBy};

/// A host in a folder, which goes with it.
struct Fixture {
    root: PathBuf,
}

impl Fixture {
    fn new(files: &[(&str, &str)]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let root =
            std::env::temp_dir().join(format!("plimsoll-cpu-{}-{number}", std::process::id()));
        let fixture = Self { root };
        fixture.write("proc/self/status", "Name:\tx\nCpus_allowed_list:\t0-7\n");
        for (path, text) in files {
            fixture.write(path, text);
        }
        fixture
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        // In place: descriptors that are kept open see it, as with a kernel's file.
        fs::write(path, text).unwrap();
    }

    fn host(&self) -> HostCpu {
        HostCpu::at(&self.root, HostConfig::default()).unwrap()
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        // A leftover in the temporary folder harms nobody.
        let _ = fs::remove_dir_all(&self.root);
    }
}

fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(millis)
}

const V2: (&str, &str) =
    ("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
const HYBRID: (&str, &str) = (
    "proc/self/mountinfo",
    "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
     41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n",
);

#[track_caller]
fn check(files: &[(&str, &str)], cores: u64, by: LimitedBy) {
    let fixture = Fixture::new(files);
    let effective = fixture.host().effective(Timestamp::ZERO);
    assert_eq!((effective.cores, effective.limited_by), (Millicores::new(cores), by), "{files:?}");
}

#[test]
fn without_cgroups_affinity_is_the_limit() {
    check(&[], 8000, LimitedBy::Affinity);
    check(&[("proc/self/status", "Cpus_allowed_list:\t1,3\n")], 2000, LimitedBy::Affinity);
}

#[test]
fn v2_quotas_of_every_ancestor_bind() {
    let group = ("proc/self/cgroup", "0::/a/b/c\n");
    let own = ("sys/fs/cgroup/a/b/c/cpu.max", "400000 100000\n");
    let middle = ("sys/fs/cgroup/a/b/cpu.max", "max 100000\n");
    let quota = |levels_up| LimitedBy::Quota { levels_up };
    check(&[V2, group, own, middle], 4000, quota(0));
    check(&[V2, group, own, ("sys/fs/cgroup/a/cpu.max", "150000 100000\n")], 1500, quota(2));
    check(&[V2, group, own, ("sys/fs/cgroup/a/b/cpu.max", "10000 20000")], 500, quota(1));
    check(&[V2, group, middle], 8000, LimitedBy::Affinity);
    check(&[V2, group], 8000, LimitedBy::Affinity);
    // A quota above what there is binds nobody.
    check(&[V2, group, ("sys/fs/cgroup/a/cpu.max", "6400000 100000")], 8000, LimitedBy::Affinity);
}

#[test]
fn v1_and_hybrid_hosts_keep_quotas_in_two_files() {
    let group =
        ("proc/self/cgroup", "4:cpu,cpuacct:/docker/x\n1:name=systemd:/docker/x\n0::/docker/x\n");
    let own = |quota| {
        [
            HYBRID,
            group,
            ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_quota_us", quota),
            ("sys/fs/cgroup/cpu,cpuacct/docker/x/cpu.cfs_period_us", "100000\n"),
            // The unified hierarchy has no CPU controller here, and is not asked.
            ("sys/fs/cgroup/unified/docker/x/cpu.max", "100000 100000\n"),
        ]
    };
    check(&own("250000\n"), 2500, LimitedBy::Quota { levels_up: 0 });
    check(&own("-1\n"), 8000, LimitedBy::Affinity);
    let parent = [
        HYBRID,
        group,
        ("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_quota_us", "300000\n"),
        ("sys/fs/cgroup/cpu,cpuacct/docker/cpu.cfs_period_us", "100000\n"),
    ];
    check(&parent, 3000, LimitedBy::Quota { levels_up: 1 });
}

#[test]
fn what_can_not_be_read_is_noted_and_replaced() {
    let fixture = Fixture::new(&[
        V2,
        ("proc/self/status", "Name:\tx\n"),
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/cpu.max", "plenty\n"),
    ]);
    let host = fixture.host();
    let effective = host.effective(Timestamp::ZERO);
    assert!(effective.cores >= Millicores::from_cores(1) && effective.pressure.is_none());
    let reading = host.sample(Timestamp::ZERO).unwrap();
    let sources: Vec<_> = reading.notes.iter().map(|note| note.source.as_str()).collect();
    assert!(sources.contains(&"proc/self/status"), "{sources:?}");
    assert!(sources.iter().any(|source| source.ends_with("sys/fs/cgroup/a")), "{sources:?}");
    assert_eq!(reading.pressure, None);
}

#[test]
fn limits_are_remembered_and_refreshed_on_change() {
    let fixture = Fixture::new(&[
        V2,
        ("proc/self/cgroup", "0::/a\n"),
        ("sys/fs/cgroup/a/cpu.max", "200000 100000\n"),
        ("sys/fs/cgroup/b/cpu.max", "300000 100000\n"),
    ]);
    let host = fixture.host();
    let cores =
        |millis| (host.effective(at(millis)).cores.get(), host.effective(at(millis)).revision);
    assert_eq!(cores(0), (2000, 0));
    fixture.write("sys/fs/cgroup/a/cpu.max", "100000 100000\n");
    assert_eq!(cores(99), (2000, 0));
    assert_eq!(cores(100), (1000, 1));
    assert_eq!(cores(300), (1000, 1));
    // Moved to another group.
    fixture.write("proc/self/cgroup", "0::/b\n");
    assert_eq!(cores(400), (3000, 2));
    fixture.write("proc/self/status", "Cpus_allowed_list:\t0\n");
    assert_eq!(cores(500), (1000, 3));
}

fn stat(busy_each: u64) -> String {
    let line = |cpu: String| format!("{cpu} {busy_each} 0 0 500 0 0 0 0 0 0\n");
    let cpus: String = (0..8).map(|cpu| line(format!("cpu{cpu}"))).collect();
    format!("{}{cpus}intr 0\n", line("cpu ".to_owned()))
}

fn psi(percent: f64) -> String {
    format!("some avg10={percent:.2} avg60=0.00 avg300=0.00 total=1000\n")
}

/// Eight cores, a neighbour of three times our weight, and everything busy.
fn contended() -> Fixture {
    Fixture::new(&[
        V2,
        ("proc/self/cgroup", "0::/ours\n"),
        ("proc/stat", &stat(0)),
        ("proc/pressure/cpu", &psi(30.0)),
        ("sys/fs/cgroup/ours/cpu.weight", "100\n"),
        ("sys/fs/cgroup/ours/cpu.pressure", &psi(30.0)),
        ("sys/fs/cgroup/ours/cpu.stat", "usage_usec 0\nthrottled_usec 0\n"),
        ("sys/fs/cgroup/ours/cgroup.events", "populated 1\n"),
        ("sys/fs/cgroup/greedy/cpu.weight", "300\n"),
        ("sys/fs/cgroup/greedy/cgroup.events", "populated 1\n"),
        ("sys/fs/cgroup/empty/cpu.weight", "10000\n"),
        ("sys/fs/cgroup/empty/cgroup.events", "populated 0\n"),
    ])
}

#[test]
fn under_pressure_a_group_has_its_weight_or_what_others_leave() {
    let fixture = contended();
    let host = fixture.host();
    assert_eq!(host.effective(at(0)).cores, Millicores::from_cores(8));
    // One second later: 8 cores were busy, one of them by us.
    fixture.write("proc/stat", &stat(100));
    fixture.write("sys/fs/cgroup/ours/cpu.stat", "usage_usec 1000000\nthrottled_usec 250000\n");
    let effective = host.effective(at(1000));
    assert_eq!(effective.limited_by, LimitedBy::Contention);
    assert_eq!(effective.guaranteed, Some(Millicores::from_cores(2)));
    assert_eq!(effective.cores, Millicores::from_cores(2));
    let signals = host.signals(at(1000));
    assert_eq!(signals.host_used, Some(Millicores::from_cores(8)));
    assert_eq!(signals.throttled, Some(Ratio::new(0.25).unwrap()));
    // The neighbour calms down to three cores: five are left.
    fixture.write("proc/stat", &stat(150));
    fixture.write("sys/fs/cgroup/ours/cpu.stat", "usage_usec 2000000\nthrottled_usec 250000\n");
    assert_eq!(host.effective(at(2000)).cores, Millicores::from_cores(5));
    let reading = host.sample(at(2000)).unwrap();
    assert_eq!(reading.capacity.cpu(), Millicores::from_cores(5));
    assert_eq!(reading.used.cpu(), Millicores::from_cores(1));
    // Below the lower threshold the weight counts no more.
    fixture.write("sys/fs/cgroup/ours/cpu.pressure", &psi(4.0));
    assert_eq!(host.effective(at(3000)).cores, Millicores::from_cores(8));
}

#[test]
fn v1_keeps_weights_and_use_in_two_hierarchies() {
    let shares = "sys/fs/cgroup/cpu";
    let files = [
        (
            "proc/self/mountinfo",
            "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
             33 31 0:30 / /sys/fs/cgroup/cpuacct rw - cgroup cgroup rw,cpuacct\n",
        ),
        ("proc/self/cgroup", "2:cpuacct:/ours\n1:cpu:/ours\n"),
        ("proc/stat", &stat(0)),
        ("proc/pressure/cpu", &psi(30.0)),
        ("sys/fs/cgroup/cpu/release_agent", "\n"),
        ("sys/fs/cgroup/cpuacct/release_agent", "\n"),
        ("sys/fs/cgroup/cpuacct/ours/cpuacct.usage", "0\n"),
        (&format!("{shares}/ours/cpu.shares"), "1024\n"),
        (&format!("{shares}/ours/cgroup.procs"), "1\n"),
        (&format!("{shares}/greedy/cpu.shares"), "3072\n"),
        (&format!("{shares}/greedy/cgroup.procs"), "2\n3\n"),
        (&format!("{shares}/empty/cpu.shares"), "9999\n"),
        (&format!("{shares}/empty/cgroup.procs"), ""),
    ];
    let fixture = Fixture::new(&files);
    let host = fixture.host();
    assert_eq!(host.effective(at(0)).cores, Millicores::from_cores(8));
    fixture.write("proc/stat", &stat(100));
    fixture.write("sys/fs/cgroup/cpuacct/ours/cpuacct.usage", "500000000\n");
    let effective = host.effective(at(1000));
    assert_eq!(effective.cores, Millicores::from_cores(2), "{effective:?}");
    assert_eq!(host.signals(at(1000)).used, Some(Millicores::new(500)));
}

#[test]
fn a_container_that_looks_like_a_root_is_none() {
    let fixture = Fixture::new(&[
        V2,
        ("proc/self/cgroup", "0::/\n"),
        ("proc/stat", &stat(0)),
        ("proc/pressure/cpu", &psi(1.0)),
        ("sys/fs/cgroup/cpu.max", "200000 100000\n"),
        ("sys/fs/cgroup/cpu.stat", "usage_usec 0\n"),
        ("sys/fs/cgroup/cpu.pressure", &psi(40.0)),
    ]);
    let host = fixture.host();
    let effective = host.effective(at(0));
    assert_eq!(effective.limited_by, LimitedBy::Quota { levels_up: 0 });
    // Its own pressure, and not the host's.
    assert_eq!(effective.pressure, Some(Ratio::new(0.4).unwrap()));
    fixture.write("sys/fs/cgroup/cpu.stat", "usage_usec 1200000\n");
    assert_eq!(host.sample(at(1000)).unwrap().used.cpu(), Millicores::new(1200));
}

#[test]
fn used_is_counted_within_the_limit_that_binds() {
    let fixture = contended();
    fixture.write("sys/fs/cgroup/ours/cpu.pressure", &psi(0.0));
    fixture.write("sys/fs/cgroup/ours/cpu.max", "200000 100000\n");
    let host = fixture.host();
    let first = host.sample(at(0)).unwrap();
    assert!(first.used.cpu().is_zero() && first.notes.iter().any(|note| note.source == "cpu use"));
    fixture.write("proc/stat", &stat(100));
    fixture.write("sys/fs/cgroup/ours/cpu.stat", "usage_usec 1500000\n");
    let reading = host.sample(at(1000)).unwrap();
    assert_eq!(reading.capacity.cpu(), Millicores::from_cores(2));
    assert_eq!(reading.used.cpu(), Millicores::new(1500));
    assert!(reading.notes.is_empty(), "{:?}", reading.notes);
}

#[test]
fn this_host_tells_of_itself() {
    let (host, clock) = (HostCpu::system(), SystemClock::new());
    let effective = host.effective(clock.now());
    assert!(effective.cores >= Millicores::new(1) && effective.cores <= effective.affinity);
    assert!(host.sample(clock.now()).unwrap().capacity.memory().is_zero());
}

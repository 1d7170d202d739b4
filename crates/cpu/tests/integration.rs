//! Fixture hosts of every kind, and this one.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use plimsoll_core_types::{
    CapacityProbe, Clock, ConsumerId, CpuManager as _, ManualClock, Millicores, Priority, Ratio,
    SystemClock, Task, TaskClass, TaskId, TenantId, Timestamp,
};
use plimsoll_cpu::account::{CpuClock as _, ThreadCpuClock};
use plimsoll_cpu::apply::{
    ApplyError, EngineKind, LaunchAdvice, LaunchSetting, Means, affinity, set_affinity,
};
use plimsoll_cpu::process::{Monitor, ProcessCpu, ProcessError, WatchError};
use plimsoll_cpu::runtime::RuntimeLoad;
use plimsoll_cpu::throttle::{ProcessThrottle, ProcessThrottleConfig};
use plimsoll_cpu::{CpuConfig, CpuList, CpuService, HostConfig, HostCpu, LimitedBy};

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

fn wait_until(what: &str, mut holds: impl FnMut() -> bool) {
    let clock = SystemClock::new();
    while !holds() {
        assert!(clock.now() < at(30_000), "{what}: not within 30 s");
        std::thread::yield_now();
    }
}

#[test]
fn a_process_is_measured_until_it_ends_and_never_after() {
    let (spinner, clock) = (Spinner::new(), SystemClock::new());
    let pid = spinner.id();
    let process = ProcessCpu::open(pid).unwrap();
    let first = process.sample(clock.now()).unwrap();
    let mut last = first;
    wait_until("50 ms of CPU time", || {
        let next = process.sample(clock.now()).unwrap();
        assert!(
            next.cpu >= last.cpu && next.waited >= last.waited && next.switches >= last.switches
        );
        last = next;
        next.cpu.saturating_sub(first.cpu) > Duration::from_millis(50)
    });
    assert!(last.threads == 1 && last.switches > 0);
    let switches = process.context_switches().unwrap();
    assert!(switches.voluntary + switches.involuntary > 0);
    drop(spinner);
    assert!(matches!(process.sample(clock.now()), Err(ProcessError::Gone { .. })));
    assert!(matches!(ProcessCpu::open(pid), Err(ProcessError::Gone { .. })));
}

#[test]
fn threads_that_wait_for_a_core_are_counted_with_those_that_ended() {
    let clock = Arc::new(SystemClock::new());
    let process = ProcessCpu::open(std::process::id()).unwrap();
    let before = process.sample(clock.now()).unwrap();
    let burn = |clock: Arc<SystemClock>| {
        move || {
            let end = clock.now() + Duration::from_millis(60);
            let mut turns = 0_u64;
            while clock.now() < end {
                turns = std::hint::black_box(turns + 1);
            }
        }
    };
    let burners: Vec<_> = (0..8).map(|_| std::thread::spawn(burn(Arc::clone(&clock)))).collect();
    let during = process.sample(clock.now()).unwrap();
    assert!(during.threads >= 1);
    for burner in burners {
        burner.join().unwrap();
    }
    let after = process.sample(clock.now()).unwrap();
    assert!(after.cpu > before.cpu && after.waited >= during.waited);
    // The threads are gone, and with them nothing of what was counted.
    let last = process.sample(clock.now()).unwrap();
    assert!(last.cpu >= after.cpu && last.waited >= after.waited);
    std::io::stdout().flush().unwrap();
}

/// A shell that burns CPU, and is killed with the test.
struct Spinner(Child);

impl Spinner {
    fn new() -> Self {
        let script = "echo on; i=0; while :; do i=$((i+1)); done";
        let mut command = Command::new("sh");
        Self(command.args(["-c", script]).stdout(Stdio::piped()).spawn().unwrap())
    }

    fn id(&self) -> u32 {
        self.0.id()
    }

    /// Cores that it keeps busy over `millis`.
    fn cores(&self, millis: u64, mut tick: impl FnMut(Timestamp)) -> f64 {
        let (clock, process) = (SystemClock::new(), ProcessCpu::open(self.id()).unwrap());
        let first = process.sample(clock.now()).unwrap();
        while clock.now() < at(millis) {
            tick(clock.now());
            std::thread::park_timeout(Duration::from_millis(1));
        }
        let last = process.sample(clock.now()).unwrap();
        let elapsed = last.at.saturating_since(first.at).as_secs_f64();
        last.cpu.saturating_sub(first.cpu).as_secs_f64() / elapsed
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn affinity_reaches_every_thread_and_is_undone() {
    let spinner = Spinner::new();
    let before = affinity(spinner.id()).unwrap();
    let config =
        ProcessThrottleConfig { means: vec![Means::Affinity], ..ProcessThrottleConfig::default() };
    let throttle = ProcessThrottle::new(spinner.id(), Millicores::new(500), &config).unwrap();
    assert_eq!(affinity(spinner.id()).unwrap().len(), 1);
    drop(throttle);
    assert_eq!(affinity(spinner.id()).unwrap(), before);
    let none: CpuList = "8000".parse().unwrap();
    assert!(set_affinity(spinner.id(), &none).is_err());
    assert_eq!(affinity(spinner.id()).unwrap(), before);
}

#[test]
fn signals_hold_a_process_to_its_quota_and_let_it_go() {
    let spinner = Spinner::new();
    let config =
        ProcessThrottleConfig { means: vec![Means::Signals], ..ProcessThrottleConfig::default() };
    let mut throttle = ProcessThrottle::new(spinner.id(), Millicores::new(200), &config).unwrap();
    assert_eq!(throttle.means(), Means::Signals);
    let mut next = Timestamp::ZERO;
    let cores = spinner.cores(1500, |now| {
        if now >= next {
            next = throttle.tick(now).unwrap().unwrap();
        }
    });
    // On a busy machine it may get less than its quota, and a tick may be late.
    assert!(cores < 0.3, "{cores}");
    drop(throttle);
    let cpu = || ProcessCpu::open(spinner.id()).unwrap().sample(Timestamp::ZERO).unwrap().cpu;
    let stopped_at = cpu();
    wait_until("it goes on", || cpu() > stopped_at + Duration::from_millis(20));
}

#[test]
fn a_cgroup_holds_a_process_to_its_quota_and_goes_away() {
    let spinner = Spinner::new();
    let config = ProcessThrottleConfig { name: "test".to_owned(), means: vec![Means::Quota] };
    let mut throttle = match ProcessThrottle::new(spinner.id(), Millicores::new(200), &config) {
        Ok(throttle) => throttle,
        Err(applied) => {
            plimsoll_testkit::skip(
                "a_cgroup_holds_a_process_to_its_quota_and_goes_away",
                &format!("no cgroup to write: {:?}", applied.attempts),
            );
            return;
        }
    };
    let cores = spinner.cores(1000, |_| {});
    assert!(cores < 0.3, "{cores}");
    throttle.set_quota(Millicores::new(500)).unwrap();
    assert_eq!((throttle.quota(), throttle.tick(at(0)).unwrap()), (Millicores::new(500), None));
    let own = || fs::read_to_string(format!("/proc/{}/cgroup", spinner.id())).unwrap();
    assert!(own().contains("plimsoll-test"));
    drop(throttle);
    assert!(!own().contains("plimsoll-test"), "{}", own());
}

#[test]
fn where_no_means_works_each_says_why() {
    let applied =
        ProcessThrottle::new(u32::MAX, Millicores::new(1), &ProcessThrottleConfig::default())
            .unwrap_err();
    assert_eq!(applied.attempts.len(), 4);
    assert_eq!(applied.in_force().count(), 0);
    assert!(applied.attempts.iter().all(|attempt| attempt.outcome.is_err()), "{applied:?}");
}

#[test]
fn a_monitor_follows_processes_to_their_end() {
    let (host, clock) = (HostCpu::system(), SystemClock::new());
    let (stays, ends) = (Spinner::new(), Spinner::new());
    let name = |name: &str| ConsumerId::new(name).unwrap();
    let mut monitor = Monitor::new(2);
    monitor.watch(name("stays"), stays.id()).unwrap();
    monitor.watch(name("ends"), ends.id()).unwrap();
    let own = std::process::id();
    assert!(matches!(monitor.watch(name("own"), own), Err(WatchError::TooMany { most: 2 })));
    let first = monitor.tick(&host, clock.now());
    assert_eq!((first.processes.len(), first.ended.len()), (2, 0));
    let ended = ends.id();
    drop(ends);
    let mut used = Millicores::ZERO;
    wait_until("it uses something", || {
        let reading = monitor.tick(&host, clock.now());
        if !reading.ended.is_empty() {
            assert_eq!(reading.ended, [(name("ends"), ended)]);
        }
        let own = reading.processes.iter().find(|process| process.pid == stays.id()).unwrap();
        assert_eq!(own.share, own.usage.used.share_of(reading.effective.cores));
        used = used.max(own.usage.used);
        !used.is_zero() && reading.processes.len() == 1
    });
    monitor.unwatch(stays.id());
    assert!(monitor.tick(&host, clock.now()).processes.is_empty());
}

#[tokio::test]
async fn a_service_adds_up_what_it_is_told_and_what_it_accounts() {
    let clock = Arc::new(ManualClock::new());
    let host = Arc::new(HostCpu::system());
    let service = CpuService::new(host, clock.clone(), CpuConfig::default());
    let class = |priority| TaskClass { model: None, tenant: TenantId::DEFAULT, priority };
    let task = |second: u64| Task {
        id: TaskId::new(1),
        consumer: ConsumerId::new("engine").unwrap(),
        class: class(Priority::Low),
        worker: None,
        at: Timestamp::ZERO + Duration::from_secs(second),
        cpu: Duration::from_millis(700),
        waited: Duration::from_millis(10),
        work: 10,
        threads: 1,
    };
    for second in 1..=5 {
        clock.advance(Duration::from_secs(1));
        service.track_usage(&task(second));
    }
    let burn = ThreadCpuClock;
    let work = async {
        let end = burn.thread_time() + Duration::from_millis(5);
        while burn.thread_time() < end {}
    };
    service.accountant().account(&class(Priority::High), work).await;
    for _ in 0..2 {
        // Asked twice, it counts nothing twice.
        let status = service.status();
        let cpu = |priority| {
            let own = status.classes.iter().find(|usage| usage.class == Some(class(priority)));
            own.unwrap().cpu
        };
        assert_eq!(cpu(Priority::Low), Duration::from_millis(3500));
        assert!((5..50).contains(&cpu(Priority::High).as_millis()), "{status:?}");
    }
    let plan = service.optimize_threads();
    assert_eq!((plan.assignments.len(), plan.cores), (1, service.status().effective.cores));
    let advice = service.advise_runtime(&RuntimeLoad::default());
    assert!(advice.workers >= 1);
    service.watch(ConsumerId::new("own").unwrap(), std::process::id()).unwrap();
    assert_eq!(service.monitor().processes.len(), 1);
    assert!(service.balance_load().moves.is_empty());
}

#[test]
fn what_a_process_was_started_with_is_seen() {
    let advice = LaunchAdvice::new(EngineKind::LlamaServer, 3);
    let mut command = Command::new("sh");
    command.args(["-c", "echo on; read x", "llama-server"]).stdin(Stdio::piped());
    for setting in &advice.settings {
        match setting {
            LaunchSetting::Environment { name, value } => command.env(name, value),
            LaunchSetting::Arguments(words) => command.args(words),
        };
    }
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut on = [0; 3];
    child.stdout.as_mut().unwrap().read_exact(&mut on).unwrap();
    assert_eq!(advice.seen_by(child.id()).unwrap(), advice.settings);
    let other = LaunchAdvice::new(EngineKind::LlamaServer, 4);
    assert_eq!(other.seen_by(child.id()).unwrap(), []);
    drop(child.stdin.take());
    child.wait().unwrap();
    assert!(matches!(advice.seen_by(child.id()), Err(ApplyError::Gone { .. })));
}

#[test]
fn a_process_that_never_was_is_gone() {
    let error = ProcessCpu::open(u32::MAX).unwrap_err();
    assert!(matches!(error, ProcessError::Gone { pid: u32::MAX }), "{error}");
    assert!(Path::new("/proc").exists());
}

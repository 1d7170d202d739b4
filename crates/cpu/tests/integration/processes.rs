//! Processes that run: measured, watched, throttled, placed.

use std::fs;
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Clock, ConsumerId, Millicores, SystemClock, Timestamp};
use plimsoll_cpu::apply::{
    ApplyError, EngineKind, LaunchAdvice, LaunchSetting, Means, affinity, set_affinity,
};
use plimsoll_cpu::process::{Monitor, ProcessCpu, ProcessError, WatchError};
use plimsoll_cpu::throttle::{ProcessThrottle, ProcessThrottleConfig};
use plimsoll_cpu::{CpuList, HostCpu};

fn at(millis: u64) -> Timestamp {
    Timestamp::ZERO + Duration::from_millis(millis)
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

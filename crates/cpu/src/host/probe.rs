//! Reads the host.

use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{
    CapacityProbe, Millicores, ProbeError, ProbeNote, ProbeReading, Ratio, ResourceVector,
    Timestamp,
};

use super::config::{HostConfig, HostConfigError};
use super::cpu_list::CpuList;
use super::effective::{Contention, Effective, Hysteresis, LimitedBy, Limits, effective};
use super::groups::Groups;
use super::hierarchy::{self, below_root};
use super::meter::{Counters, HostSignals, Meter};
use super::text;
use crate::kept::KeptFile;
use crate::os;

/// The kernel counts CPU time of each CPU in hundredths of a second (`USER_HZ`, which is part of
/// its interface and has been 100 everywhere for decades).
const TICK_MILLIS: u64 = 10;

/// The CPU that this process has, within the limits that bind it.
///
/// Limits are read when somebody asks and the last reading is older than
/// [`HostConfig::refresh_every`]; in between, the answer is remembered. Files stay open. Nothing
/// runs in the background.
///
/// ```
/// use plimsoll_core_types::{Clock, SystemClock};
/// use plimsoll_cpu::HostCpu;
///
/// let (host, clock) = (HostCpu::system(), SystemClock::new());
/// let effective = host.effective(clock.now());
/// println!("{} by {:?}", effective.cores, effective.limited_by);
/// assert!(effective.cores <= effective.affinity);
/// ```
#[derive(Debug)]
pub struct HostCpu {
    config: HostConfig,
    root: PathBuf,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    files: Files,
    /// `/proc/self/cgroup` as the groups were opened by.
    membership: String,
    /// How often they were opened.
    memberships: u64,
    groups: Option<Groups>,
    read_at: Option<Timestamp>,
    effective: Effective,
    meter: Meter,
    contended: Hysteresis,
    share: Option<Ratio>,
    notes: Vec<ProbeNote>,
    buffer: Vec<u8>,
}

/// The files that stay open whatever group this process is in.
#[derive(Debug)]
struct Files {
    membership: Option<KeptFile>,
    status: Option<KeptFile>,
    pressure: Option<KeptFile>,
    stat: Option<KeptFile>,
    schedstat: Option<KeptFile>,
}

impl HostCpu {
    /// This host. What can't be read is replaced by the next best, and noted.
    pub fn system() -> Self {
        Self::made(Path::new("/"), HostConfig::default())
    }

    /// This host, read as `config` says.
    ///
    /// # Errors
    ///
    /// When `config` contradicts itself; names the field.
    pub fn with_config(config: HostConfig) -> Result<Self, HostConfigError> {
        Self::at(Path::new("/"), config)
    }

    /// The host whose `/proc` and `/sys` are below `root`: a container's, or a test's.
    ///
    /// Below anything but `/`, affinity is read from `proc/self/status` instead of the kernel.
    ///
    /// # Errors
    ///
    /// When `config` contradicts itself; names the field.
    pub fn at(root: &Path, config: HostConfig) -> Result<Self, HostConfigError> {
        config.check()?;
        Ok(Self::made(root, config))
    }

    fn made(root: &Path, config: HostConfig) -> Self {
        let open = |path: &str| KeptFile::open(root.join(path)).ok();
        let files = Files {
            membership: open("proc/self/cgroup"),
            status: open("proc/self/status"),
            pressure: open("proc/pressure/cpu"),
            stat: open("proc/stat"),
            schedstat: open("proc/schedstat"),
        };
        let limits =
            Limits { affinity: Millicores::ZERO, quota: None, contention: None, pressure: None };
        let state = State {
            files,
            membership: String::new(),
            memberships: 0,
            groups: None,
            read_at: None,
            effective: effective(&limits, 0),
            meter: Meter::default(),
            contended: Hysteresis::default(),
            share: None,
            notes: Vec::new(),
            buffer: Vec::new(),
        };
        Self { config, root: root.to_owned(), state: Mutex::new(state) }
    }

    /// How many cores this process can count on. Remembered for
    /// [`refresh_every`](HostConfig::refresh_every).
    pub fn effective(&self, now: Timestamp) -> Effective {
        self.read(now).effective
    }

    /// How busy the host is, over the last [`measure_over`](HostConfig::measure_over).
    pub fn signals(&self, now: Timestamp) -> HostSignals {
        self.read(now).signals()
    }

    /// What could not be read when it was last tried, and what stands in.
    pub fn notes(&self, now: Timestamp) -> Vec<ProbeNote> {
        self.read(now).notes.clone()
    }

    fn read(&self, now: Timestamp) -> parking_lot::MutexGuard<'_, State> {
        let mut state = self.state.lock();
        let is_fresh = state
            .read_at
            .is_some_and(|then| now.saturating_since(then) < self.config.refresh_every);
        if !is_fresh {
            state.refresh(&self.config, &self.root, now);
        }
        state
    }
}

impl CapacityProbe for HostCpu {
    /// Fills CPU alone: [`Effective::cores`], and what is used within the limit that binds.
    ///
    /// Use is measured between two readings at least [`HostConfig::measure_over`] apart; before
    /// the second it is zero, with a note.
    fn sample(&self, now: Timestamp) -> Result<ProbeReading, ProbeError> {
        let state = self.read(now);
        let signals = state.signals();
        let mut notes = state.notes.clone();
        if signals.used.is_none() {
            notes.push(ProbeNote {
                source: "cpu use".to_owned(),
                problem: "not measured yet; counted as none".to_owned(),
            });
        }
        Ok(ProbeReading {
            at: now,
            capacity: ResourceVector::new().with_cpu(state.effective.cores),
            used: ResourceVector::new().with_cpu(signals.used.unwrap_or_default()),
            pressure: state.effective.pressure,
            notes,
        })
    }
}

impl State {
    fn refresh(&mut self, config: &HostConfig, root: &Path, now: Timestamp) {
        let first = self.read_at.replace(now).is_none();
        self.notes.clear();
        self.follow_membership(root);
        let cpus = self.affinity(root);
        let affinity = cpus
            .as_ref()
            .map_or_else(os::available_cores, |cpus| Millicores::from_cores(u64::from(cpus.len())));
        let quota = self.quota(root);
        let psi = self.psi();
        let pressure = psi.map(|psi| psi.some_avg10);
        let mut limits = Limits { affinity, quota, contention: self.contention(), pressure };
        if self.meter.is_due(now, config.measure_over) {
            let counters = self.counters(psi, cpus.as_ref());
            self.meter.update(now, counters);
            self.judge_contention(config, pressure);
            limits.contention = self.contention();
        }
        let next = effective(&limits, self.effective.revision);
        let has_changed = !first && next.cores != self.effective.cores;
        self.effective = next;
        self.effective.revision += u64::from(has_changed);
    }

    /// The group whose use counts against the limit; none is the whole host.
    fn level(&self) -> Option<u32> {
        match self.effective.limited_by {
            LimitedBy::Affinity => None,
            LimitedBy::Quota { levels_up } => Some(levels_up),
            LimitedBy::Contention => self.groups.as_ref().and_then(Groups::outermost),
        }
    }

    fn signals(&self) -> HostSignals {
        self.meter.signals(self.level())
    }

    fn judge_contention(&mut self, config: &HostConfig, pressure: Option<Ratio>) {
        let (enter, leave) = (config.contended_above, config.contended_below);
        let pressure = pressure.unwrap_or(Ratio::ZERO);
        let is_contended = self.contended.update(pressure, enter, leave);
        let groups = self.groups.as_ref().filter(|_| is_contended);
        self.share = groups.and_then(|groups| groups.guaranteed_share(config.most_siblings));
    }

    fn contention(&self) -> Option<Contention> {
        let outermost = self.groups.as_ref()?.outermost()?;
        let (share, others) = self.share.zip(self.meter.others(outermost))?;
        Some(Contention { share, others })
    }

    /// Opens the files of the groups that this process is in, where these are others by now.
    fn follow_membership(&mut self, root: &Path) {
        let Some(file) = &self.files.membership else { return };
        let Ok(text) = file.read(&mut self.buffer) else { return };
        if text != self.membership {
            text.clone_into(&mut self.membership);
            self.open_groups(root);
        }
        if self.groups.as_ref().is_some_and(|groups| groups.hierarchy().own_unseen) {
            self.note(
                "proc/self/cgroup",
                "its group is outside what is mounted; the outermost that is stands in",
            );
        }
    }

    fn open_groups(&mut self, root: &Path) {
        let mountinfo =
            std::fs::read_to_string(below_root(root, Path::new("/proc/self/mountinfo")));
        let mountinfo = mountinfo.unwrap_or_default();
        let find = |controller| hierarchy::find(controller, &self.membership, &mountinfo, root);
        let accounting = find("cpuacct");
        self.memberships += 1;
        self.groups = find("cpu").map(|found| Groups::open(found, accounting.as_ref()));
    }

    fn affinity(&mut self, root: &Path) -> Option<CpuList> {
        if root == Path::new("/")
            && let Some(cpus) = os::affinity_of(std::process::id())
        {
            return Some(cpus);
        }
        let status = self.files.status.as_ref();
        let text = status.and_then(|file| file.read(&mut self.buffer).ok());
        let line = text
            .and_then(|text| text.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")));
        let cpus: Option<CpuList> = line.and_then(|list| list.parse().ok());
        let cpus = cpus.filter(|cpus| !cpus.is_empty());
        if cpus.is_none() {
            self.note(
                "proc/self/status",
                "affinity can't be read; the standard library's count of cores stands in",
            );
        }
        cpus
    }

    fn quota(&mut self, root: &Path) -> Option<(Millicores, u32)> {
        let groups = self.groups.as_ref()?;
        if let Ok(tightest) = groups.tightest_quota(&mut self.notes) {
            return tightest;
        }
        // A group went away under its descriptor: this process is elsewhere by now.
        self.open_groups(root);
        self.groups.as_ref()?.tightest_quota(&mut self.notes).ok().flatten()
    }

    fn psi(&self) -> Option<text::Psi> {
        let own = self.groups.as_ref().and_then(Groups::pressure);
        let mut buffer = [0; 256];
        own.into_iter()
            .chain(&self.files.pressure)
            .find_map(|file| text::psi(file.read_short(&mut buffer).ok()?))
    }

    fn counters(&mut self, psi: Option<text::Psi>, cpus: Option<&CpuList>) -> Counters {
        let counts = |cpu| cpus.is_none_or(|cpus| cpus.contains(cpu));
        let buffer = &mut self.buffer;
        let mut read = |file: &Option<KeptFile>, parse: &dyn Fn(&str) -> Option<Duration>| {
            file.as_ref().and_then(|file| parse(file.read(buffer).ok()?))
        };
        let host = read(&self.files.stat, &|text| {
            text::busy_ticks(text, counts)
                .map(|ticks| Duration::from_millis(ticks.saturating_mul(TICK_MILLIS)))
        });
        let waiting = read(&self.files.schedstat, &|text| text::run_delay(text, counts));
        let groups = self.groups.as_ref();
        Counters {
            membership: self.memberships,
            groups: groups.map(Groups::usages).unwrap_or_default(),
            host,
            stalled: psi.map(|psi| psi.some_total),
            waiting,
            throttled: groups.and_then(Groups::throttled),
        }
    }

    fn note(&mut self, source: &str, problem: &str) {
        self.notes.push(ProbeNote { source: source.to_owned(), problem: problem.to_owned() });
    }
}

//! The command itself: launched with as many threads as it may run, measured, waited for.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use plimsoll_core_types::{Bytes, Clock as _, ResourceVector, SystemClock};
use plimsoll_cpu::HostCpu;
use plimsoll_cpu::apply::{EngineKind, LaunchAdvice, LaunchSetting};
use rustix::process::{Pid, Signal, kill_process};
use tokio::process::Command;

use super::{Lease, RunError};
use crate::fleet::Meter;
use crate::signals::Interrupt;

/// How often it is measured.
const MEASURE_EVERY: Duration = Duration::from_millis(500);
/// The exit code of a program that can't be run, as shells have it.
const NOT_FOUND: u8 = 127;

/// A running command.
#[derive(Debug)]
pub(super) struct Child {
    child: tokio::process::Child,
    pid: u32,
}

/// How it ended, and the most memory that it was seen to use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ended {
    pub(super) code: u8,
    pub(super) peak: Option<Bytes>,
}

impl Child {
    /// Starts the command within what its lease holds.
    pub(super) fn launch(
        command: &[OsString],
        amount: &ResourceVector,
        device: Option<u8>,
    ) -> Result<Self, RunError> {
        let threads = threads(amount);
        let program = std::env::current_exe()
            .map_err(|error| RunError::internal("finding this program", &error))?;
        let mut process = Command::new(program);
        process.args(["hold", "--parent", &std::process::id().to_string(), "--"]);
        let fill = |word: &OsString| match word.to_str() {
            Some(text) => OsString::from(text.replace("{threads}", &threads.to_string())),
            None => word.clone(),
        };
        process.args(command.iter().map(fill));
        for (name, value) in environment(command, threads) {
            // What the user has set by hand is what the user wants.
            if std::env::var_os(&name).is_none() {
                process.env(name, value);
            }
        }
        if let Some(device) = device {
            process.env("CUDA_VISIBLE_DEVICES", device.to_string());
            process.env("HIP_VISIBLE_DEVICES", device.to_string());
        }
        process.env("PLIMSOLL_LEASED_MEMORY_BYTES", amount.memory().get().to_string());
        let child = process
            .stdin(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()
            .map_err(|error| RunError::internal("starting the command", &error))?;
        let pid =
            child.id().ok_or_else(|| RunError::internal("starting the command", &"it ended"))?;
        Ok(Self { child, pid })
    }

    pub(super) const fn pid(&self) -> u32 {
        self.pid
    }

    /// Waits for its end, passes signals on, and keeps its lease meanwhile.
    pub(super) async fn ended(mut self, lease: &Lease) -> Ended {
        let clock = SystemClock::new();
        let mut meter = Meter::new(Some(self.pid));
        let mut ticks = tokio::time::interval(MEASURE_EVERY);
        let mut peak = None;
        let mut keep = std::pin::pin!(lease.keep());
        let mut interrupted = std::pin::pin!(crate::signals::interrupted());
        let mut told = 0;
        loop {
            tokio::select! {
                status = self.child.wait() => {
                    return Ended { code: status.map_or(NOT_FOUND, code), peak };
                }
                _ = ticks.tick() => {
                    let reading = meter.measure(clock.now());
                    peak = (reading.samples > 0).then(|| reading.peak.memory());
                }
                () = &mut keep => {}
                how = &mut interrupted => {
                    interrupted.set(crate::signals::interrupted());
                    told += 1;
                    // A terminal has told the command itself.
                    if how == Interrupt::Terminate || !crate::output::is_terminal() || told > 2 {
                        self.pass_on(told);
                    }
                }
            }
        }
    }

    /// Asks it to end, and the third time does not ask any more.
    fn pass_on(&self, told: u32) {
        let signal = if told < 3 { Signal::TERM } else { Signal::KILL };
        if let Some(pid) = i32::try_from(self.pid).ok().and_then(Pid::from_raw) {
            // One that has just ended need not be told.
            let _ = kill_process(pid, signal);
        }
    }
}

/// As many threads as the lease has cores, and no more than there are.
fn threads(amount: &ResourceVector) -> u32 {
    let there = HostCpu::system().effective(SystemClock::new().now()).cores;
    (amount.cpu().min(there).as_cores().ceil() as u32).max(1)
}

fn environment(command: &[OsString], threads: u32) -> Vec<(String, String)> {
    let program = command.first().and_then(|program| program.to_str()).unwrap_or_default();
    let advice = LaunchAdvice::new(EngineKind::of(program), threads);
    let variable = |setting| match setting {
        LaunchSetting::Environment { name, value } => Some((name, value)),
        LaunchSetting::Arguments(_) => None,
    };
    advice.settings.into_iter().filter_map(variable).collect()
}

/// The exit code, or 128 and the signal that ended it, as shells have it.
fn code(status: ExitStatus) -> u8 {
    #[cfg(unix)]
    {
        use std::os::unix::process::ExitStatusExt as _;
        if let Some(signal) = status.signal() {
            return u8::try_from(128 + signal).unwrap_or(u8::MAX);
        }
    }
    status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)
}

#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | question | answer |
//! |---|---|
//! | How many cores can this process count on? | [`HostCpu::effective`]: the least of affinity, the quota of every ancestor cgroup (v1 and v2), and the weight's share under pressure |
//! | What does a process use, and how long does it wait for a core? | [`process::ProcessCpu`], or [`process::Monitor`] for many |
//! | What do the futures of a model, tenant or priority use? | [`account::Accountant`]: one decrement a poll, the clock read for a sample of them |
//! | How many threads should each engine run? | [`threads::ThreadPlanner`]: learns how much each gains by another, divides the cores by that |
//! | How is that put into force, and was it? | [`apply`] |
//! | How are futures, and child processes, held to a quota? | [`throttle`] |
//! | What should be moved between workers? | [`balance::Balancer`] |
//! | How many workers should the application's own runtime have? | [`runtime::advise`] |
//!
//! Each stands alone. [`CpuService`] holds them together behind the interface
//! [`CpuManager`](plimsoll_core_types::CpuManager).
//!
//! The algorithms are pure: they are told the time, read no file, spawn nothing, and give the same
//! answer for the same events. `/proc` and `/sys` are read by [`HostCpu`] and [`process`] alone,
//! through descriptors that stay open. The kernel is called directly in one small module.
//!
//! # Two engines on one host
//!
//! Each came with a thread for each core that it saw. The plan takes back what they take from each
//! other, and says why:
//!
//! ```
//! use std::sync::Arc;
//! use std::time::Duration;
//! use plimsoll_core_types::{
//!     Clock, ConsumerId, CpuManager, ManualClock, Priority, Task, TaskClass, TaskId, TenantId,
//! };
//! use plimsoll_cpu::{CpuConfig, CpuService, HostCpu};
//!
//! let (host, clock) = (Arc::new(HostCpu::system()), Arc::new(ManualClock::new()));
//! let cpu = CpuService::new(host.clone(), clock.clone(), CpuConfig::default());
//! let cores = host.effective(clock.now()).cores.as_cores() as u32;
//!
//! // Ten seconds of reports, as a supervisor makes them from `process::ProcessCpu`.
//! for _ in 0..10 {
//!     clock.advance(Duration::from_secs(1));
//!     for name in ["chat", "embeddings"] {
//!         cpu.track_usage(&Task {
//!             id: TaskId::new(1),
//!             consumer: ConsumerId::new(name)?,
//!             class: TaskClass { model: None, tenant: TenantId::DEFAULT, priority: Priority::Normal },
//!             worker: None,
//!             at: clock.now(),
//!             cpu: Duration::from_millis(900),
//!             waited: Duration::from_millis(800),
//!             work: 20,
//!             threads: cores.max(1),
//!         });
//!     }
//! }
//! let plan = cpu.optimize_threads();
//! let sum: u32 = plan.assignments.iter().map(|given| given.threads).sum();
//! assert!(sum <= cores.max(2));
//! for given in &plan.assignments {
//!     println!("{}: {} threads, {}: {}", given.consumer, given.threads, given.share, given.reason);
//! }
//! # Ok::<(), plimsoll_core_types::NameError>(())
//! ```
//!
//! # Other hosts than Linux
//!
//! There, cores are the standard library's count, a process's CPU time comes from `sysinfo`, the
//! CPU clock of a thread is replaced by the monotonic one, and what can't be put into force says
//! so.

pub mod account;
pub mod apply;
pub mod balance;
mod config;
mod host;
mod kept;
mod os;
pub mod process;
pub mod runtime;
mod service;
mod sync;
pub mod threads;
pub mod throttle;
mod usage;

pub use config::CpuConfig;
pub use host::{
    CgroupVersion, CpuList, CpuListError, Effective, HostConfig, HostConfigError, HostCpu,
    HostSignals, LimitedBy, MOST_CPUS,
};
pub use service::{CpuService, CpuStatus};
pub use usage::ClassUsage;

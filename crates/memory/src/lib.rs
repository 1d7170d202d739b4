#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | | answers | begin at |
//! |---|---|---|
//! | **host truth** | what is there within every limit, what is used, by whom, and who waits for it | [`HostMemory`], [`process::ProcessMemory`], [`accelerator`] |
//! | **budgets** | who may hold how much, without ever passing a limit | [`budget::Budget`] |
//! | **reclaim** | who gives back what, and whether it did | [`budget::Budget::register`], [`reclaim`] |
//! | **tracking** | who holds what, since when, and whose memory only grows | [`track::Tracker`], [`track::Meters`] |
//! | **footprints** | what a model will need | [`footprint::Footprints`], [`footprint::ModelFile`] |
//!
//! [`MemoryService`] puts host truth, tracking, reclaim and forecasts behind the
//! [`MemoryManager`](plimsoll_core_types::MemoryManager) that a control loop asks.
//!
//! # What holds
//!
//! - No limit of a budget is passed under any schedule of threads; whatever ends (a panic, a
//!   cancelled future, a dropped handle) gives back all it held.
//! - Page cache is not used memory, and shared memory is not counted twice.
//! - A reclaimer is never called under a lock; one that hangs, lies or panics delays a waiter, and
//!   never more.
//! - A file that is missing or malformed is a note in a reading, not a panic.
//! - Every queue, history and table has a bound that a config names or a constant states.
//!
//! The cores ([`budget`] without its `reserve`, [`track`], [`footprint`], the forecasts) read no
//! clock and do no I/O. Files are read by the probes alone, and by [`footprint::ModelFile::open`].
//!
//! # Features
//!
//! - `nvml` (off): accelerator memory by NVIDIA's management library.

pub mod accelerator;
pub mod budget;
mod config;
pub mod footprint;
mod forecast;
mod host;
pub mod process;
pub mod reclaim;
mod service;
pub mod track;

pub use config::{MemoryConfig, MemoryConfigError};
pub use forecast::{PressureConfig, PressureConfigError, PressureGauge, Signals, Trend, outlook};
pub use host::{Bound, HostDetail, HostMemory, PortableMemory};
pub use service::MemoryService;

#![doc = include_str!("../README.md")]
//!
//! # Four quantities
//!
//! They are kept apart everywhere, each a [`ResourceVector`]:
//!
//! | | is |
//! |---|---|
//! | **capacity** | what the host has, less what other programs use and a reserve |
//! | **promised** | what leases hold |
//! | **used** | what is measured |
//! | **forecast** | what will be used, as calibrated quantiles |
//!
//! The crate holds no algorithm beyond checked arithmetic and the one ranking that every room
//! shares ([`GiveUp`]). It reads no clock except in [`SystemClock`], spawns nothing and does no
//! I/O.

mod alert;
mod cache;
mod clock;
mod cpu;
mod engine;
mod history;
mod id;
mod integration;
mod load;
mod memory;
mod pool;
mod predict;
mod priority;
mod probe;
mod random;
mod rank;
mod reason;
mod reclaim;
mod report;
mod request;
mod resource;
mod snapshot;
mod units;
mod vector;

pub use alert::{Alert, AlertSink, Severity};
pub use cache::{
    AccessRecord, AccessSample, CacheMetrics, CacheOptimizer, CachePolicy, CacheStrategy,
    StrategyChange, StrategyError,
};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use cpu::{CpuManager, Task, TaskClass, ThreadAssignment, ThreadPlan, WorkerMove, WorkerMoves};
pub use engine::{
    Action, ActionError, ActionOutcome, EngineSnapshot, EngineState, Fleet, PlannedAction,
    ServiceLevel,
};
pub use history::{Metric, Sample, SeriesKey, UsageHistory, UsagePattern};
pub use id::{
    CacheId, ConsumerId, LeaseId, ModelId, NameError, ReplicaId, TaskId, TenantId, TicketId,
    WorkerId,
};
pub use integration::{
    Check, ComponentKind, ComponentStatus, Health, IntegrateError, Integration, IntegrationStatus,
    KeyMetrics, ResourceOptimizer, SystemComponents, ValidationReport,
};
pub use load::{
    Assignment, BackendLoad, LoadChange, LoadDistribution, LoadForecast, LoadManager, LoadMetrics,
    LoadTrend,
};
pub use memory::{
    AllocationEvent, MemoryAllocation, MemoryForecast, MemoryKind, MemoryManager, PressureLevel,
    Reclaimed, ReclaimedFrom,
};
pub use pool::{
    AllocateError, LeaseStatus, OptimizeError, PoolChange, PoolMetrics, PoolMetricsError,
    ResourcePool, ResourceStatus, WaiterStatus,
};
pub use predict::{
    ForecastHealth, ForecastScore, HorizonForecast, Quantiles, QuantilesError, Recommendation,
    ResourceForecast, ResourcePredictor, ResourceUsage,
};
pub use priority::{Priority, PriorityError};
pub use probe::{CapacityProbe, ProbeError, ProbeNote, ProbeReading};
pub use random::SplitMix64;
pub use rank::GiveUp;
pub use reason::{Lacking, NeverFits, Reason};
pub use reclaim::{ReclaimRequest, Reclaimer};
pub use report::{Better, Report, Row};
pub use request::{RequestError, ResourceRequest};
pub use resource::{LeaseHolder, ReleaseError, RenewError, ResizeError, Resource};
pub use snapshot::{Decision, Effect, Measure, Seen, SystemSnapshot};
pub use units::{
    AmountOrShare, AmountOrShareError, Bytes, Millicores, QuantityError, Ratio, RatioError, Slots,
    UnitKind,
};
pub use vector::{DeviceIndex, DeviceIndexError, Dimension, ResourceVector, VectorError};

//! The vocabulary of Plimsoll: units, resource vectors, requests, leases, reasons, clocks, and
//! the interfaces between its crates.
//!
//! Four quantities are kept apart everywhere, each a [`ResourceVector`]:
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
//!
//! ```
//! use plimsoll_core_types::{Bytes, Dimension, Millicores, ResourceVector};
//!
//! let machine = ResourceVector::new().with_cpu(Millicores::from_cores(2)).with_memory("4Gi".parse()?);
//! let model = ResourceVector::new().with_cpu("500m".parse()?).with_memory("1.5Gi".parse()?);
//!
//! let left = machine.checked_sub(&model)?;
//! assert_eq!(left.memory(), Bytes::from_mib(2560));
//! assert_eq!(model.first_exceeding(&left), None);
//! assert_eq!(machine.first_exceeding(&left), Some(Dimension::Cpu));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

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

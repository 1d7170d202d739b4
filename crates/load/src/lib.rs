//! Admission that survives overload, balancing by predicted completion, and load alerts.

mod admit;
pub mod alert;
mod assign;
mod balance;
pub mod policy;
mod random;
pub mod scenario;
mod service;
mod sync;
#[cfg(feature = "tower")]
pub mod tower;
mod trend;

#[cfg(loom)]
pub use admit::model;
pub use admit::{Admission, AdmissionConfig, AdmissionStatus, Demand, Permit, Refused};
pub use balance::{
    BackendConfig, BackendReport, BackendStatus, Balancer, BalancerConfig, Binding, Dispatch,
    DispatchError, EjectionConfig, MAX_CACHED, Sessions, Sharing, Standing, Work, Zone,
};
pub use service::{LoadConfig, LoadService};

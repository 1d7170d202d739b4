//! Admission that survives overload, balancing by predicted completion, and load alerts.
//!
//! - [`Balancer`] sends each request to the backend that should be done with it first, and counts it
//!   there until its [`Dispatch`] ends. It ejects what fails, and probes it back. Other policies are
//!   in [`policy`].
//! - [`Admission`] holds the number in progress at a limit. Who exceeds it waits in one line: by
//!   class, by tenants' shares, until a deadline, the newest first under overload; or is refused,
//!   with the reason and the time after which to come back.
#![cfg_attr(
    feature = "tower",
    doc = "- [`tower::Balanced`] is both as one tower service, with [`Sessions`] and alerts."
)]
//! - [`LoadService`] manages both: limits, forecasts of load, what is about to be saturated.
//! - [`alert::Alerts`] tells when objectives on errors and latency burn their budget too fast.
//! - [`scenario`] runs all of it in virtual time, beside other policies and beside what knows
//!   everything.
//!
//! Cores are pure: they take the time as a parameter, and are the same in production, under property
//! tests and in simulations.

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

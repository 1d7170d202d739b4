#![doc = include_str!("../README.md")]
//!
//! # Where to begin
//!
//! | you have | begin at |
//! |---|---|
//! | several backends | [`Balancer`]; other policies than predicted completion are in [`policy`] |
//! | one server, and more requests than it can take | [`Admission`] |
#![cfg_attr(
    feature = "tower",
    doc = "| a tower stack | [`tower::Balanced`]: both as one service, with [`Sessions`] and alerts |"
)]
//! | objectives on errors and latency | [`alert::Alerts`] |
//! | a control loop | [`LoadService`]: limits, forecasts of load, what is about to be saturated |
//! | doubts | [`scenario`]: all of it in virtual time, beside other policies and what knows everything |
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

//! The binary as people and programs run it: real processes, real memory, real requests.

#[path = "../common/mod.rs"]
mod common;
mod demo;
mod elsewhere;
mod example;
mod fake;
mod groups;
mod harness;
mod leases;
#[cfg(target_os = "linux")]
mod lives;
mod pains;
mod replay;
mod run;
mod serve;
mod tls;

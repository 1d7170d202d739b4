//! The crate beside fixture hosts, and beside this one and its processes.

#[path = "integration/hosts.rs"]
mod hosts;
#[path = "integration/processes.rs"]
mod processes;
#[path = "integration/service.rs"]
mod service;

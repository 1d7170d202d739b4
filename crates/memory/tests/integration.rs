//! The crate beside the real world: recorded trees of kernel files, and processes that run.

#[cfg(target_os = "linux")]
#[path = "integration/child.rs"]
mod child;
#[cfg(target_os = "linux")]
#[path = "integration/host.rs"]
mod host;
#[cfg(target_os = "linux")]
#[path = "integration/processes.rs"]
mod processes;
#[cfg(target_os = "linux")]
#[path = "integration/tree.rs"]
mod tree;

//! Components that fail are contained and remembered.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use plimsoll_core_types::{ComponentKind, ComponentStatus, Health};

/// How each component has done of late.
#[derive(Debug, Default)]
pub(super) struct Wards {
    health: BTreeMap<ComponentKind, Health>,
}

impl Wards {
    /// Takes note that there is such a component.
    pub(super) fn admit(&mut self, kind: ComponentKind) {
        self.health.entry(kind).or_insert(Health::Healthy);
    }

    pub(super) fn set(&mut self, kind: ComponentKind, health: Health) {
        self.health.insert(kind, health);
    }

    /// What `call` answers, or none when it panics. Its component has failed then, until it
    /// answers again.
    pub(super) fn ask<T>(&mut self, kind: ComponentKind, call: impl FnOnce() -> T) -> Option<T> {
        // A component's own state after its panic is its own affair: it must keep answering or
        // panic again, and nothing of ours is touched inside the call.
        match catch_unwind(AssertUnwindSafe(call)) {
            Ok(answer) => {
                self.health.insert(kind, Health::Healthy);
                Some(answer)
            }
            Err(panic) => {
                let why = message(panic.as_ref());
                self.health.insert(kind, Health::Failed { why: format!("panicked: {why}") });
                None
            }
        }
    }

    pub(super) fn statuses(&self) -> Vec<ComponentStatus> {
        let parts = self.health.iter();
        parts
            .map(|(kind, health)| ComponentStatus { kind: *kind, health: health.clone() })
            .collect()
    }
}

fn message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

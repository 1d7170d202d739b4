//! What the specification asks for, in virtual time and beside references. Deterministic.

#[path = "validation/alerts.rs"]
mod alerts;
#[path = "validation/balance.rs"]
mod balance;
#[path = "validation/failures.rs"]
mod failures;
#[path = "validation/overload.rs"]
mod overload;

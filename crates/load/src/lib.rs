//! Admission that survives overload, balancing by predicted completion, load alerts.

//! Effective cores, CPU usage, thread plans and throttles.

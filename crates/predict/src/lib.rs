//! Streaming forecasts with calibrated intervals, which know when they have no skill.

pub mod demand;

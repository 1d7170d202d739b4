//! What the parts of the simulation do together, worked out by hand or against real files.

mod serving;
mod traces;

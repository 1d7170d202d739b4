//! A cache optimizer: miss-ratio curves, mini-simulation, live migration, validation.

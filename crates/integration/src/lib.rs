//! The optimizer that closes the loop over pool, memory, CPU, cache, prediction and load.

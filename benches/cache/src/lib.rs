//! The contenders of the cache's benches, and the keys that they are asked for.

mod peers;
mod time;

pub use peers::{Foyer, Moka, Own, Peer, Quick};
pub use time::{Zipf, median, nanos_per_access};

/// A value as small as they come: what is measured is the cache.
pub type Value = u64;

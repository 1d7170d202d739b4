//! The contenders of the pool's benches: each lends one of a number of boxed-up nothings, which are
//! made in advance.

mod floor;
mod peers;
mod relay;

use std::time::Duration;

pub use floor::{Bitmap, Counter};
pub use peers::{
    ArrayQueued, Bb8, Deadpool, Fastpool, Mobc, Numbers, Own, OwnFull, Queued, Semaphored, own,
    own_full,
};
pub use relay::{Baton, Budget, Relay, Spent};

/// A pool that is compared. Cloning gives another handle.
pub trait Peer: Clone + Send + Sync + 'static {
    /// What is lent.
    type Guard<'a>: Send
    where
        Self: 'a;

    /// Its name in the report.
    const NAME: &'static str;

    /// A pool of `size` objects.
    fn new(size: usize) -> Self;

    /// An object.
    fn get(&self) -> impl Future<Output = Self::Guard<'_>> + Send;

    /// Has all objects made.
    fn fill(&self, size: usize) -> impl Future<Output = ()> + Send {
        async move {
            let mut held = Vec::with_capacity(size);
            for _ in 0..size {
                held.push(self.get().await);
            }
        }
    }
}

/// A runtime of two workers, which is what the figures are about.
///
/// # Panics
///
/// When the operating system gives no threads.
pub fn runtime() -> tokio::runtime::Runtime {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    builder.worker_threads(2).enable_time().build().expect("two threads")
}

/// The middle one.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Jain's index of fairness: 1 where all got the same, 1 ÷ n where one got it all.
///
/// Source: R. Jain, D. Chiu, W. Hawe, *A Quantitative Measure of Fairness* (DEC TR-301, 1984).
pub fn jain(counts: &[f64]) -> f64 {
    let (sum, squares) = (counts.iter().sum::<f64>(), counts.iter().map(|c| c * c).sum::<f64>());
    sum * sum / (counts.len() as f64 * squares).max(f64::MIN_POSITIVE)
}

/// How long `work` takes.
#[expect(clippy::disallowed_methods, reason = "a bench measures time")]
pub fn timed(work: impl FnOnce()) -> Duration {
    let begun = std::time::Instant::now();
    work();
    begun.elapsed()
}

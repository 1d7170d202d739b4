//! Independent runs side by side, on as many threads as there are processors.

use std::num::NonZeroUsize;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// What `run` answers for each of `jobs`, in their order. It ends with the last of them; a panic of
/// one is the caller's.
pub(super) fn all<J: Sync, T: Send>(jobs: &[J], run: impl Fn(&J) -> T + Sync) -> Vec<T> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(jobs.len());
    let next = AtomicUsize::new(0);
    let answers = Mutex::new(Vec::with_capacity(jobs.len()));
    let work = || {
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(job) = jobs.get(index) else { return };
            let answer = run(job);
            // Poisoned only where another has panicked, which ends the whole.
            if let Ok(mut answers) = answers.lock() {
                answers.push((index, answer));
            }
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let mut answers = answers.into_inner().unwrap_or_default();
    answers.sort_unstable_by_key(|(index, _)| *index);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::all;

    #[test]
    fn answers_are_in_the_order_of_the_jobs() {
        let jobs: Vec<u64> = (0..1000).collect();
        let squares: Vec<u64> = jobs.iter().map(|job| job * job).collect();
        assert_eq!(all(&jobs, |job| job * job), squares);
        assert!(all(&[], |job: &u64| *job).is_empty());
    }

    #[test]
    #[should_panic(expected = "a scoped thread panicked")]
    fn a_panic_is_not_swallowed() {
        all(&[1, 2, 3], |job| assert!(*job < 3, "three"));
    }
}

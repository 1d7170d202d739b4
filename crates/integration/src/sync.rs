//! Atomics, which loom stands in for when it checks what threads may do to each other.

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};
#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU64, Ordering};

#[cfg(not(loom))]
thread_local! {
    static NUMBER: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

/// A number that no other thread of this process has or had; above zero.
#[cfg(not(loom))]
#[inline]
pub(crate) fn thread_number() -> u64 {
    #[cold]
    fn first() -> u64 {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        NUMBER.set(number);
        number
    }
    match NUMBER.get() {
        0 => first(),
        number => number,
    }
}

/// The same; loom runs its threads on one, and numbers them anew in each run.
#[cfg(loom)]
pub(crate) fn thread_number() -> u64 {
    use std::hash::{DefaultHasher, Hash as _, Hasher as _};
    let mut hasher = DefaultHasher::new();
    loom::thread::current().id().hash(&mut hasher);
    hasher.finish() | 1 << 63
}

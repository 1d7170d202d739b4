//! What others want to see or do as objects come and go.

/// Why an object is retired.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Retired {
    /// It failed its check, or [`keep`](super::Manager::keep) would not have it, or its borrower
    /// [discarded](super::Lent::discard) it.
    Unfit,
    /// Nobody had used it for long.
    Idle,
    /// It was too old.
    TooOld,
    /// There were too many, or the pool was closed.
    Surplus,
}

/// What happens as objects come and go. All do nothing by default.
///
/// Called outside every lock, in the task that does the step, and for the last two in `Drop`: none
/// may block. One that panics breaks the step off, which loses no place in the pool.
pub trait Hooks<T>: Send + Sync + 'static {
    /// One is about to be made.
    fn before_create(&self) {}

    /// One was made.
    fn after_create(&self, object: &mut T) {
        let _ = object;
    }

    /// An idle one is about to be checked.
    fn before_recycle(&self, object: &mut T) {
        let _ = object;
    }

    /// One is about to be lent: a new one, or an idle one that has passed its check.
    fn on_checkout(&self, object: &mut T) {
        let _ = object;
    }

    /// One has come back.
    fn on_return(&self, object: &mut T) {
        let _ = object;
    }

    /// One is about to be dropped.
    fn on_retire(&self, object: &mut T, why: Retired) {
        let _ = (object, why);
    }
}

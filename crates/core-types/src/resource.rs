//! The lease: what a pool hands out, given back by `Drop`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::LeaseId;
use crate::vector::{Dimension, ResourceVector};

/// Leased resources. Dropping it gives them back.
///
/// The amount belongs to the holder until then: a panic or a cancelled future can lose nothing.
/// It can grow and shrink in place, and a lease with a time to live can be renewed until it
/// expires. A pool makes these with [`Resource::new`]; everybody else gets them from
/// [`ResourcePool::allocate`](crate::ResourcePool::allocate).
#[must_use = "dropping a Resource gives it back at once"]
pub struct Resource {
    id: LeaseId,
    amount: ResourceVector,
    holder: Arc<dyn LeaseHolder>,
    returned: bool,
}

impl Resource {
    /// The lease `id` of `amount`, which goes back to `holder`. For implementors of pools.
    pub fn new(id: LeaseId, amount: ResourceVector, holder: Arc<dyn LeaseHolder>) -> Self {
        Self { id, amount, holder, returned: false }
    }

    /// The lease's number.
    pub const fn id(&self) -> LeaseId {
        self.id
    }

    /// What it holds.
    pub const fn amount(&self) -> &ResourceVector {
        &self.amount
    }

    /// Changes what it holds to `amount`, at once or not at all.
    ///
    /// # Errors
    ///
    /// When the pool has not that much more to give, or the lease has ended. The lease is then
    /// what it was.
    pub fn resize(&mut self, amount: ResourceVector) -> Result<(), ResizeError> {
        self.holder.resize(self.id, &amount)?;
        self.amount = amount;
        Ok(())
    }

    /// Puts the expiry `ttl` ahead of now, and says when it is.
    ///
    /// # Errors
    ///
    /// When the lease has expired or ended: it can't be brought back.
    pub fn renew(&self, ttl: Duration) -> Result<Timestamp, RenewError> {
        self.holder.renew(self.id, ttl)
    }

    /// Whether it goes back to `holder`, and to no other pool.
    pub fn is_held_by(&self, holder: &Arc<dyn LeaseHolder>) -> bool {
        std::ptr::addr_eq(Arc::as_ptr(&self.holder), Arc::as_ptr(holder))
    }

    /// Gives it back, and says whether the pool still knew it. `Drop` does the same in silence.
    ///
    /// # Errors
    ///
    /// When the lease had expired or been revoked before.
    pub fn release(mut self) -> Result<(), ReleaseError> {
        self.returned = true;
        self.holder.release(self.id)
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        if !self.returned {
            // A lease that had expired before has nothing left to give back.
            let _ = self.holder.release(self.id);
        }
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resource")
            .field("id", &self.id)
            .field("amount", &self.amount)
            .finish_non_exhaustive()
    }
}

/// What a pool does with its leases' wishes. For implementors of pools.
///
/// Called from `Drop`, so it must not block for long and must not panic.
pub trait LeaseHolder: Send + Sync + fmt::Debug {
    /// Takes the lease back.
    ///
    /// # Errors
    ///
    /// When the pool holds no such lease any more.
    fn release(&self, id: LeaseId) -> Result<(), ReleaseError>;

    /// Changes what the lease holds, at once or not at all.
    ///
    /// # Errors
    ///
    /// When it does not fit, or the lease has ended.
    fn resize(&self, id: LeaseId, amount: &ResourceVector) -> Result<(), ResizeError>;

    /// Puts the lease's expiry `ttl` ahead of now.
    ///
    /// # Errors
    ///
    /// When the lease has expired, ended, or never expires.
    fn renew(&self, id: LeaseId, ttl: Duration) -> Result<Timestamp, RenewError>;
}

/// Why a lease can't be given back.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ReleaseError {
    /// It expired or was revoked, and its amount went back then.
    #[error("{id} has ended before; its resources went back to the pool then")]
    Ended {
        /// Which lease.
        id: LeaseId,
    },
    /// It belongs to another pool.
    #[error("{id} is not of this pool; release it to the pool that granted it")]
    Foreign {
        /// Which lease.
        id: LeaseId,
    },
}

/// Why a lease can't be changed in place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ResizeError {
    /// The pool has not enough left; the lease is what it was.
    #[error(
        "{id} can't grow to {} of {dimension}: {} more are free",
        dimension.format(*asked),
        dimension.format(*free)
    )]
    NoRoom {
        /// Which lease.
        id: LeaseId,
        /// Where it lacks.
        dimension: Dimension,
        /// What was asked for in all, in the dimension's unit.
        asked: u64,
        /// What is free beside the lease.
        free: u64,
    },
    /// A lease of nothing is no lease.
    #[error("{id} can't shrink to nothing; release it instead")]
    Nothing {
        /// Which lease.
        id: LeaseId,
    },
    /// It expired, was revoked or is being reclaimed.
    #[error("{id} has ended or is being reclaimed; it can't be changed")]
    Ended {
        /// Which lease.
        id: LeaseId,
    },
}

/// Why a lease can't be renewed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RenewError {
    /// It expired or ended; it can't be brought back.
    #[error("{id} has ended and can't be renewed; ask for a new one")]
    Ended {
        /// Which lease.
        id: LeaseId,
    },
    /// It has no time to live.
    #[error("{id} never expires; there is nothing to renew")]
    Unlimited {
        /// Which lease.
        id: LeaseId,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Slots;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[derive(Debug, Default)]
    struct Counter(AtomicUsize);

    impl LeaseHolder for Counter {
        fn release(&self, _: LeaseId) -> Result<(), ReleaseError> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Ok(())
        }

        fn resize(&self, id: LeaseId, amount: &ResourceVector) -> Result<(), ResizeError> {
            if amount.is_zero() { Err(ResizeError::Nothing { id }) } else { Ok(()) }
        }

        fn renew(&self, id: LeaseId, _: Duration) -> Result<Timestamp, RenewError> {
            Err(RenewError::Unlimited { id })
        }
    }

    fn lease(holder: &Arc<Counter>) -> Resource {
        let amount = ResourceVector::new().with_slots(Slots::new(2));
        Resource::new(LeaseId::new(7), amount, Arc::clone(holder) as Arc<dyn LeaseHolder>)
    }

    #[test]
    fn comes_back_exactly_once_on_every_way_out() {
        let holder = Arc::new(Counter::default());
        drop(lease(&holder));
        lease(&holder).release().unwrap();
        let panicking = Arc::clone(&holder);
        let unwound = std::panic::catch_unwind(move || {
            let _held = lease(&panicking);
            std::panic::resume_unwind(Box::new(()));
        });
        assert!(unwound.is_err());
        assert_eq!(holder.0.load(Ordering::Relaxed), 3);
    }

    #[test]
    fn knows_its_holder_from_others() {
        let (own, other) = (Arc::new(Counter::default()), Arc::new(Counter::default()));
        let held = lease(&own);
        assert!(held.is_held_by(&(own as Arc<dyn LeaseHolder>)));
        assert!(!held.is_held_by(&(other as Arc<dyn LeaseHolder>)));
    }

    #[test]
    fn a_refused_resize_leaves_the_amount_alone() {
        let holder = Arc::new(Counter::default());
        let mut held = lease(&holder);
        held.resize(ResourceVector::ZERO).unwrap_err();
        assert_eq!(held.amount().slots(), Slots::new(2));
        held.resize(ResourceVector::new().with_slots(Slots::new(1))).unwrap();
        assert_eq!(held.amount().slots(), Slots::new(1));
    }
}

//! What is asked of a pool.

use std::time::Duration;

use crate::clock::Timestamp;
use crate::id::{ConsumerId, TenantId};
use crate::priority::Priority;
use crate::vector::ResourceVector;

/// A request for resources, granted whole or not at all.
///
/// ```
/// use plimsoll_core_types::{Bytes, ConsumerId, Priority, ResourceRequest, ResourceVector};
///
/// let amount = ResourceVector::new().with_memory(Bytes::from_gib(2));
/// let request = ResourceRequest::new(ConsumerId::new("llama-8b")?, amount)?
///     .with_priority(Priority::High);
/// assert_eq!(request.amount().memory(), Bytes::from_gib(2));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResourceRequest {
    consumer: ConsumerId,
    tenant: TenantId,
    priority: Priority,
    amount: ResourceVector,
    deadline: Option<Timestamp>,
    ttl: Option<Duration>,
}

/// Why a request can't be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Every dimension is zero.
    #[error("the request of {consumer} asks for nothing; at least one dimension must be above 0")]
    Nothing {
        /// Who asked.
        consumer: ConsumerId,
    },
}

impl ResourceRequest {
    /// `amount` for `consumer`: of the default tenant, at normal priority, without a deadline,
    /// for as long as the lease is held.
    ///
    /// # Errors
    ///
    /// When `amount` is zero in every dimension.
    pub fn new(consumer: ConsumerId, amount: ResourceVector) -> Result<Self, RequestError> {
        if amount.is_zero() {
            return Err(RequestError::Nothing { consumer });
        }
        let (tenant, priority) = (TenantId::DEFAULT, Priority::Normal);
        Ok(Self { consumer, tenant, priority, amount, deadline: None, ttl: None })
    }

    /// The same request on behalf of `tenant`.
    #[must_use]
    pub fn with_tenant(mut self, tenant: TenantId) -> Self {
        self.tenant = tenant;
        self
    }

    /// The same request at `priority`.
    #[must_use]
    pub const fn with_priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same request, given up when it has not been granted by `deadline`.
    #[must_use]
    pub const fn with_deadline(mut self, deadline: Timestamp) -> Self {
        self.deadline = Some(deadline);
        self
    }

    /// The same request for a lease that expires `ttl` after its grant unless renewed.
    #[must_use]
    pub const fn with_ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// Who will hold the lease.
    pub const fn consumer(&self) -> &ConsumerId {
        &self.consumer
    }

    /// On whose behalf.
    pub const fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// Who will hold the lease and on whose behalf, for whoever keeps them on.
    pub fn into_names(self) -> (ConsumerId, TenantId) {
        (self.consumer, self.tenant)
    }

    /// Who goes first.
    pub const fn priority(&self) -> Priority {
        self.priority
    }

    /// How much.
    pub const fn amount(&self) -> &ResourceVector {
        &self.amount
    }

    /// Until when it waits; `None` waits for ever.
    pub const fn deadline(&self) -> Option<Timestamp> {
        self.deadline
    }

    /// How long the lease lasts unless renewed; `None` lasts until it is given back.
    pub const fn ttl(&self) -> Option<Duration> {
        self.ttl
    }
}

//! The ledger pool as the interface that everybody calls.

use async_trait::async_trait;
use plimsoll_core_types::{
    AllocateError, OptimizeError, PoolChange, PoolMetrics, Ratio, Reason, ReleaseError, Resource,
    ResourcePool, ResourceRequest, ResourceStatus, ResourceVector,
};

use super::{Boxed, LedgerPool};

#[async_trait]
impl ResourcePool for LedgerPool {
    // Written out, so that the box holds no more than it must.
    fn allocate<'own, 'future>(
        &'own self,
        request: ResourceRequest,
    ) -> Boxed<'future, Result<Resource, AllocateError>>
    where
        'own: 'future,
        Self: 'future,
    {
        Box::pin(Self::allocate(self, request))
    }

    // At once: to drop the future, and the resource with it, would come to the same.
    fn release<'own, 'future>(
        &'own self,
        resource: Resource,
    ) -> Boxed<'future, Result<(), ReleaseError>>
    where
        'own: 'future,
        Self: 'future,
    {
        let released = if resource.is_held_by(&self.holder) {
            resource.release()
        } else {
            // Dropped here, it goes back to where it came from.
            Err(ReleaseError::Foreign { id: resource.id() })
        };
        Box::pin(std::future::ready(released))
    }

    async fn optimize(&self, metrics: &PoolMetrics) -> Result<PoolChange, OptimizeError> {
        metrics.check()?;
        let (from, closed) = self.shared.run(|ledger, _| (*ledger.limit(), ledger.is_closed()));
        if closed {
            return Err(OptimizeError::Closed);
        }
        let Some(sizing) = &self.sizing else {
            let (what, current) = ("utilization".to_owned(), metrics.utilization.get());
            return Ok(PoolChange { from, to: from, reason: Reason::AsGood { what, current } });
        };
        let advice = sizing.policy.size(metrics);
        let factor = Ratio::saturating(advice.size as f64 / metrics.size.max(1) as f64);
        let to = scaled(&from, factor).max(&sizing.least).min(&sizing.most);
        self.set_limit(to);
        Ok(PoolChange { from, to, reason: advice.reason })
    }

    fn monitor(&self) -> ResourceStatus {
        self.shared.run(|ledger, now| {
            ledger.expire(now);
            ledger.status(now)
        })
    }

    fn monitor_into(&self, status: &mut ResourceStatus) {
        self.shared.run(|ledger, now| {
            ledger.expire(now);
            ledger.status_into(now, status);
        });
    }
}

fn scaled(amount: &ResourceVector, factor: Ratio) -> ResourceVector {
    amount.iter().fold(ResourceVector::ZERO, |out, (dimension, count)| {
        out.with(dimension, (count as f64 * factor.get()).round() as u64)
    })
}

//! What each consumer may take of each resource, whoever else is idle.
//!
//! The pool's ledger shares a machine fairly and knows quotas of tenants. A limit here is a wall
//! around one consumer, such as a plug-in or a request's scratch memory, that it hits alone: in the
//! manner of `setrlimit(2)`, but for amounts that come and go and with a reason for each refusal.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use plimsoll_core_types::{ConsumerId, Dimension, ResourceVector};

/// The limits of consumers, and what each has taken.
///
/// ```
/// use plimsoll_core_types::{Bytes, ConsumerId, ResourceVector};
/// use plimsoll_integration::resilience::ResourceLimits;
///
/// let mib = |count| ResourceVector::new().with_memory(Bytes::from_mib(count));
/// let limits = ResourceLimits::new(mib(64));
/// let plugin = ConsumerId::new("plugin")?;
/// let scratch = limits.take(&plugin, mib(48))?;
/// let refused = limits.take(&plugin, mib(32)).unwrap_err();
/// assert_eq!(
///     refused.to_string(),
///     "plugin may have 64 MiB of memory and has 48 MiB: 32 MiB more are too much",
/// );
/// drop(scratch);
/// assert!(limits.take(&plugin, mib(32)).is_ok());
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct ResourceLimits {
    everybody: ResourceVector,
    state: Mutex<State>,
}

/// Holds an entry for each consumer that has a limit of its own or has taken something.
#[derive(Debug, Default)]
struct State {
    own: BTreeMap<ConsumerId, ResourceVector>,
    taken: BTreeMap<ConsumerId, ResourceVector>,
}

/// A consumer asked for more than it may have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{consumer} may have {} of {dimension} and has {}: {} more are too much",
    dimension.format(*limit), dimension.format(*taken), dimension.format(*asked)
)]
pub struct OverLimit {
    /// Who.
    pub consumer: ConsumerId,
    /// Where.
    pub dimension: Dimension,
    /// What it may have, in the dimension's unit.
    pub limit: u64,
    /// What it has.
    pub taken: u64,
    /// What it asked for on top.
    pub asked: u64,
}

impl ResourceLimits {
    /// Limits of `everybody` for each consumer that has none of its own. A dimension that is zero
    /// is not limited.
    pub fn new(everybody: ResourceVector) -> Self {
        Self { everybody, state: Mutex::default() }
    }

    /// Gives `consumer` a limit of its own, or with none takes it away. What it has taken it keeps.
    pub fn set(&self, consumer: ConsumerId, limit: Option<ResourceVector>) {
        let own = &mut self.state.lock().own;
        match limit {
            Some(limit) => own.insert(consumer, limit),
            None => own.remove(&consumer),
        };
    }

    /// Takes `amount` for `consumer`, until the answer is dropped.
    ///
    /// # Errors
    ///
    /// Names the first dimension in which it would have more than it may.
    pub fn take(
        &self,
        consumer: &ConsumerId,
        amount: ResourceVector,
    ) -> Result<Portion<'_>, OverLimit> {
        let mut state = self.state.lock();
        let limit = *state.own.get(consumer).unwrap_or(&self.everybody);
        let taken = state.taken.get(consumer).copied().unwrap_or_default();
        let sum = taken.saturating_add(&amount);
        let mut over = limit.iter().filter(|(dimension, most)| sum.get(*dimension) > *most);
        if let Some((dimension, most)) = over.find(|(dimension, _)| amount.get(*dimension) > 0) {
            return Err(OverLimit {
                consumer: consumer.clone(),
                dimension,
                limit: most,
                taken: taken.get(dimension),
                asked: amount.get(dimension),
            });
        }
        state.taken.insert(consumer.clone(), sum);
        Ok(Portion { of: self, consumer: consumer.clone(), amount })
    }

    /// What `consumer` has taken.
    pub fn taken(&self, consumer: &ConsumerId) -> ResourceVector {
        self.state.lock().taken.get(consumer).copied().unwrap_or_default()
    }
}

/// What a consumer has taken; dropping it gives it back.
#[derive(Debug)]
#[must_use = "dropped at once, it holds nothing"]
pub struct Portion<'a> {
    of: &'a ResourceLimits,
    consumer: ConsumerId,
    amount: ResourceVector,
}

impl Portion<'_> {
    /// How much.
    pub const fn amount(&self) -> &ResourceVector {
        &self.amount
    }
}

impl Drop for Portion<'_> {
    fn drop(&mut self) {
        let taken = &mut self.of.state.lock().taken;
        if let Some(left) = taken.get_mut(&self.consumer) {
            *left = left.saturating_sub(&self.amount);
            if left.is_zero() {
                taken.remove(&self.consumer);
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use plimsoll_core_types::{Millicores, Slots};
    use proptest::prelude::*;

    fn vector(cpu: u64, slots: u64) -> ResourceVector {
        ResourceVector::new().with_cpu(Millicores::new(cpu)).with_slots(Slots::new(slots))
    }

    proptest! {
        /// Whoever takes and gives back: nobody has more than it may, and all comes back.
        #[test]
        fn nobody_passes_its_limit(
            steps in prop::collection::vec((0_usize..3, 0_u64..6, 0_u64..3, any::<bool>()), 0..200),
        ) {
            let limits = ResourceLimits::new(vector(10, 0));
            let names = ["a", "b", "c"].map(|name| ConsumerId::new(name).unwrap());
            limits.set(names[0].clone(), Some(vector(4, 2)));
            let mut held: Vec<(usize, Portion<'_>)> = Vec::new();
            for (who, cpu, slots, takes) in steps {
                let of = |who| held.iter().filter(move |(owner, _)| *owner == who);
                let sum = of(who).fold(ResourceVector::ZERO, |sum, (_, portion)| {
                    sum.checked_add(portion.amount()).unwrap()
                });
                prop_assert_eq!(limits.taken(&names[who]), sum);
                let most = if who == 0 { vector(4, 2) } else { vector(10, u64::MAX >> 1) };
                prop_assert!(sum.fits_in(&most));
                if takes {
                    let fits = sum.checked_add(&vector(cpu, slots)).unwrap().fits_in(&most);
                    let taken = limits.take(&names[who], vector(cpu, slots));
                    prop_assert_eq!(taken.is_ok(), fits);
                    held.extend(taken.ok().map(|portion| (who, portion)));
                } else if let Some(index) = held.iter().position(|(owner, _)| *owner == who) {
                    drop(held.swap_remove(index));
                }
            }
            held.clear();
            prop_assert!(names.iter().all(|name| limits.taken(name).is_zero()));
            prop_assert!(limits.state.lock().taken.is_empty());
        }
    }
}

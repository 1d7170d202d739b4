//! What leaves hold, by consumer and site, shown without cost to them.
//!
//! A leaf's owner is the only one who writes its meter, so that plain stores to a line of its own
//! suffice: no atomic read-modify-write, and nothing that others write.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use plimsoll_core_types::{Bytes, ConsumerId};

use crate::budget::{Leaf, Rejected};

/// What one leaf shows.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Slot {
    held: AtomicU64,
    peak: AtomicU64,
}

/// A consumer and a place in its code.
type Key = (ConsumerId, &'static str);

/// All meters of a program. Cloning shares them.
///
/// ```
/// use plimsoll_core_types::{Bytes, ConsumerId};
/// use plimsoll_memory::budget::{Budget, BudgetConfig};
/// use plimsoll_memory::track::Meters;
///
/// let meters = Meters::new();
/// let budget = Budget::root(ConsumerId::new("engine")?, Bytes::from_mib(64), BudgetConfig::default())?;
/// let mut leaf = meters.meter(budget.name(), "kv-cache").track(budget.leaf());
/// leaf.try_grow(Bytes::from_mib(3))?;
/// leaf.shrink(Bytes::from_mib(1));
/// let [usage] = &meters.read()[..] else { panic!("one meter") };
/// assert_eq!((usage.held, usage.peak), (Bytes::from_mib(2), Bytes::from_mib(3)));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct Meters {
    slots: Arc<Mutex<BTreeMap<Key, Lane>>>,
}

/// Every leaf of one consumer and site.
#[derive(Debug, Default)]
struct Lane {
    slots: Vec<Weak<Slot>>,
    /// The most that was seen held by all together.
    seen: u64,
}

/// What one consumer holds at one site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeterUse {
    /// Whose.
    pub consumer: ConsumerId,
    /// Where.
    pub site: &'static str,
    /// By how many leaves.
    pub leaves: usize,
    /// What they hold.
    pub held: Bytes,
    /// The most that they held: exact of one leaf, of several the most that a reading found, or
    /// that one of them held alone.
    pub peak: Bytes,
}

impl Meters {
    /// No meters yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A meter of `consumer` at `site`. Several may be of the same.
    pub fn meter(&self, consumer: ConsumerId, site: &'static str) -> Meter {
        let slot = Arc::new(Slot::default());
        let mut slots = self.slots.lock();
        slots.entry((consumer, site)).or_default().slots.push(Arc::downgrade(&slot));
        Meter { slot }
    }

    /// What is held by consumer and site; those whose leaves are all gone are told once more, with
    /// nothing held.
    pub fn read(&self) -> Vec<MeterUse> {
        let mut slots = self.slots.lock();
        let read = slots.iter_mut().map(|((consumer, site), lane)| {
            let (held, most) = lane.read();
            lane.seen = lane.seen.max(held).max(most);
            MeterUse {
                consumer: consumer.clone(),
                site,
                leaves: lane.slots.len(),
                held: Bytes::new(held),
                peak: Bytes::new(lane.seen),
            }
        });
        let read = read.collect();
        slots.retain(|_, lane| !lane.slots.is_empty());
        read
    }
}

impl Lane {
    /// What all hold, and the most that one ever held; forgets those that are gone.
    fn read(&mut self) -> (u64, u64) {
        let (mut held, mut most) = (0_u64, 0);
        self.slots.retain(|slot| {
            let Some(slot) = slot.upgrade() else { return false };
            held = held.saturating_add(slot.held.load(Ordering::Relaxed));
            most = most.max(slot.peak.load(Ordering::Relaxed));
            true
        });
        (held, most)
    }
}

/// One leaf's meter.
#[derive(Debug)]
pub struct Meter {
    slot: Arc<Slot>,
}

impl Meter {
    /// The leaf, whose every step it shows from now on.
    pub fn track(self, leaf: Leaf) -> TrackedLeaf {
        let tracked = TrackedLeaf { peak: leaf.held(), leaf, slot: self.slot };
        tracked.show();
        tracked
    }
}

/// A [`Leaf`] whose use is shown by its [`Meter`].
#[must_use = "dropping a TrackedLeaf gives back what it holds"]
pub struct TrackedLeaf {
    leaf: Leaf,
    peak: Bytes,
    slot: Arc<Slot>,
}

impl TrackedLeaf {
    /// What it holds.
    pub const fn held(&self) -> Bytes {
        self.leaf.held()
    }

    /// The most that it held.
    pub const fn peak(&self) -> Bytes {
        self.peak
    }

    /// As [`Leaf::try_grow`].
    ///
    /// # Errors
    ///
    /// When the node or an ancestor has not that much more.
    #[inline]
    pub fn try_grow(&mut self, more: Bytes) -> Result<(), Rejected> {
        self.leaf.try_grow(more)?;
        if self.leaf.held() > self.peak {
            self.peak = self.leaf.held();
        }
        self.show();
        Ok(())
    }

    /// As [`Leaf::shrink`].
    #[inline]
    pub fn shrink(&mut self, less: Bytes) -> Bytes {
        let back = self.leaf.shrink(less);
        self.show();
        back
    }

    /// As [`Leaf::settle`].
    pub fn settle(&mut self) {
        self.leaf.settle();
    }

    #[inline]
    fn show(&self) {
        self.slot.held.store(self.leaf.held().get(), Ordering::Relaxed);
        self.slot.peak.store(self.peak.get(), Ordering::Relaxed);
    }
}

impl fmt::Debug for TrackedLeaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TrackedLeaf")
            .field("leaf", &self.leaf)
            .field("peak", &self.peak)
            .finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::budget::{Budget, BudgetConfig};

    #[test]
    fn leaves_of_one_site_add_up_and_go_when_they_are_dropped() {
        let name = |text| ConsumerId::new(text).unwrap();
        let budget = Budget::root(name("a"), Bytes::from_mib(64), BudgetConfig::default()).unwrap();
        let meters = Meters::new();
        let leaf = |site| meters.meter(name("a"), site).track(budget.leaf());
        let (mut one, mut two, mut other) = (leaf("x"), leaf("x"), leaf("y"));
        one.try_grow(Bytes::new(10)).unwrap();
        two.try_grow(Bytes::new(20)).unwrap();
        other.try_grow(Bytes::new(5)).unwrap();
        two.try_grow(Bytes::from_gib(1)).unwrap_err();
        let held = |meters: &Meters| -> Vec<_> {
            let read = meters.read();
            read.iter().map(|u| (u.site, u.leaves, u.held.get(), u.peak.get())).collect()
        };
        assert_eq!(held(&meters), [("x", 2, 30, 30), ("y", 1, 5, 5)]);
        one.shrink(Bytes::new(10));
        drop(other);
        assert_eq!(held(&meters), [("x", 2, 20, 30), ("y", 0, 0, 5)]);
        assert_eq!(held(&meters), [("x", 2, 20, 30)]);
    }
}

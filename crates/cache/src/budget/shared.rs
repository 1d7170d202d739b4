//! The caches that share a budget, and memory given back by all of them together.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use parking_lot::Mutex;
use plimsoll_core_types::{Bytes, ConsumerId, GiveUp, Priority, Ratio, ReclaimRequest, Reclaimer};

use super::{BudgetError, Division, Share, divide};

/// Over which time the misses that a smaller budget causes count as its cost.
const HORIZON: f64 = 60.0;

/// A saving below this share of the present cost moves nothing.
const HYSTERESIS: f64 = 0.02;

/// A cache that shares a budget, in bytes.
pub trait Member: Send + Sync + fmt::Debug {
    /// Capacity and what misses cost there (seconds lost per second), ascending in capacity; the
    /// first is the least it may have.
    fn costs(&self) -> Vec<(u64, f64)>;

    /// What it may hold.
    fn capacity(&self) -> u64;

    /// What it holds.
    fn weight(&self) -> u64;

    /// Changes what it may hold, with as many of its entries kept as fit. False where it can't now;
    /// it is then as it was.
    fn resize(&self, capacity: u64) -> bool;
}

/// One budget for many caches.
///
/// [`rebalance`](Self::rebalance) now and then: it measures every curve anew and moves room to
/// where it saves most. Caches shrink before others grow, so that together they never have more
/// than the budget. As a [`Reclaimer`] it gives memory back where that costs the fewest misses, and
/// keeps it away until [`restore`](Self::restore).
#[derive(Debug)]
pub struct SharedBudget {
    consumer: ConsumerId,
    budget: Bytes,
    members: Vec<Arc<dyn Member>>,
    state: Mutex<State>,
    moving: Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    given_back: u64,
    /// As they were measured last.
    shares: Vec<Share>,
}

impl SharedBudget {
    /// `budget` for `members`. Nothing is moved yet.
    pub fn new(consumer: ConsumerId, budget: Bytes, members: Vec<Arc<dyn Member>>) -> Self {
        let (state, moving) = (Mutex::default(), Mutex::default());
        Self { consumer, budget, members, state, moving }
    }

    /// What the caches may have together at present.
    pub fn available(&self) -> Bytes {
        Bytes::new(self.budget.get().saturating_sub(self.state.lock().given_back))
    }

    /// Measures every cache's curve and divides what is available anew, unless that would save
    /// less than a fiftieth of what misses cost now.
    ///
    /// # Errors
    ///
    /// When the budget is less than the least of all caches, or a curve is none.
    pub fn rebalance(&self) -> Result<Division, BudgetError> {
        let _moving = self.moving.lock();
        let shares = self.measure();
        let division = divide(&shares, self.available().get(), HYSTERESIS)?;
        self.apply(&division.capacities);
        Ok(division)
    }

    /// Has back what was given back under pressure. The next [`rebalance`](Self::rebalance) hands
    /// it out.
    pub fn restore(&self) {
        self.state.lock().given_back = 0;
    }

    fn measure(&self) -> Vec<Share> {
        let share =
            |member: &Arc<dyn Member>| Share { costs: member.costs(), current: member.capacity() };
        let shares: Vec<Share> = self.members.iter().map(share).collect();
        self.state.lock().shares.clone_from(&shares);
        shares
    }

    /// Those that shrink go first; one that can't stays as it is, and then nobody grows into its
    /// room.
    fn apply(&self, capacities: &[u64]) {
        let mut room = self.available().get();
        let pairs = || self.members.iter().zip(capacities);
        for (member, capacity) in pairs().filter(|(member, to)| **to < member.capacity()) {
            member.resize(*capacity);
        }
        for member in &self.members {
            room = room.saturating_sub(member.capacity());
        }
        for (member, capacity) in pairs().filter(|(member, to)| **to > member.capacity()) {
            let wanted = capacity - member.capacity();
            if wanted <= room && member.resize(*capacity) {
                room -= wanted;
            }
        }
    }

    /// The division of `bytes` less than what is available, as the curves were last.
    fn without(&self, bytes: u64) -> Option<(Division, u64, f64)> {
        let mut shares = self.state.lock().shares.clone();
        if shares.is_empty() {
            shares = self.measure();
        }
        let least = shares.iter().filter_map(|share| share.costs.first());
        let least: u64 = least.map(|(capacity, _)| *capacity).sum();
        let left = self.available().get().saturating_sub(bytes).max(least);
        let now = divide(&shares, self.available().get(), 0.0).ok()?;
        Some((divide(&shares, left, 0.0).ok()?, left, now.cost))
    }
}

#[async_trait]
impl Reclaimer for SharedBudget {
    fn consumer(&self) -> &ConsumerId {
        &self.consumer
    }

    fn priority(&self) -> Priority {
        Priority::Low
    }

    /// All that the caches hold above their least; it costs a minute of the misses that this would
    /// cause.
    fn offer(&self) -> GiveUp {
        let weight: u64 = self.members.iter().map(|member| member.weight()).sum();
        let bytes = self.without(u64::MAX).map(|(division, _, before)| {
            let kept: u64 = division.capacities.iter().sum();
            (weight.saturating_sub(kept), (division.cost - before).max(0.0))
        });
        let (bytes, lost) = bytes.unwrap_or((0, 0.0));
        let return_cost = Duration::try_from_secs_f64(lost * HORIZON).unwrap_or(Duration::MAX);
        GiveUp { bytes: Bytes::new(bytes), cost: Duration::ZERO, need: Ratio::ONE, return_cost }
    }

    async fn reclaim(&self, request: ReclaimRequest) -> Bytes {
        let Some(_moving) = self.moving.try_lock() else { return Bytes::ZERO };
        let weight = || self.members.iter().map(|member| member.weight()).sum::<u64>();
        let (before, available) = (weight(), self.available().get());
        // What is not used is no memory to give back: begin at what the caches hold.
        let unused = available.saturating_sub(before);
        let Some((division, left, _)) = self.without(request.bytes.get().saturating_add(unused))
        else {
            return Bytes::ZERO;
        };
        self.state.lock().given_back += available - left;
        self.apply(&division.capacities);
        Bytes::new(before.saturating_sub(weight()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::pin::pin;
    use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
    use std::task::{Context, Poll, Waker};

    /// A full cache whose misses fall in proportion to its room, up to `working_set`.
    #[derive(Debug)]
    struct Linear {
        rate: f64,
        working_set: u64,
        capacity: AtomicU64,
        /// What all caches may have, and have.
        all: Arc<(AtomicU64, AtomicU64)>,
    }

    impl Member for Linear {
        fn costs(&self) -> Vec<(u64, f64)> {
            let miss = |at: u64| 1.0 - (at.min(self.working_set) as f64 / self.working_set as f64);
            (1..=10).map(|tenth| (tenth * 100, self.rate * miss(tenth * 100))).collect()
        }

        fn capacity(&self) -> u64 {
            self.capacity.load(Relaxed)
        }

        fn weight(&self) -> u64 {
            self.capacity()
        }

        fn resize(&self, capacity: u64) -> bool {
            let before = self.capacity.swap(capacity, Relaxed);
            let all = self.all.1.fetch_add(capacity.wrapping_sub(before), Relaxed);
            let all = all.wrapping_add(capacity.wrapping_sub(before));
            assert!(capacity < before || all <= self.all.0.load(Relaxed), "{all}");
            true
        }
    }

    fn shared(rates: &[(f64, u64)]) -> (SharedBudget, Vec<Arc<Linear>>) {
        let budget = 300 * rates.len() as u64;
        let all = Arc::new((AtomicU64::new(budget), AtomicU64::new(budget)));
        let member = |(rate, working_set): &(f64, u64)| {
            let capacity = AtomicU64::new(300);
            Arc::new(Linear {
                rate: *rate,
                working_set: *working_set,
                capacity,
                all: Arc::clone(&all),
            })
        };
        let caches: Vec<_> = rates.iter().map(member).collect();
        let members = caches.iter().map(|cache| Arc::clone(cache) as Arc<dyn Member>).collect();
        let consumer = ConsumerId::new("caches").unwrap();
        (SharedBudget::new(consumer, Bytes::new(budget), members), caches)
    }

    fn reclaim(shared: &SharedBudget, bytes: u64) -> u64 {
        let beneficiary = ConsumerId::new("model").unwrap();
        let request =
            ReclaimRequest { bytes: Bytes::new(bytes), beneficiary, within: Duration::MAX };
        let mut context = Context::from_waker(Waker::noop());
        match pin!(shared.reclaim(request)).as_mut().poll(&mut context) {
            Poll::Ready(freed) => freed.get(),
            Poll::Pending => panic!("nothing to wait for"),
        }
    }

    #[test]
    fn room_goes_where_it_saves_most_and_comes_back_from_where_it_saves_least() {
        let (shared, caches) = shared(&[(9.0, 500), (1.0, 1000), (3.0, 1000)]);
        shared.rebalance().unwrap();
        let capacities = || caches.iter().map(|cache| cache.capacity()).collect::<Vec<_>>();
        assert_eq!(capacities(), [500, 100, 300]);
        assert_eq!(reclaim(&shared, 150), 200);
        assert_eq!(capacities(), [500, 100, 100]);
        // Only the least is left in two of them; then the dearest gives.
        assert_eq!(reclaim(&shared, 1000), 400);
        assert_eq!((capacities(), shared.offer().bytes), (vec![100; 3], Bytes::ZERO));
        shared.restore();
        shared.rebalance().unwrap();
        assert_eq!(capacities(), [500, 100, 300]);
    }

    proptest! {
        #[test]
        fn together_they_never_have_more_than_the_budget(
            rates in prop::collection::vec((0.1..10.0_f64, 100..1200_u64), 1..8),
            steps in prop::collection::vec(0..600_u64, 1..8),
        ) {
            let (shared, caches) = shared(&rates);
            for step in steps {
                if step < 200 {
                    shared.rebalance().unwrap();
                } else {
                    let weight = || caches.iter().map(|cache| cache.capacity()).sum::<u64>();
                    let before = weight();
                    prop_assert_eq!(reclaim(&shared, step), before - weight());
                }
                let all: u64 = caches.iter().map(|cache| cache.capacity()).sum();
                prop_assert!(all <= shared.available().get());
            }
        }
    }
}

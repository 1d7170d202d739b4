//! CPU time of futures, by task class.
//!
//! [`Accountant::account`] wraps a future. Most of its polls cost one decrement more than without;
//! now and then one is measured by the thread's CPU clock and stands for those that were not (see
//! [`AccountConfig::overhead`]). The sum is unbiased, whatever the polls are like.

mod clock;
mod config;
mod sampling;

use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::Mutex;
use pin_project_lite::pin_project;
use plimsoll_core_types::{SplitMix64, TaskClass};
use serde::{Deserialize, Serialize};

use clock::ReadingCost;
pub use clock::{CpuClock, ThreadCpuClock};
pub use config::AccountConfig;
use sampling::{Budget, Moments};

/// Accounts the CPU time of futures by task class.
///
/// ```
/// use plimsoll_core_types::{Priority, TaskClass, TenantId};
/// use plimsoll_cpu::account::{AccountConfig, Accountant};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// let accountant = Accountant::new(&AccountConfig::default());
/// let class = TaskClass { model: None, tenant: TenantId::DEFAULT, priority: Priority::High };
/// let meter = accountant.meter(&class);
///
/// let sum = meter.account(async { (0..1_000_u64).sum::<u64>() }).await;
/// assert_eq!(sum, 499_500);
/// assert_eq!(meter.totals().polls, 1);
/// # }
/// ```
#[derive(Debug)]
pub struct Accountant {
    shared: Arc<Shared>,
    most_classes: usize,
    meters: Mutex<BTreeMap<TaskClass, Meter>>,
    /// Of all that came when there was no room for more classes.
    rest: Meter,
}

#[derive(Debug)]
struct Shared {
    meters: AtomicU32,
    clock: Arc<dyn CpuClock>,
    cost: ReadingCost,
    budget: Budget,
}

/// The account of one class. Clones share it.
#[derive(Clone, Debug)]
pub struct Meter(Arc<Cell>);

/// Written at measured polls and when a future ends; on lines of its own, so that classes don't
/// slow each other down.
#[derive(Debug)]
#[repr(align(128))]
struct Cell {
    /// Sets its random numbers apart from those of other classes.
    number: u32,
    shared: Arc<Shared>,
    /// Estimated CPU time, in nanoseconds.
    cpu: AtomicU64,
    polls: AtomicU64,
    measured: AtomicU64,
    futures: AtomicU64,
    /// The mean distance between measured polls.
    interval: AtomicU32,
    moments: Mutex<Moments>,
}

/// What a class has used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MeterTotals {
    /// CPU time, estimated from the polls that were measured.
    pub cpu: Duration,
    /// How many polls there were; those of a future count when one of them is measured, and when
    /// it is dropped.
    pub polls: u64,
    /// How many of them were measured.
    pub measured: u64,
    /// How many futures were wrapped.
    pub futures: u64,
}

impl Accountant {
    /// An accountant that reads the thread's own CPU clock.
    pub fn new(config: &AccountConfig) -> Self {
        Self::with_clock(config, Arc::new(ThreadCpuClock))
    }

    /// An accountant that reads `clock`, and finds out first what that costs.
    pub fn with_clock(config: &AccountConfig, clock: Arc<dyn CpuClock>) -> Self {
        let cost = ReadingCost::measure(&*clock);
        let budget = Budget {
            cost: cost.pair.as_nanos() as f64,
            overhead: config.overhead,
            most_overhead: config.most_overhead,
            most_interval: config.most_interval,
        };
        let shared = Arc::new(Shared { meters: AtomicU32::new(0), clock, cost, budget });
        let rest = Meter::new(Arc::clone(&shared));
        let meters = Mutex::new(BTreeMap::new());
        Self { shared, most_classes: config.most_classes, meters, rest }
    }

    /// The account of `class`. Keep it where futures of the class are made: finding it takes a
    /// lock.
    pub fn meter(&self, class: &TaskClass) -> Meter {
        let mut meters = self.meters.lock();
        if let Some(meter) = meters.get(class) {
            return meter.clone();
        }
        if meters.len() >= self.most_classes {
            return self.rest.clone();
        }
        let meter = Meter::new(Arc::clone(&self.shared));
        meters.insert(class.clone(), meter.clone());
        meter
    }

    /// `future`, its CPU time accounted to `class`.
    pub fn account<F: Future>(&self, class: &TaskClass, future: F) -> Accounted<F> {
        self.meter(class).account(future)
    }

    /// What every class has used; without a class, what came when there was no room for more.
    pub fn totals(&self) -> Vec<(Option<TaskClass>, MeterTotals)> {
        let meters = self.meters.lock();
        let known = meters.iter().map(|(class, meter)| (Some(class.clone()), meter.totals()));
        let rest = Some((None, self.rest.totals())).filter(|(_, totals)| totals.futures > 0);
        known.chain(rest).collect()
    }
}

impl Meter {
    fn new(shared: Arc<Shared>) -> Self {
        let number = shared.meters.fetch_add(1, Ordering::Relaxed);
        Self(Arc::new(Cell {
            number,
            shared,
            cpu: AtomicU64::new(0),
            polls: AtomicU64::new(0),
            measured: AtomicU64::new(0),
            futures: AtomicU64::new(0),
            interval: AtomicU32::new(1),
            moments: Mutex::default(),
        }))
    }

    /// `future`, its CPU time added to this account.
    ///
    /// A future within another that is accounted counts in both.
    ///
    /// # Cancel safety
    ///
    /// That of `future`: the wrapper holds nothing across polls. Dropped, it hands in its count of
    /// polls.
    pub fn account<F: Future>(&self, future: F) -> Accounted<F> {
        Accounted { inner: future, polls: self.polls() }
    }

    pub(crate) fn polls(&self) -> PollMeter {
        PollMeter::new(self.clone())
    }

    /// What the class has used.
    pub fn totals(&self) -> MeterTotals {
        let cell = &*self.0;
        MeterTotals {
            cpu: Duration::from_nanos(cell.cpu.load(Ordering::Relaxed)),
            polls: cell.polls.load(Ordering::Relaxed),
            measured: cell.measured.load(Ordering::Relaxed),
            futures: cell.futures.load(Ordering::Relaxed),
        }
    }
}

/// Measures the polls of one future.
#[derive(Debug)]
pub(crate) struct PollMeter {
    /// How many polls to go until one is measured.
    left: u32,
    /// How many there were to go when that was drawn.
    drawn: u32,
    /// What the measured one counts for.
    weight: u32,
    random: SplitMix64,
    meter: Meter,
}

impl PollMeter {
    fn new(meter: Meter) -> Self {
        let number = meter.0.futures.fetch_add(1, Ordering::Relaxed);
        // Different for each future and each class, and the same in every run.
        let seed = number ^ (u64::from(meter.0.number) << 32);
        let mut polls = Self { left: 0, drawn: 0, weight: 1, random: SplitMix64::new(seed), meter };
        polls.draw();
        polls
    }

    /// Does `poll`. Where it was measured, says what it counts for.
    #[inline]
    pub(crate) fn run<T>(&mut self, poll: impl FnOnce() -> T) -> (T, Option<Duration>) {
        if self.left > 0 {
            self.left -= 1;
            return (poll(), None);
        }
        self.measure(poll)
    }

    #[cold]
    fn measure<T>(&mut self, poll: impl FnOnce() -> T) -> (T, Option<Duration>) {
        let clock = &*self.meter.0.shared.clock;
        let before = clock.thread_time();
        let done = poll();
        let after = clock.thread_time();
        let seen = self.meter.0.shared.cost.seen;
        let took = after.saturating_sub(before).saturating_sub(seen);
        (done, Some(self.note(took)))
    }

    fn note(&mut self, took: Duration) -> Duration {
        let counted = took.saturating_mul(self.weight);
        let cell = &*self.meter.0;
        cell.cpu.fetch_add(counted.as_nanos() as u64, Ordering::Relaxed);
        cell.measured.fetch_add(1, Ordering::Relaxed);
        cell.polls.fetch_add(u64::from(self.drawn) + 1, Ordering::Relaxed);
        // Whoever finds the lock taken leaves the learning to others.
        if let Some(mut moments) = cell.moments.try_lock() {
            moments.add(took);
            cell.interval.store(moments.interval(&cell.shared.budget), Ordering::Relaxed);
        }
        self.draw();
        counted
    }

    fn draw(&mut self) {
        self.weight = self.meter.0.interval.load(Ordering::Relaxed);
        self.drawn = sampling::skip(&mut self.random, self.weight);
        self.left = self.drawn;
    }
}

impl Drop for PollMeter {
    fn drop(&mut self) {
        let polls = u64::from(self.drawn - self.left);
        if polls > 0 {
            self.meter.0.polls.fetch_add(polls, Ordering::Relaxed);
        }
    }
}

pin_project! {
    /// A future whose CPU time is accounted. Made by [`Meter::account`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Accounted<F> {
        #[pin]
        inner: F,
        polls: PollMeter,
    }
}

impl<F> fmt::Debug for Accounted<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Accounted").field("polls", &self.polls).finish_non_exhaustive()
    }
}

impl<F: Future> Future for Accounted<F> {
    type Output = F::Output;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        this.polls.run(|| this.inner.poll(context)).0
    }
}

#[cfg(test)]
mod tests;

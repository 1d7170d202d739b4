//! CPU-time quotas for futures, held at poll boundaries.
//!
//! A [`Throttle`] has one budget of CPU time, divided among classes by weight; a future of a class
//! whose balance is used up is not polled until there is some again. Deciding costs two loads while
//! there is a balance: the clock is read only when it is used up.
//!
//! What a poll used is measured (and sampled) as in [`account`](crate::account). A poll can't be
//! interrupted: one that uses more than there was leaves a debt, which is paid first. So shares are
//! exact over times that are long against the longest poll.
//!
//! Child processes are held by [`ProcessThrottle`].

mod config;
mod duty;
mod line;
mod process;
mod shares;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use plimsoll_core_types::{Clock, Millicores};
use tokio::time::Sleep;

use crate::account::{Meter, PollMeter};
use crate::sync::{Arc, Mutex, lock};
pub use config::{ThrottleConfig, ThrottleError};
use line::{Line, Turn};
pub use process::{ProcessThrottle, ProcessThrottleConfig};
use shares::{Balance, Shares};

/// A budget of CPU time, divided among classes of futures by weight.
///
/// ```
/// use std::sync::Arc;
/// use plimsoll_core_types::{Millicores, Priority, SystemClock, TaskClass, TenantId};
/// use plimsoll_cpu::account::{AccountConfig, Accountant};
/// use plimsoll_cpu::throttle::{Throttle, ThrottleConfig};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let accountant = Accountant::new(&AccountConfig::default());
/// let class = |priority| TaskClass { model: None, tenant: TenantId::DEFAULT, priority };
/// let config = ThrottleConfig { rate: Millicores::new(500), ..ThrottleConfig::default() };
/// let throttle = Throttle::new(&config, Arc::new(SystemClock::new()))?;
///
/// // Half a core in all; where both want more, chats get three times what batch jobs get.
/// let chats = throttle.class(3.0, accountant.meter(&class(Priority::High)))?;
/// let batch = throttle.class(1.0, accountant.meter(&class(Priority::BestEffort)))?;
///
/// let answer = chats.throttle(async { 6 * 7 }).await;
/// assert_eq!(answer, 42);
/// assert!(batch.check().is_ok());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Throttle {
    shared: Arc<Shared>,
    most_classes: usize,
}

#[derive(Debug)]
struct Shared {
    clock: std::sync::Arc<dyn Clock>,
    shares: Mutex<Shares>,
}

/// One class of a [`Throttle`]. Clones are the same class; with the last one, and the last future
/// of it, its part goes to the others.
#[derive(Clone, Debug)]
pub struct ThrottleClass(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    shared: Arc<Shared>,
    balance: Arc<Balance>,
    line: Line,
    meter: Meter,
}

impl Throttle {
    /// A throttle without classes.
    ///
    /// # Errors
    ///
    /// When `config` would let nothing run; names the field.
    pub fn new(
        config: &ThrottleConfig,
        clock: std::sync::Arc<dyn Clock>,
    ) -> Result<Self, ThrottleError> {
        if config.burst.is_zero() {
            return Err(ThrottleError::NoBurst);
        }
        let shares = Shares::new(config.rate.as_cores(), config.burst, clock.now());
        let shared = Arc::new(Shared { clock, shares: Mutex::new(shares) });
        Ok(Self { shared, most_classes: config.most_classes })
    }

    /// Adds a class of this weight, whose futures' CPU time is accounted by `meter`. It begins with
    /// a full bucket.
    ///
    /// # Errors
    ///
    /// When the weight is not finite and positive, or there are as many classes as there may be.
    pub fn class(&self, weight: f64, meter: Meter) -> Result<ThrottleClass, ThrottleError> {
        if !(weight > 0.0 && weight.is_finite()) {
            return Err(ThrottleError::Weight { weight });
        }
        let mut shares = lock(&self.shared.shares);
        if shares.len() >= self.most_classes {
            return Err(ThrottleError::TooManyClasses { most: self.most_classes });
        }
        let balance = shares.add(weight);
        let shared = Arc::clone(&self.shared);
        Ok(ThrottleClass(Arc::new(Inner { shared, balance, line: Line::new(), meter })))
    }

    /// From now on, all classes together may use so much. What waits learns of it within a tenth of
    /// a second.
    pub fn set_rate(&self, rate: Millicores) {
        let now = self.shared.clock.now();
        lock(&self.shared.shares).set_rate(rate.as_cores(), now);
    }
}

impl ThrottleClass {
    /// `future`, polled only while this class has a balance.
    ///
    /// # Panics
    ///
    /// Waiting needs a tokio runtime with its timer enabled; polled outside one, it panics when it
    /// has to wait.
    ///
    /// # Cancel safety
    ///
    /// That of `future`. Dropped while it waits, it leaves the line, and the next is woken.
    pub fn throttle<F: Future>(&self, future: F) -> Throttled<F> {
        Throttled {
            inner: future,
            polls: self.0.meter.polls(),
            ticket: Ticket { class: self.clone(), place: None },
            timer: None,
        }
    }

    /// Whether work of this class may run now; else how long to wait before asking again. For work
    /// that is no future: what it used is handed to [`charge`](Self::charge).
    ///
    /// # Errors
    ///
    /// The time until the class has a balance again, when everybody takes its part, at most a tenth
    /// of a second.
    #[inline]
    pub fn check(&self) -> Result<(), Duration> {
        if self.is_open() || self.0.refill() { Ok(()) } else { Err(self.0.wait()) }
    }

    /// Takes what work of this class has used out of its balance.
    #[inline]
    pub fn charge(&self, cpu: Duration) {
        self.0.balance.charge(cpu);
    }

    /// What the class has left to use now; none where it is in debt.
    pub fn balance(&self) -> Duration {
        Duration::from_nanos(u64::try_from(self.0.balance.get()).unwrap_or(0))
    }

    /// How many of its futures wait for their turn.
    pub fn waiting(&self) -> usize {
        self.0.line.len()
    }

    /// The account of its futures.
    pub fn meter(&self) -> &Meter {
        &self.0.meter
    }

    #[inline]
    fn is_open(&self) -> bool {
        self.0.balance.get() > 0 && self.0.line.is_empty()
    }
}

impl Inner {
    /// Pours in what has come meanwhile; true where that leaves a balance.
    #[cold]
    fn refill(&self) -> bool {
        if self.balance.get() > 0 {
            return true;
        }
        let now = self.shared.clock.now();
        lock(&self.shared.shares).fill(now);
        self.balance.get() > 0
    }

    #[cold]
    fn wait(&self) -> Duration {
        // The timer's grain: shorter sleeps would only ask again and again.
        lock(&self.shared.shares).wait(&self.balance).max(Duration::from_millis(1))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        lock(&self.shared.shares).remove(&self.balance);
    }
}

/// A place in a class's line, left when it is dropped.
#[derive(Debug)]
struct Ticket {
    class: ThrottleClass,
    place: Option<u64>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let Some(place) = self.place {
            self.class.0.line.leave(place);
        }
    }
}

pin_project! {
    /// A future that is polled only while its class has a balance. Made by
    /// [`ThrottleClass::throttle`].
    #[must_use = "futures do nothing unless polled"]
    pub struct Throttled<F> {
        #[pin]
        inner: F,
        polls: PollMeter,
        ticket: Ticket,
        timer: Option<Pin<Box<Sleep>>>,
    }
}

impl<F> fmt::Debug for Throttled<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Throttled").field("class", &self.ticket.class).finish_non_exhaustive()
    }
}

impl<F: Future> Future for Throttled<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.project();
        let is_open = this.ticket.place.is_none() && this.ticket.class.is_open();
        if !is_open && this.ticket.wait(this.timer, context).is_pending() {
            return Poll::Pending;
        }
        let (done, charged) = this.polls.run(|| this.inner.poll(context));
        if let Some(cpu) = charged {
            this.ticket.class.charge(cpu);
        }
        done
    }
}

impl Ticket {
    /// Ready when it is this one's turn.
    #[cold]
    fn wait(&mut self, timer: &mut Option<Pin<Box<Sleep>>>, context: &mut Context<'_>) -> Poll<()> {
        let inner = &*self.class.0;
        loop {
            match inner.line.turn(&mut self.place, context.waker(), || inner.refill()) {
                Turn::Go => {
                    *timer = None;
                    return Poll::Ready(());
                }
                Turn::Behind => return Poll::Pending,
                Turn::First => {}
            }
            let sleep = timer.insert(Box::pin(tokio::time::sleep(inner.wait())));
            if sleep.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests;

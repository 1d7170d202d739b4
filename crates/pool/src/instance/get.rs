//! The request for an object.

use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use plimsoll_core_types::Priority;
use tokio::task::coop;

use super::core::SlotRef;
use super::lent::Held;
use super::wait::{Patience, Wait, Within};
use super::{GetError, Lent, Manager, Pool, Shared};

/// How an object is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ask {
    /// Who goes first. Default [`Priority::Normal`].
    pub priority: Priority,
    /// How long to wait for an object at most; none is what the pool's config says.
    ///
    /// Within a class, whoever's time is up first goes first.
    pub within: Option<Duration>,
}

impl<M: Manager> Pool<M> {
    /// An object, as soon as there is one and it is this request's turn.
    ///
    /// Has to be awaited in a tokio runtime, with its timer on where the config names times.
    ///
    /// # Errors
    ///
    /// When none came free in time, none could be made, too many wait, or the pool is closed; the
    /// error says which.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line; what crossed with that goes to the next in line. An
    /// object that is being checked at that moment is retired.
    pub fn get(&self) -> impl Future<Output = Result<Lent<M>, GetError<M::Error>>> + Send + '_ {
        self.get_with(Ask::default())
    }

    /// An object for a request of `priority`. Like [`get`](Self::get) otherwise.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As for [`get`](Self::get).
    pub fn get_as(
        &self,
        priority: Priority,
    ) -> impl Future<Output = Result<Lent<M>, GetError<M::Error>>> + Send + '_ {
        self.get_with(Ask { priority, within: None })
    }

    /// An object for the request `ask`. Like [`get`](Self::get) otherwise.
    ///
    /// # Errors
    ///
    /// As for [`get`](Self::get).
    ///
    /// # Cancel safety
    ///
    /// As for [`get`](Self::get).
    pub fn get_with(
        &self,
        ask: Ask,
    ) -> impl Future<Output = Result<Lent<M>, GetError<M::Error>>> + Send + '_ {
        let (shared, mut tried) = (&self.shared, 0);
        let patience = Patience::new(ask.within.or(shared.config.wait_within));
        let priority = ask.priority;
        async move {
            loop {
                // What lives on while it waits is part of the future, so it is kept small.
                let idle = std::future::poll_fn(|context| shared.poll_idle(context)).await;
                let mut held = match idle {
                    Some(slot) => Held::new(shared, slot),
                    None => Wait::new(shared, priority, patience).await?,
                };
                if held.begins_check() {
                    let check = shared.manager.recycle(held.object_mut());
                    let checked = Within::new(check, shared.config.recycle_within).await;
                    if let Err(unfit) = shared.checked(checked) {
                        drop(held);
                        tried += 1;
                        if tried >= shared.config.recycle_attempts {
                            return Err(unfit.error(tried));
                        }
                        continue;
                    }
                }
                return Ok(held.lend());
            }
        }
    }

    /// An idle object, unless there is none or its check takes time. Waits for nothing, makes
    /// nothing, and needs no runtime.
    pub fn try_get(&self) -> Option<Lent<M>> {
        let mut held = Held::new(&self.shared, self.shared.core.pop()?);
        if held.begins_check() {
            let mut check = std::pin::pin!(self.shared.manager.recycle(held.object_mut()));
            match check.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) | Poll::Pending => return None,
            }
        }
        Some(held.lend())
    }
}

/// Why an object can't be lent again.
enum Unfit<E> {
    Error(E),
    TimedOut(Duration),
}

impl<E> Unfit<E> {
    fn error(self, tried: u32) -> GetError<E> {
        match self {
            Self::Error(last) => GetError::Recycle { tried, last },
            Self::TimedOut(within) => GetError::RecycleTimedOut { tried, within },
        }
    }
}

impl<M: Manager> Shared<M> {
    /// An idle object, where there is one, for a unit of the task's cooperative budget.
    #[inline]
    fn poll_idle(&self, context: &mut Context<'_>) -> Poll<Option<SlotRef<M::Object>>> {
        let budget = ready!(coop::poll_proceed(context));
        budget.made_progress();
        Poll::Ready(self.core.pop())
    }

    /// What came of a check.
    #[inline]
    fn checked(&self, checked: Option<Result<(), M::Error>>) -> Result<(), Unfit<M::Error>> {
        match checked {
            Some(Ok(())) => Ok(()),
            Some(Err(error)) => Err(Unfit::Error(error)),
            None => Err(Unfit::TimedOut(self.config.recycle_within.unwrap_or_default())),
        }
    }
}

//! The wait for an object.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core_types::Priority;
use tokio::time::Sleep;

use super::core::{End, Node, Start};
use super::lent::Held;
use super::{GetError, Manager, Shared};

/// How long to wait at most, in half the bytes of an optional [`Duration`]: nanoseconds, all ones
/// for ever.
#[derive(Clone, Copy)]
pub(super) struct Patience(u64);

impl Patience {
    #[inline]
    pub(super) fn new(within: Option<Duration>) -> Self {
        let nanos = |within: Duration| u64::try_from(within.as_nanos()).unwrap_or(u64::MAX);
        Self(within.map_or(u64::MAX, nanos))
    }

    fn limit(self) -> Option<Duration> {
        (self.0 != u64::MAX).then(|| Duration::from_nanos(self.0))
    }
}

type WaitNode<M> = Node<<M as Manager>::Object, GetError<<M as Manager>::Error>>;

pin_project_lite::pin_project! {
    /// A place in the line, which begins with the first poll. Dropping it leaves the line, and
    /// passes on what was given meanwhile.
    pub(super) struct Wait<'a, M: Manager> {
        shared: &'a Arc<Shared<M>>,
        #[pin]
        node: WaitNode<M>,
        // Set where the wait has a limit.
        sleep: Option<Pin<Box<Sleep>>>,
    }

    impl<M: Manager> PinnedDrop for Wait<'_, M> {
        fn drop(this: Pin<&mut Self>) {
            if !this.node.is_outside() {
                this.leave(false);
            }
        }
    }
}

impl<'a, M: Manager> Wait<'a, M> {
    pub(super) fn new(shared: &'a Arc<Shared<M>>, priority: Priority, patience: Patience) -> Self {
        let Some(within) = patience.limit() else {
            return Self { shared, node: Node::new(priority, None), sleep: None };
        };
        let now = shared.now();
        let node = Node::new(priority, Some((now, now + within)));
        Self { shared, node, sleep: Some(Box::pin(tokio::time::sleep(within))) }
    }

    fn begin(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<Held<M>, GetError<M::Error>>> {
        let this = self.project();
        match this.shared.core.start(this.node.as_ref(), context.waker(), || this.shared.now()) {
            Start::Given(slot) => Poll::Ready(Ok(Held::new(this.shared, slot))),
            Start::Full(waiting) => Poll::Ready(Err(GetError::LineFull { waiting })),
            Start::Closed => Poll::Ready(Err(GetError::Closed)),
            Start::Waits(create) => {
                this.shared.spawn_upkeep();
                this.shared.spawn_creations(create);
                if let Some(sleep) = this.sleep {
                    // A wait of no length ends with the next poll.
                    let _ = sleep
                        .as_mut()
                        .poll(context)
                        .is_ready()
                        .then(|| context.waker().wake_by_ref());
                }
                Poll::Pending
            }
        }
    }

    /// How the wait ended, where it has.
    fn ended(self: Pin<&mut Self>) -> Option<Result<Held<M>, GetError<M::Error>>> {
        let end = self.as_ref().project_ref().node.end()?;
        let this = self.project();
        Some(match end {
            End::Given(slot) => Ok(Held::new(this.shared, slot)),
            End::Failed(error) => Err(*error),
            End::Expired => Err(GetError::WaitTimedOut { within: this.node.as_ref().patience() }),
            End::Closed => Err(GetError::Closed),
        })
    }

    /// Leaves the line. What was given in the meantime goes to the next.
    fn leave(mut self: Pin<&mut Self>, timed_out: bool) -> bool {
        let this = self.as_mut().project();
        let (left, after) =
            this.shared.core.leave(this.node.as_ref(), timed_out, || this.shared.now());
        this.shared.finish(after);
        if !left
            && !timed_out
            && let Some(Ok(held)) = self.ended()
        {
            held.pass_on();
        }
        left
    }
}

impl<M: Manager> Future for Wait<'_, M> {
    type Output = Result<Held<M>, GetError<M::Error>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.node.is_outside() {
            return self.begin(context);
        }
        if let Some(end) = self.as_mut().ended() {
            return Poll::Ready(end);
        }
        let this = self.as_mut().project();
        if this.sleep.as_mut().is_some_and(|sleep| sleep.as_mut().poll(context).is_ready()) {
            if self.as_mut().leave(true) {
                let within: Duration = self.as_ref().project_ref().node.patience();
                return Poll::Ready(Err(GetError::WaitTimedOut { within }));
            }
        } else if let Some(create) =
            this.shared.core.look_after(this.node.as_ref(), context.waker())
        {
            this.shared.spawn_creations(create);
            return Poll::Pending;
        }
        // It was served while it was looked after.
        self.ended().map_or(Poll::Pending, Poll::Ready)
    }
}

pin_project_lite::pin_project! {
    /// A future with a time limit whose timer is set only when it is needed.
    pub(super) struct Within<F> {
        #[pin]
        future: F,
        limit: Option<Duration>,
        sleep: Option<Pin<Box<Sleep>>>,
    }
}

impl<F> Within<F> {
    #[inline]
    pub(super) const fn new(future: F, limit: Option<Duration>) -> Self {
        Self { future, limit, sleep: None }
    }
}

impl<F: Future> Future for Within<F> {
    /// None where its time was up.
    type Output = Option<F::Output>;

    #[inline]
    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        if let Poll::Ready(output) = this.future.poll(context) {
            return Poll::Ready(Some(output));
        }
        let Some(limit) = *this.limit else { return Poll::Pending };
        let sleep = this.sleep.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        sleep.as_mut().poll(context).map(|()| None)
    }
}

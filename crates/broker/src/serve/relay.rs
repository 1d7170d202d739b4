//! An engine's answer on its way to the client, and everything that it holds until it is there.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use plimsoll_core_types::{Clock, Timestamp};
use plimsoll_load::{Admission, Balancer, Dispatch, Permit};
use plimsoll_pool::Lent;

use crate::fleet::{Acquired, Connections, Engines};
use crate::traffic_meter::Ended;

/// What a request holds from its admission to the end of its answer.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) connection: Lent<Connections>,
    pub(crate) dispatch: Option<Dispatch<Arc<Balancer>>>,
    pub(crate) acquired: Acquired,
    pub(crate) _permit: Permit<Arc<Admission>>,
    pub(crate) engines: Arc<Engines>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) begun: Timestamp,
    /// True where the engine said that it is its fault.
    pub(crate) failed: bool,
}

/// Passes an answer on as it comes, frame by frame. Dropped before its end, as when the client
/// goes away, it closes the connection to the engine, which stops it there.
#[derive(Debug)]
pub(crate) struct Relay {
    inner: Incoming,
    hold: Option<Hold>,
}

impl Relay {
    pub(crate) fn new(inner: Incoming, hold: Hold) -> Self {
        let mut relay = Self { inner, hold: Some(hold) };
        relay.end_if_over();
        relay
    }

    /// Whoever is told how long the answer is does not ask for what comes after its last byte.
    fn end_if_over(&mut self) {
        if self.inner.is_end_stream() {
            self.end(true);
        }
    }

    fn end(&mut self, whole: bool) {
        let Some(mut hold) = self.hold.take() else { return };
        let now = hold.clock.now();
        if whole {
            hold.connection.finished();
            hold.acquired.running.note_served(now);
        }
        let well = whole && !hold.failed;
        if let Some(dispatch) = hold.dispatch.take() {
            if well { dispatch.succeed(now) } else { dispatch.fail(now) }
        }
        let ended = if well { Ended::Well } else { Ended::Failed };
        hold.engines.meter.count(ended, now.saturating_since(hold.begun));
    }
}

impl Body for Relay {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let mut polled = Pin::new(&mut self.inner).poll_frame(context);
        if polled.is_pending()
            && let Some(hold) = &mut self.hold
        {
            hold.connection.drive(context);
            polled = Pin::new(&mut self.inner).poll_frame(context);
        }
        match &polled {
            Poll::Ready(None) => self.end(true),
            Poll::Ready(Some(Err(_))) => self.end(false),
            Poll::Ready(Some(Ok(_))) => self.end_if_over(),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

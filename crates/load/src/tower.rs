//! Admission and balancing as parts of a tower stack.
//!
//! [`AdmissionLayer`] makes the requests of any service wait their turn, and refuses what can't be
//! served in time. [`Balanced`] is a service that sends each request to one of many, and does the
//! same before it where it is given an admission: one queue that is shared by all backends. With
//! [`Binding::Late`](crate::Binding::Late) and a permit for each slot, what exceeds the slots waits
//! in that queue alone.
//!
//! Neither needs `poll_ready` to be called first, nor panics without it: what is waited for is
//! waited for in the call's future. Dropping that leaves the queue, and counts as nobody's failure.
//! Permits and counts end with the response, not with its body.

use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use parking_lot::RwLock;
use plimsoll_core_types::{Clock, ReplicaId, Timestamp};
use tower_layer::Layer;
use tower_service::Service;

use crate::alert::Alerts;
use crate::{
    Admission, BackendConfig, Balancer, Demand, Dispatch, DispatchError, Permit, Refused, Sessions,
    Work,
};

/// What is known of requests and answers.
pub trait Traffic<Request, Response>: Send + Sync + 'static {
    /// Who asks, how urgent it is, and until when it must have begun.
    fn demand(&self, request: &Request) -> Demand {
        let _ = request;
        Demand::default()
    }

    /// What it should take.
    fn work(&self, request: &Request) -> Work {
        let _ = request;
        Work::default()
    }

    /// Whether an answer is a good one. One that is not counts as its backend's failure, as does
    /// every error: say yes to what is the caller's fault.
    fn well(&self, response: &Response) -> bool {
        let _ = response;
        true
    }
}

/// Traffic of which nothing is known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Plain;

impl<Request, Response> Traffic<Request, Response> for Plain {}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E> {
    /// It was not admitted; says when to come back.
    #[error(transparent)]
    Refused(Box<Refused>),
    /// No backend takes requests.
    #[error(transparent)]
    Unavailable(DispatchError),
    /// The service failed.
    #[error("{0}")]
    Service(#[source] E),
}

/// What [`Admitted`] and [`Balanced`] answer with.
pub type Answer<T, E> = Pin<Box<dyn Future<Output = Result<T, Error<E>>> + Send>>;

async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

async fn ready_and_call<S, Request>(
    mut service: S,
    request: Request,
) -> Result<S::Response, S::Error>
where
    S: Service<Request>,
{
    poll_fn(|context| service.poll_ready(context)).await?;
    service.call(request).await
}

/// Puts an [`Admission`] before a service.
#[derive(Clone, Debug)]
pub struct AdmissionLayer<T = Plain> {
    admission: Arc<Admission>,
    traffic: Arc<T>,
}

impl AdmissionLayer {
    /// Everybody is alike, and waits as long as the admission's config says.
    pub fn new(admission: Arc<Admission>) -> Self {
        Self::with_traffic(admission, Plain)
    }
}

impl<T> AdmissionLayer<T> {
    /// `traffic` says who asks.
    pub fn with_traffic(admission: Arc<Admission>, traffic: T) -> Self {
        Self { admission, traffic: Arc::new(traffic) }
    }
}

impl<S, T> Layer<S> for AdmissionLayer<T> {
    type Service = Admitted<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        let (admission, traffic) = (Arc::clone(&self.admission), Arc::clone(&self.traffic));
        Admitted { inner, admission, traffic }
    }
}

/// A service that is cloned for each request and sent between threads with it. Whatever can be, is.
pub trait Portable<Request>:
    Service<Request, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static
{
}

impl<S, Request> Portable<Request> for S where
    S: Service<Request, Response: Send, Error: Send, Future: Send> + Clone + Send + 'static
{
}

/// A service whose requests wait their turn; made by [`AdmissionLayer`].
#[derive(Debug)]
pub struct Admitted<S, T = Plain> {
    inner: S,
    admission: Arc<Admission>,
    traffic: Arc<T>,
}

impl<S: Clone, T> Clone for Admitted<S, T> {
    fn clone(&self) -> Self {
        let (admission, traffic) = (Arc::clone(&self.admission), Arc::clone(&self.traffic));
        Self { inner: self.inner.clone(), admission, traffic }
    }
}

impl<S, T, Request> Service<Request> for Admitted<S, T>
where
    S: Portable<Request>,
    Request: Send + 'static,
    T: Traffic<Request, S::Response>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = Answer<S::Response, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (admission, inner) = (Arc::clone(&self.admission), self.inner.clone());
        let demand = self.traffic.demand(&request);
        Box::pin(async move {
            let admitted = admission.admit_owned(demand).await;
            let _permit = admitted.map_err(|refused| Error::Refused(Box::new(refused)))?;
            ready_and_call(inner, request).await.map_err(Error::Service)
        })
    }
}

/// A service over backends that each are one: balances, and queues and sheds where it has an
/// admission.
///
/// Cloning gives another handle to the same backends.
#[derive(Debug)]
pub struct Balanced<S, T = Plain> {
    shared: Arc<Shared<S, T>>,
}

#[derive(Debug)]
struct Shared<S, T> {
    balancer: Arc<Balancer>,
    services: RwLock<HashMap<ReplicaId, S>>,
    admission: Option<Arc<Admission>>,
    alerts: Option<Arc<Alerts>>,
    sessions: Option<Sessions>,
    clock: Arc<dyn Clock>,
    traffic: T,
    /// Whether requests wait here alone.
    late: bool,
}

impl<S, T> Clone for Balanced<S, T> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

/// What a [`Balanced`] does beside balancing.
#[derive(Debug, Default)]
pub struct Parts<T = Plain> {
    /// Where requests wait, and are refused. Default none: they go to a backend at once. Where the
    /// balancer binds late, its limit follows the slots that are in rotation.
    pub admission: Option<Arc<Admission>>,
    /// What is told of each answer. Default none.
    pub alerts: Option<Arc<Alerts>>,
    /// Which backends have sessions at hand, by the key of the work. Default none.
    pub sessions: Option<Sessions>,
    /// What is known of requests and answers.
    pub traffic: T,
}

impl<S> Balanced<S> {
    /// Balances, and nothing else.
    pub fn new(balancer: Arc<Balancer>, clock: Arc<dyn Clock>) -> Self {
        Self::with(balancer, clock, Parts::default())
    }
}

impl<S, T> Balanced<S, T> {
    /// Balances, with `parts`. Backends are to be added here, not to `balancer`.
    pub fn with(balancer: Arc<Balancer>, clock: Arc<dyn Clock>, parts: Parts<T>) -> Self {
        let Parts { admission, alerts, sessions, traffic } = parts;
        let services = RwLock::default();
        let late = balancer.is_late();
        let shared =
            Shared { balancer, services, admission, alerts, sessions, clock, traffic, late };
        Self { shared: Arc::new(shared) }
    }

    /// The balancer.
    pub fn balancer(&self) -> &Arc<Balancer> {
        &self.shared.balancer
    }

    /// Adds a backend, or exchanges its service. False when there is no room for more.
    pub fn add(&self, id: ReplicaId, config: BackendConfig, service: S) -> bool {
        // Before it can be chosen.
        let before = self.shared.services.write().insert(id, service);
        let added = self.shared.balancer.add(id, config);
        if !added && before.is_none() {
            self.shared.services.write().remove(&id);
        }
        added
    }

    /// Sends a backend nothing more, but keeps it. False when there is none such.
    pub fn drain(&self, id: ReplicaId) -> bool {
        self.shared.balancer.drain(id)
    }

    /// Removes a backend; what it has begun it ends. False when there is none such.
    pub fn remove(&self, id: ReplicaId) -> bool {
        let removed = self.shared.balancer.remove(id);
        self.shared.services.write().remove(&id);
        if let Some(sessions) = &self.shared.sessions {
            sessions.forget(id);
        }
        removed
    }
}

impl<S: Clone, T> Shared<S, T> {
    /// Waits for a permit and a slot. Who is let in just when a backend leaves rotation finds none:
    /// it waits again, behind a limit that has followed.
    async fn queued<E>(
        &self,
        admission: &Arc<Admission>,
        demand: &Demand,
        work: &Work,
    ) -> Result<(Permit<Arc<Admission>>, Dispatch<Arc<Balancer>>, Timestamp), Error<E>> {
        loop {
            let admitted = Arc::clone(admission).admit_owned(demand.clone()).await;
            let permit = admitted.map_err(|refused| Error::Refused(Box::new(refused)))?;
            let sent = self.clock.now();
            match self.balancer.dispatch_owned(work, sent) {
                Ok(dispatch) => return Ok((permit, dispatch, sent)),
                Err(DispatchError::Full { .. }) => self.follow(admission),
                Err(error) => return Err(Error::Unavailable(error)),
            }
            drop(permit);
            // Nobody goes round and round in one poll.
            yield_once().await;
        }
    }

    /// Lets in as many as there are slots in rotation.
    fn follow(&self, admission: &Admission) {
        let slots = self.balancer.open_slots();
        if self.late && slots > 0 && slots != admission.ceiling() {
            admission.set_limit(slots);
        }
    }

    async fn answer<Request>(
        self: Arc<Self>,
        request: Request,
    ) -> Result<S::Response, Error<S::Error>>
    where
        S: Service<Request>,
        T: Traffic<Request, S::Response>,
    {
        let mut work = self.traffic.work(&request);
        if let Some(sessions) = &self.sessions {
            work = sessions.work(work);
        }
        let (_permit, dispatch, sent) = if let Some(admission) = &self.admission {
            let demand = self.traffic.demand(&request);
            let (permit, dispatch, sent) = self.queued(admission, &demand, &work).await?;
            (Some(permit), dispatch, sent)
        } else {
            let sent = self.clock.now();
            let dispatched = self.balancer.dispatch_owned(&work, sent);
            (None, dispatched.map_err(Error::Unavailable)?, sent)
        };
        let service = self.services.read().get(&dispatch.replica()).cloned();
        // Removed between the two: like having none.
        let service = service.ok_or(Error::Unavailable(DispatchError::NoBackends))?;
        let answered = ready_and_call(service, request).await;
        let well = answered.as_ref().is_ok_and(|response| self.traffic.well(response));
        let now = self.clock.now();
        if let Some(alerts) = &self.alerts {
            alerts.record(now.saturating_since(sent), well);
        }
        if well {
            if let Some(sessions) = &self.sessions {
                sessions.served(&work, dispatch.replica());
            }
            dispatch.succeed(now);
        } else {
            dispatch.fail(now);
        }
        if let Some(admission) = &self.admission {
            if well && let Some(expected) = work.expected {
                admission.observe(expected, now.saturating_since(sent));
            }
            self.follow(admission);
        }
        answered.map_err(Error::Service)
    }
}

impl<S, T, Request> Service<Request> for Balanced<S, T>
where
    S: Portable<Request> + Sync,
    Request: Send + 'static,
    T: Traffic<Request, S::Response>,
{
    type Response = S::Response;
    type Error = Error<S::Error>;
    type Future = Answer<S::Response, S::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        Box::pin(Arc::clone(&self.shared).answer(request))
    }
}

//! The contenders of the benches of balancing: services that answer at once behind tower's p2c, and
//! backends of pingora.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use plimsoll_core_types::ReplicaId;
use plimsoll_load::{BackendConfig, Balancer, BalancerConfig};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};

/// A balancer of so many backends of four slots.
///
/// # Panics
///
/// When there is no room for them.
pub fn balancer(backends: usize) -> Balancer {
    let balancer = Balancer::new(BalancerConfig::default());
    for number in 0..backends {
        let config = BackendConfig { slots: 4, ..BackendConfig::default() };
        assert!(balancer.add(ReplicaId::new(number as u64), config), "there is room");
    }
    balancer
}

/// Answers at once.
#[derive(Clone, Copy, Debug)]
pub struct AtOnce;

impl Service<()> for AtOnce {
    type Response = ();
    type Error = Infallible;
    type Future = Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, (): ()) -> Self::Future {
        ready(Ok(()))
    }
}

/// tower's p2c over services of one kind.
pub type P2c<S> = Balance<ServiceList<Vec<S>>, ()>;

/// p2c by requests in progress.
pub fn pending(backends: usize) -> P2c<PendingRequests<AtOnce>> {
    let service = || PendingRequests::new(AtOnce, CompleteOnResponse::default());
    Balance::new(ServiceList::new((0..backends).map(|_| service()).collect()))
}

/// p2c by latency and requests in progress.
pub fn peak(backends: usize) -> P2c<PeakEwma<AtOnce>> {
    let decay = Duration::from_secs(10).as_nanos() as f64;
    let service =
        || PeakEwma::new(AtOnce, Duration::from_millis(30), decay, CompleteOnResponse::default());
    Balance::new(ServiceList::new((0..backends).map(|_| service()).collect()))
}

/// A whole call through `balance`, whose services answer at once.
///
/// # Panics
///
/// When they do not.
pub fn call<S>(balance: &mut P2c<S>)
where
    S: Service<(), Response = ()> + Load,
    S::Metric: std::fmt::Debug,
    S::Error: Into<tower::BoxError>,
{
    let mut context = Context::from_waker(Waker::noop());
    assert!(balance.poll_ready(&mut context).is_ready(), "all are ready");
    let answer = pin!(balance.call(()));
    assert!(black_box(answer.poll(&mut context)).is_ready(), "it answers at once");
}

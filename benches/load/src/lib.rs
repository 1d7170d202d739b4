//! The contenders of the benches of balancing: services that answer at once behind tower's p2c, and
//! backends of pingora.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use std::sync::atomic::{AtomicU64, Ordering};

use plimsoll_bench::criterion::BenchmarkGroup;
use plimsoll_bench::criterion::measurement::WallTime;
use plimsoll_bench::goal_times;
use plimsoll_core_types::ReplicaId;
use plimsoll_load::{BackendConfig, Balancer, BalancerConfig};
use tower::Service;
use tower::balance::p2c::Balance;
use tower::discover::ServiceList;
use tower::load::{CompleteOnResponse, Load, PeakEwma, PendingRequests};

/// What one exchange took on the machine of the goals, in nanoseconds: goals are given for that
/// machine, and exchanges, of which a lock or a permit is made, differ most between machines.
const EXCHANGE: f64 = 4.6;

/// The row named `row` should take as many exchanges as `nanos` are.
pub fn goal_nanos(row: &str, nanos: f64) {
    goal_times(row, "compare-exchange", nanos / EXCHANGE);
}

/// One uncontended exchange, which the goal of [`goal_nanos`] is measured by.
pub fn exchange(group: &mut BenchmarkGroup<'_, WallTime>) {
    let word = AtomicU64::new(0);
    group.bench_function("compare-exchange", |b| {
        b.iter(|| {
            let word = black_box(&word);
            let seen = word.load(Ordering::Relaxed);
            word.compare_exchange(seen, seen + 1, Ordering::AcqRel, Ordering::Relaxed)
        });
    });
}

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

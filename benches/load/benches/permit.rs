//! A permit is taken and given back, beside the semaphores and limits that do the same.

use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use congestion_limiter::limiter::{DefaultLimiter, Limiter, Outcome};
use congestion_limiter::limits::{Aimd, Fixed, Vegas};
use plimsoll_bench::{OWN, criterion};
use plimsoll_bench_load::{exchange, goal_nanos};
use plimsoll_core_types::SystemClock;
use plimsoll_load::{Admission, AdmissionConfig};
use tokio::sync::Semaphore;
use tower::limit::ConcurrencyLimit;
use tower::{Service, service_fn};

const LIMIT: usize = 256;

/// The value of a future that is ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("a permit is free"),
    }
}

fn main() {
    const ROW: &str = "load.permit";
    let mut criterion = criterion();
    // 1.3 exchanges; taking and giving back are two, whatever is done besides.
    goal_nanos(ROW, 6.0);
    let mut group = criterion.benchmark_group(ROW);

    let config = AdmissionConfig { limit: LIMIT, ..AdmissionConfig::default() };
    let admission = Admission::new(config, Arc::new(SystemClock::new()));
    group.bench_function(OWN, |b| b.iter(|| drop(black_box(admission.try_admit()))));

    let semaphore = Semaphore::new(LIMIT);
    group.bench_function("tokio-semaphore", |b| {
        b.iter(|| drop(black_box(semaphore.try_acquire())));
    });

    let mut limited = ConcurrencyLimit::new(
        service_fn(|(): ()| std::future::ready(Ok::<_, std::convert::Infallible>(()))),
        LIMIT,
    );
    group.bench_function("tower-concurrency-limit", |b| {
        b.iter(|| {
            let mut context = Context::from_waker(Waker::noop());
            assert!(limited.poll_ready(&mut context).is_ready());
            drop(black_box(limited.call(())));
        });
    });

    macro_rules! congestion {
        ($name:literal, $limit:expr) => {
            let limiter = DefaultLimiter::new($limit);
            group.bench_function($name, |b| {
                b.iter(|| {
                    let token = at_once(limiter.try_acquire()).expect("a token is free");
                    at_once(limiter.release(black_box(token), Some(Outcome::Success)))
                });
            });
        };
    }
    congestion!("congestion-limiter-fixed", Fixed::new(LIMIT));
    congestion!("congestion-limiter-aimd", Aimd::new_with_initial_limit(LIMIT));
    congestion!("congestion-limiter-vegas", Vegas::new_with_initial_limit(LIMIT));
    exchange(&mut group);
    group.finish();
    criterion.final_summary();
}

//! Admission and balancing in a tower stack.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use plimsoll_core_types::{Clock, Reason, ReplicaId, Timestamp};
use plimsoll_load::tower::{AdmissionLayer, Balanced, Error, Parts, Plain, Traffic};
use plimsoll_load::{
    Admission, AdmissionConfig, BackendConfig, Balancer, BalancerConfig, Binding, DispatchError,
    Sessions, Standing, Work,
};
use tower_layer::Layer as _;
use tower_service::Service;

/// Answers with its own number, after a while; a negative request fails.
#[derive(Clone, Debug)]
struct Echo(u64, Duration);

impl Service<i32> for Echo {
    type Response = (u64, i32);
    type Error = &'static str;
    type Future = Pin<Box<dyn Future<Output = Result<(u64, i32), &'static str>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: i32) -> Self::Future {
        let (id, takes) = (self.0, self.1);
        Box::pin(async move {
            tokio::time::sleep(takes).await;
            if request < 0 { Err("negative") } else { Ok((id, request)) }
        })
    }
}

/// The runtime's time, which is virtual where it is paused.
#[derive(Debug)]
struct Runtime(tokio::time::Instant);

impl Clock for Runtime {
    fn now(&self) -> Timestamp {
        Timestamp::ZERO + self.0.elapsed()
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(Runtime(tokio::time::Instant::now()))
}

fn admission(limit: usize, max_waiting: usize) -> Arc<Admission> {
    let config = AdmissionConfig { limit, max_waiting, ..AdmissionConfig::default() };
    Arc::new(Admission::new(config, clock()))
}

fn balanced<T>(backends: u64, slots: usize, parts: Parts<T>) -> Balanced<Echo, T> {
    let config = BalancerConfig { binding: Binding::Late, ..BalancerConfig::default() };
    let balanced = Balanced::with(Arc::new(Balancer::new(config)), clock(), parts);
    for id in 0..backends {
        let config = BackendConfig { slots, ..BackendConfig::default() };
        assert!(balanced.add(ReplicaId::new(id), config, Echo(id, Duration::from_millis(50))));
    }
    balanced
}

#[tokio::test(start_paused = true)]
async fn requests_are_spread_queued_and_shed() {
    let admission = admission(4, 3);
    let parts = Parts { admission: Some(Arc::clone(&admission)), ..Parts::<Plain>::default() };
    let balanced = balanced(2, 2, parts);
    let calls: Vec<_> = (0..10)
        .map(|request| {
            let mut handle = balanced.clone();
            tokio::spawn(async move { handle.call(request).await })
        })
        .collect();
    let (mut by, mut refused) = ([0; 2], 0);
    for call in calls {
        match call.await.unwrap() {
            Ok((id, _)) => by[id as usize] += 1,
            Err(Error::Refused(why)) => {
                assert!(matches!(why.reason, Reason::Overload { .. }), "{why}");
                refused += 1;
            }
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(by.iter().sum::<i32>(), 7, "four at once, and three that waited");
    assert!(by.iter().all(|served| *served >= 3), "{by:?}");
    assert_eq!(refused, 3);
    assert_eq!((admission.in_progress(), balanced.balancer().in_progress()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn failures_eject_and_a_cancelled_call_leaves_nothing_behind() {
    let mut balanced = balanced(2, 4, Parts::<Plain>::default());
    for _ in 0..12 {
        let failed = balanced.call(-1).await.unwrap_err();
        assert!(matches!(failed, Error::Service("negative")), "{failed}");
    }
    let standings: Vec<_> =
        balanced.balancer().backends().into_iter().map(|backend| backend.standing).collect();
    let out = standings.iter().filter(|standing| **standing != Standing::Open).count();
    assert_eq!(out, 1, "one always stays: {standings:?}");
    let call = tokio::spawn(balanced.call(1));
    tokio::task::yield_now().await;
    assert_eq!(balanced.balancer().in_progress(), 1);
    call.abort();
    assert!(call.await.unwrap_err().is_cancelled());
    assert_eq!(balanced.balancer().in_progress(), 0);
}

#[tokio::test(start_paused = true)]
async fn nobody_there_is_said_so() {
    let mut balanced = balanced(1, 1, Parts::<Plain>::default());
    assert!(balanced.call(1).await.is_ok());
    assert!(balanced.remove(ReplicaId::new(0)) && !balanced.remove(ReplicaId::new(0)));
    let error = balanced.call(1).await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(DispatchError::NoBackends)), "{error}");
}

/// The request is the session's number.
struct ByKey;

impl Traffic<i32, (u64, i32)> for ByKey {
    fn work(&self, request: &i32) -> Work {
        Work::expecting(Duration::from_millis(50)).of_key(request.unsigned_abs().into())
    }
}

#[tokio::test(start_paused = true)]
async fn a_session_goes_back_to_where_it_was_served() {
    let sessions = Some(Sessions::new(100, Duration::from_millis(40)));
    let parts = Parts { sessions, admission: None, alerts: None, traffic: ByKey };
    let mut balanced = balanced(4, 2, parts);
    let mut first = Vec::new();
    for session in 0..8 {
        first.push(balanced.call(session).await.unwrap().0);
    }
    assert!(first.iter().any(|id| *id != first[0]), "{first:?}");
    for session in [3_i32, 1, 7, 5, 5, 3, 0, 2] {
        let again = balanced.call(session).await.unwrap().0;
        assert_eq!(again, first[session as usize], "{session}");
    }
}

#[derive(Clone)]
struct Adds;

impl Service<i32> for Adds {
    type Response = i32;
    type Error = std::convert::Infallible;
    type Future = Ready<Result<i32, std::convert::Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: i32) -> Self::Future {
        ready(Ok(request + 1))
    }
}

#[tokio::test]
async fn any_service_can_be_made_to_wait_its_turn() {
    let admission = admission(1, 0);
    let mut service = AdmissionLayer::new(Arc::clone(&admission)).layer(Adds);
    assert_eq!(service.call(1).await.unwrap(), 2);
    let held = admission.try_admit().unwrap();
    assert!(matches!(service.call(1).await, Err(Error::Refused(_))));
    drop(held);
    assert_eq!(service.call(2).await.unwrap(), 3);
}

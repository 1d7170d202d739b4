//! Every schedule of admission's hand-off against cancels, and of score writes against reads, by a
//! model checker.
//!
//! `RUSTFLAGS="--cfg loom" cargo test -p plimsoll-load --release --test loom`
#![cfg(loom)]

use std::pin::pin;
use std::task::{Context, Waker};

use loom::future::block_on;
use loom::sync::Arc;
use loom::thread;
use plimsoll_core_types::{ReplicaId, Timestamp};
use plimsoll_load::model::Model;
use plimsoll_load::{BackendConfig, Balancer, BalancerConfig, Dispatch, Work};

/// Tries every schedule of at most three preemptions, as loom's authors advise.
fn check(model: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(model);
}

/// All permits are back, nobody waits, and newcomers pass.
fn idle(model: &Model) {
    let admission = model.admission();
    assert_eq!((admission.in_progress(), admission.status().waiting), (0, 0));
    assert!(admission.try_admit().is_some());
}

/// Somebody else who waits for a permit and gives it back.
fn another(model: &Model) -> thread::JoinHandle<()> {
    let model = model.clone();
    thread::spawn(move || drop(block_on(model.admit()).expect("there is room")))
}

#[test]
fn whoever_waits_gets_the_permit_that_comes_back() {
    check(|| {
        let model = Model::new(1);
        let thread = another(&model);
        drop(block_on(model.admit()).expect("there is room"));
        thread.join().unwrap();
        idle(&model);
    });
}

#[test]
fn there_is_never_more_than_the_limit_at_once() {
    check(|| {
        let model = Model::new(1);
        let inside = Arc::new(loom::sync::atomic::AtomicUsize::new(0));
        let enter = |model: Model, inside: Arc<loom::sync::atomic::AtomicUsize>| {
            move || {
                let permit = block_on(model.admit()).expect("there is room");
                let before = inside.fetch_add(1, loom::sync::atomic::Ordering::Relaxed);
                assert_eq!(before, 0, "two at once");
                inside.fetch_sub(1, loom::sync::atomic::Ordering::Relaxed);
                drop(permit);
            }
        };
        let thread = thread::spawn(enter(model.clone(), Arc::clone(&inside)));
        enter(model.clone(), inside)();
        thread.join().unwrap();
        idle(&model);
    });
}

#[test]
fn a_permit_that_crosses_with_a_cancel_is_not_lost() {
    check(|| {
        let model = Model::new(1);
        let held = model.admission().try_admit().expect("it is free");
        let other = model.clone();
        let thread = thread::spawn(move || {
            let mut waiting = pin!(other.admit());
            let mut context = Context::from_waker(Waker::noop());
            // Either way it is dropped here, waiting or with its permit.
            let _ = waiting.as_mut().poll(&mut context);
        });
        drop(held);
        thread.join().unwrap();
        idle(&model);
    });
}

#[test]
fn whoever_is_behind_a_cancel_is_still_served() {
    check(|| {
        let model = Model::new(1);
        let held = model.admission().try_admit().expect("it is free");
        let mut first = Box::pin(model.admit());
        let mut context = Context::from_waker(Waker::noop());
        assert!(first.as_mut().poll(&mut context).is_pending());
        let second = another(&model);
        drop(held);
        drop(first);
        second.join().unwrap();
        idle(&model);
    });
}

#[test]
fn a_limit_that_grows_lets_in_who_waits() {
    check(|| {
        let model = Model::new(1);
        let held = model.admission().try_admit().expect("it is free");
        let thread = another(&model);
        model.admission().set_limit(2);
        thread.join().unwrap();
        drop(held);
        idle(&model);
    });
}

fn dispatch(balancer: &Balancer) -> Dispatch<&Balancer> {
    balancer.dispatch(&Work::default(), Timestamp::ZERO).expect("both are open")
}

fn balancer() -> Arc<Balancer> {
    let balancer = Balancer::new(BalancerConfig::default());
    for number in 0..2 {
        assert!(balancer.add(ReplicaId::new(number), BackendConfig::default()));
    }
    Arc::new(balancer)
}

#[test]
fn a_read_sees_a_backend_that_was_best_and_the_last_write_stays() {
    check(|| {
        let balancer = balancer();
        let other = Arc::clone(&balancer);
        let thread = thread::spawn(move || {
            drop(dispatch(&other));
            other.drain(ReplicaId::new(0));
        });
        let best = balancer.best().expect("one is always open");
        assert!(best.get() < 2);
        thread.join().unwrap();
        assert_eq!(balancer.best(), Some(ReplicaId::new(1)), "what was drained is best no more");
    });
}

#[test]
fn two_who_dispatch_at_once_are_both_counted_and_go_to_different_backends() {
    check(|| {
        let balancer = balancer();
        let other = Arc::clone(&balancer);
        let thread = thread::spawn(move || {
            let dispatch = dispatch(&other);
            let replica = dispatch.replica();
            // Still in progress when the other one looks.
            std::mem::forget(dispatch);
            replica
        });
        let mine = dispatch(&balancer);
        let theirs = thread.join().unwrap();
        assert_ne!(mine.replica(), theirs);
        assert_eq!(balancer.in_progress(), 2);
        drop(mine);
        assert_eq!(balancer.in_progress(), 1);
    });
}

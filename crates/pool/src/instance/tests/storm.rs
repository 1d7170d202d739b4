//! Random schedules of requests, cancels, panics and resizes.

use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Op {
    Ask(usize, Option<u64>),
    Poll(usize),
    Cancel(usize),
    Return(usize),
    Discard(usize),
    Detach(usize),
    Resize(usize),
    Fail(usize),
    Panic(usize),
    RecyclePanic,
    Unfit(usize),
    Run,
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let index = any::<usize>;
    prop_oneof![
        8 => (0..5usize, proptest::option::weighted(0.3, 1..20u64)).prop_map(|(p, w)| Op::Ask(p, w)),
        6 => index().prop_map(Op::Poll),
        2 => index().prop_map(Op::Cancel),
        6 => index().prop_map(Op::Return),
        1 => index().prop_map(Op::Discard),
        1 => index().prop_map(Op::Detach),
        2 => (1..6usize).prop_map(Op::Resize),
        1 => (0..3usize).prop_map(Op::Fail),
        1 => (0..2usize).prop_map(Op::Panic),
        1 => Just(Op::RecyclePanic),
        1 => (0..3usize).prop_map(Op::Unfit),
        5 => Just(Op::Run),
        1 => (0..10u64).prop_map(Op::Pass),
    ]
}

type Asking = Pin<Box<dyn Future<Output = Result<Lent<Objects>, GetError<&'static str>>>>>;

/// A pool, and everybody who wants something of it.
struct World {
    pool: Pool<Objects>,
    asking: Vec<Asking>,
    held: Vec<Lent<Objects>>,
    max: usize,
    /// The most that may exist: the present size, or what existed when it was shrunk.
    allowed: usize,
}

impl World {
    async fn apply(&mut self, op: &Op) {
        match *op {
            Op::Ask(priority, within) => {
                let (pool, priority) = (self.pool.clone(), Priority::ALL[priority]);
                let within = within.map(Duration::from_secs);
                self.asking
                    .push(Box::pin(async move { pool.get_with(Ask { priority, within }).await }));
            }
            Op::Poll(index) if !self.asking.is_empty() => {
                self.poll(index % self.asking.len());
            }
            Op::Cancel(index) if !self.asking.is_empty() => {
                drop(self.asking.swap_remove(index % self.asking.len()));
            }
            Op::Return(index) => drop(self.take(index)),
            Op::Discard(index) => {
                if let Some(lent) = self.take(index) {
                    lent.discard();
                }
            }
            Op::Detach(index) => {
                if let Some(lent) = self.take(index) {
                    drop(lent.detach());
                }
            }
            Op::Resize(size) => {
                self.allowed = self.pool.status().size.max(size);
                self.max = size;
                self.pool.resize(size);
            }
            Op::Fail(count) => self.pool.manager().fail.store(count, Ordering::SeqCst),
            Op::Panic(count) => self.pool.manager().panic.store(count, Ordering::SeqCst),
            Op::RecyclePanic => self.pool.manager().recycle_panic.store(1, Ordering::SeqCst),
            Op::Unfit(count) => self.pool.manager().unfit.store(count, Ordering::SeqCst),
            Op::Run => run().await,
            Op::Pass(seconds) => tokio::time::advance(Duration::from_secs(seconds)).await,
            Op::Poll(_) | Op::Cancel(_) => {}
        }
        self.check();
    }

    fn take(&mut self, index: usize) -> Option<Lent<Objects>> {
        (!self.held.is_empty()).then(|| self.held.swap_remove(index % self.held.len()))
    }

    fn poll(&mut self, index: usize) {
        let asking = self.asking[index].as_mut();
        let context = &mut Context::from_waker(Waker::noop());
        let unwind = std::panic::AssertUnwindSafe(|| asking.poll(context));
        match std::panic::catch_unwind(unwind) {
            Ok(Poll::Pending) => return,
            Ok(Poll::Ready(Ok(lent))) => self.held.push(lent),
            Ok(Poll::Ready(Err(_))) | Err(_) => {}
        }
        drop(self.asking.swap_remove(index));
    }

    fn check(&mut self) {
        let status = self.pool.status();
        self.allowed = self.allowed.min(status.size.max(self.max));
        assert!(status.size <= self.allowed, "{status:?}, allowed {}", self.allowed);
        assert!(status.in_use() >= self.held.len(), "{status:?}, {} held", self.held.len());
        let alive = self.pool.manager().alive.load(Ordering::SeqCst);
        assert_eq!(alive, status.size - status.creating, "{status:?}");
        assert!(status.idle == 0 || status.waiting == 0, "{status:?}: idle while some wait");
    }

    /// Everybody gives back, and everybody who waits is told something.
    async fn wind_down(&mut self) {
        for counter in [&self.pool.manager().fail, &self.pool.manager().panic] {
            counter.store(0, Ordering::SeqCst);
        }
        let rounds = self.asking.len() + 10;
        for _ in 0..rounds {
            self.held.clear();
            run().await;
            for index in (0..self.asking.len()).rev() {
                self.poll(index);
            }
        }
        assert!(self.asking.is_empty(), "{} wait for ever: {:?}", self.asking.len(), self.pool);
        self.held.clear();
        run().await;
        let status = self.pool.status();
        assert_eq!((status.waiting, status.creating), (0, 0));
        assert_eq!(status.size, status.idle);
        assert!(status.size <= self.max, "{status:?}");
        self.pool.close();
        assert_eq!(self.pool.manager().alive.load(Ordering::SeqCst), 0);
    }
}

/// Lets the tasks that make objects get somewhere.
async fn run() {
    for _ in 0..8 {
        tokio::task::yield_now().await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: plimsoll_testkit::scale(200) as u32,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_lost_and_nobody_is_forgotten(
        ops in proptest::collection::vec(op(), 1..120),
        max_creating in prop_oneof![Just(1), Just(usize::MAX)],
        max_bypass in 0..4u32,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time().start_paused(true).build().unwrap();
        runtime.block_on(async {
            let config = PoolConfig { max_bypass, max_creating, ..PoolConfig::new(3) };
            let pool = Pool::new(Objects::default(), config).unwrap();
            let mut world =
                World { pool, asking: Vec::new(), held: Vec::new(), max: 3, allowed: 3 };
            for op in &ops {
                world.apply(op).await;
            }
            world.wind_down().await;
        });
    }
}

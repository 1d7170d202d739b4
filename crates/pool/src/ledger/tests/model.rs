//! Random schedules against a model that only adds up.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::{
    Bytes, LeaseId, Millicores, Priority, ResourceStatus, ResourceVector, TicketId, Timestamp,
};
use proptest::prelude::*;

use super::{Event, Ledger, LedgerConfig, Outcome, ask, name};

#[derive(Clone, Debug)]
enum Op {
    Request { mib: u64, cpu: u64, priority: usize, deadline: Option<u64>, ttl: Option<u64> },
    Cancel(usize),
    Release(usize),
    Resize(usize, u64, u64),
    Renew(usize),
    Reclaim(usize, bool),
    Preempt(usize, bool, u64),
    SetLimit(u64, u64),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let sometimes = |most| proptest::option::weighted(0.2, 1..most);
    prop_oneof![
        6 => (1..60u64, 0..4u64, 0..5usize, sometimes(50u64), sometimes(80u64)).prop_map(
            |(mib, cpu, priority, deadline, ttl)| Op::Request { mib, cpu, priority, deadline, ttl }
        ),
        2 => any::<usize>().prop_map(Op::Cancel),
        5 => any::<usize>().prop_map(Op::Release),
        2 => (any::<usize>(), 0..80u64, 0..5u64).prop_map(|(i, m, c)| Op::Resize(i, m, c)),
        1 => any::<usize>().prop_map(Op::Renew),
        2 => (any::<usize>(), any::<bool>()).prop_map(|(i, b)| Op::Reclaim(i, b)),
        1 => (any::<usize>(), any::<bool>(), 1..20u64)
            .prop_map(|(i, b, grace)| Op::Preempt(i, b, grace)),
        1 => (30..120u64, 1..6u64).prop_map(|(m, c)| Op::SetLimit(m, c)),
        2 => (0..30u64).prop_map(Op::Pass),
    ]
}

/// What must be true, kept by adding up alone.
struct Model {
    ledger: Ledger,
    now: Timestamp,
    leases: BTreeMap<LeaseId, ResourceVector>,
    waiting: BTreeMap<TicketId, ResourceVector>,
    asked: u64,
    /// The limit was set below what was promised, in which dimensions nothing may be granted.
    debt: bool,
    /// What the ledger told last.
    told: ResourceStatus,
}

fn amount(mib: u64, cpu: u64) -> ResourceVector {
    ResourceVector::new().with_memory(Bytes::from_mib(mib)).with_cpu(Millicores::from_cores(cpu))
}

fn pick<K: Copy, V>(map: &BTreeMap<K, V>, index: usize) -> Option<K> {
    map.keys().nth(index % map.len().max(1)).copied()
}

impl Model {
    fn new(config: LedgerConfig) -> Self {
        let ledger = Ledger::new(amount(100, 5), config).unwrap();
        let (leases, waiting) = (BTreeMap::new(), BTreeMap::new());
        let told = ledger.status(Timestamp::ZERO);
        Self { ledger, now: Timestamp::ZERO, leases, waiting, asked: 0, debt: false, told }
    }

    fn apply(&mut self, op: &Op) {
        let now = self.now;
        match *op {
            Op::Request { mib, cpu, priority, deadline, ttl } => {
                self.request(mib, cpu, priority, deadline, ttl);
            }
            Op::Cancel(index) => {
                if let Some(ticket) = pick(&self.waiting, index) {
                    assert!(self.ledger.cancel(ticket, now), "whoever waits can leave");
                    self.waiting.remove(&ticket);
                }
            }
            Op::Release(index) => {
                if let Some(lease) = pick(&self.leases, index) {
                    let _ = self.ledger.release(lease, now);
                    self.leases.remove(&lease);
                    assert!(self.ledger.release(lease, now).is_err(), "nothing comes back twice");
                }
            }
            Op::Resize(index, mib, cpu) => {
                if let Some(lease) = pick(&self.leases, index)
                    && self.ledger.resize(lease, &amount(mib, cpu), now).is_ok()
                {
                    self.leases.insert(lease, amount(mib, cpu));
                }
            }
            Op::Renew(index) => {
                if let Some(lease) = pick(&self.leases, index) {
                    let _ = self.ledger.renew(lease, Duration::from_secs(9), now);
                }
            }
            Op::Reclaim(index, for_somebody) => {
                if let Some(lease) = pick(&self.leases, index) {
                    let _ = self.ledger.begin_reclaim(lease, for_somebody.then(|| name("a")), now);
                }
            }
            Op::Preempt(index, for_somebody, grace) => {
                if let Some(lease) = pick(&self.leases, index) {
                    let (to, grace) = (for_somebody.then(|| name("b")), Duration::from_secs(grace));
                    let _ = self.ledger.preempt(lease, to, grace, now);
                }
            }
            Op::SetLimit(mib, cpu) => self.ledger.set_limit(amount(mib, cpu), now),
            Op::Pass(seconds) => {
                self.now += Duration::from_secs(seconds);
                self.ledger.expire(self.now);
            }
        }
        self.settle();
        self.check();
    }

    fn request(
        &mut self,
        mib: u64,
        cpu: u64,
        priority: usize,
        deadline: Option<u64>,
        ttl: Option<u64>,
    ) {
        let asked = amount(mib, cpu);
        let consumer = if self.asked.is_multiple_of(2) { "a" } else { "b" };
        let mut request = ask(consumer, asked).with_priority(Priority::ALL[priority]);
        if let Some(seconds) = deadline {
            request = request.with_deadline(self.now + Duration::from_secs(seconds));
        }
        if let Some(seconds) = ttl {
            request = request.with_ttl(Duration::from_secs(seconds));
        }
        self.asked += 1;
        let never = !asked.fits_in(self.ledger.limit());
        match self.ledger.request(request, self.now) {
            Ok(Outcome::Granted(lease)) => assert!(self.leases.insert(lease, asked).is_none()),
            Ok(Outcome::Waits(ticket)) => assert!(self.waiting.insert(ticket, asked).is_none()),
            Err(error) => assert!(never, "refused though it can fit: {error}"),
        }
    }

    fn settle(&mut self) {
        while let Some(event) = self.ledger.poll_event() {
            match event {
                Event::Granted { ticket, lease, amount, .. } => {
                    assert_eq!(self.waiting.remove(&ticket), Some(amount));
                    assert!(self.leases.insert(lease, amount).is_none());
                }
                Event::Refused { ticket, .. } => assert!(self.waiting.remove(&ticket).is_some()),
                Event::Expired { lease, .. } | Event::Revoked { lease, .. } => {
                    self.leases.remove(&lease);
                }
                Event::Asked { .. } => {}
            }
        }
    }

    fn check(&mut self) {
        let status = self.ledger.status(self.now);
        self.ledger.status_into(self.now, &mut self.told);
        assert_eq!(self.told, status, "told over what was told before");
        let sum =
            self.leases.values().fold(ResourceVector::ZERO, |sum, lease| sum.saturating_add(lease));
        assert_eq!(status.promised, sum, "promised is the sum of the leases");
        assert_eq!(status.waiters.len(), self.waiting.len());
        let over = !status.promised.fits_in(&status.limit);
        assert!(!over || self.debt || self.lowered(), "promised past the limit");
        self.debt = over;
    }

    /// Debt can only begin by lowering the limit, which leaves nobody room in that dimension.
    fn lowered(&self) -> bool {
        let status = self.ledger.status(self.now);
        let dimension = status.promised.first_exceeding(&status.limit).unwrap();
        status.available.get(dimension) == 0
    }

    /// Everybody gives back what it holds: everybody who waits is served in the end.
    fn wind_down(&mut self) {
        for _ in 0..1000 {
            self.now += Duration::from_secs(11);
            self.ledger.expire(self.now);
            self.settle();
            let Some(lease) = pick(&self.leases, 0) else {
                if self.waiting.is_empty() {
                    break;
                }
                continue;
            };
            let _ = self.ledger.release(lease, self.now);
            self.leases.remove(&lease);
            self.settle();
            self.check();
        }
        assert!(self.waiting.is_empty(), "{:?} wait for ever", self.waiting);
        let status = self.ledger.status(self.now);
        assert_eq!(status.promised, ResourceVector::ZERO);
        assert_eq!(status.reclaiming, ResourceVector::ZERO);
        assert_eq!(status.available, status.limit);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: plimsoll_testkit::scale(256) as u32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_lost_and_nothing_is_promised_twice(
        ops in proptest::collection::vec(op(), 1..120),
        max_bypass in 0..4u32,
        preempts in any::<bool>(),
    ) {
        let preempt = preempts.then(super::super::Preempt::default);
        let mut model = Model::new(LedgerConfig { max_bypass, preempt, ..LedgerConfig::default() });
        for op in &ops {
            model.apply(op);
        }
        model.wind_down();
    }

    #[test]
    fn nobody_is_passed_more_often_than_allowed(
        sizes in proptest::collection::vec((1..60u64, any::<usize>()), 1..150),
        max_bypass in 0..5u32,
    ) {
        let mut ledger = Ledger::new(amount(100, 1), LedgerConfig { max_bypass, ..LedgerConfig::default() }).unwrap();
        let mut leases = Vec::new();
        let mut passed: BTreeMap<TicketId, u32> = BTreeMap::new();
        for (mib, release) in sizes {
            let mut got = Vec::new();
            match ledger.request(ask("a", amount(mib, 0)), Timestamp::ZERO).unwrap() {
                Outcome::Granted(lease) => {
                    leases.push(lease);
                    got.push(None);
                }
                Outcome::Waits(ticket) => { passed.insert(ticket, 0); }
            }
            if release % 3 == 0 && !leases.is_empty() {
                let lease = leases.swap_remove(release % leases.len());
                ledger.release(lease, Timestamp::ZERO).unwrap();
            }
            while let Some(event) = ledger.poll_event() {
                let Event::Granted { ticket, lease, .. } = event else { panic!("{event:?}") };
                leases.push(lease);
                got.push(Some(ticket));
            }
            for ticket in got {
                if let Some(ticket) = ticket { passed.remove(&ticket); }
                for (_, count) in passed.iter_mut().filter(|(waiting, _)| ticket.is_none_or(|t| **waiting < t)) {
                    *count += 1;
                    prop_assert!(*count <= max_bypass, "passed {count} times, {max_bypass} allowed");
                }
            }
        }
    }
}

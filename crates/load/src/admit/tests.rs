use std::collections::BTreeMap;

use plimsoll_core_types::{ManualClock, Ratio};
use proptest::prelude::*;

use super::*;

struct Hall {
    admission: Admission,
    clock: Arc<ManualClock>,
    /// Those in the line, and until when.
    waiting: Vec<(Ticket, Timestamp)>,
    held: usize,
    refused: usize,
}

impl Hall {
    fn new(config: AdmissionConfig) -> Self {
        let clock = Arc::new(ManualClock::new());
        let admission = Admission::new(config, Arc::clone(&clock) as Arc<dyn Clock>);
        Self { admission, clock, waiting: Vec::new(), held: 0, refused: 0 }
    }

    fn enter(&mut self, demand: Demand) {
        match self.admission.enter(demand) {
            Ok(None) => self.held += 1,
            Ok(Some(waits)) => self.waiting.push(waits),
            Err(_) => self.refused += 1,
        }
    }

    fn give_back(&mut self) {
        if self.held > 0 {
            self.held -= 1;
            self.admission.give_back();
        }
    }

    fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        let now = self.clock.now();
        for (ticket, deadline) in &self.waiting {
            if *deadline <= now {
                self.admission.expire(*ticket);
            }
        }
    }

    /// Hears of whoever waits no longer.
    fn hear(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        for (ticket, deadline) in waiting {
            match self.admission.stand(ticket, Waker::noop()) {
                Poll::Pending => self.waiting.push((ticket, deadline)),
                Poll::Ready(Ok(())) => self.held += 1,
                Poll::Ready(Err(_)) => self.refused += 1,
            }
        }
    }
}

#[derive(Clone, Debug)]
enum Step {
    Enter(Priority, u8, Option<u64>),
    GiveBack,
    Cancel(usize),
    Pass(u64),
    Limit(usize),
}

fn step() -> impl Strategy<Value = Step> {
    let priority = prop::sample::select(vec![Priority::Low, Priority::Normal, Priority::High]);
    prop_oneof![
        10 => (priority, 0_u8..4, prop::option::of(0_u64..200)).prop_map(|(priority, tenant, deadline)| Step::Enter(priority, tenant, deadline)),
        6 => Just(Step::GiveBack),
        2 => any::<usize>().prop_map(Step::Cancel),
        3 => (0_u64..100).prop_map(Step::Pass),
        1 => (1_usize..8).prop_map(Step::Limit),
    ]
}

fn tenant(number: u8) -> TenantId {
    TenantId::new(&format!("t{number}")).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn permits_are_conserved_lines_bounded_and_nobody_is_forgotten(
        steps in prop::collection::vec(step(), 1..300),
        limit in 1_usize..6,
        max_waiting in 0_usize..12,
    ) {
        let config = AdmissionConfig { limit, max_waiting, ..AdmissionConfig::default() };
        let mut hall = Hall::new(config);
        let mut entered = 0;
        let (mut ended, mut cancelled) = (0, 0);
        for step in steps {
            match step {
                Step::Enter(priority, number, deadline) => {
                    let deadline = deadline.map(|millis| hall.clock.now() + Duration::from_millis(millis));
                    hall.enter(Demand { priority, tenant: tenant(number), deadline });
                    entered += 1;
                }
                Step::GiveBack => {
                    ended += usize::from(hall.held > 0);
                    hall.give_back();
                }
                Step::Cancel(index) if !hall.waiting.is_empty() => {
                    let index = index % hall.waiting.len();
                    let (ticket, _) = hall.waiting.swap_remove(index);
                    hall.admission.leave(ticket);
                    cancelled += 1;
                }
                Step::Cancel(_) => {}
                Step::Pass(millis) => hall.pass(Duration::from_millis(millis)),
                Step::Limit(limit) => hall.admission.set_limit(limit),
            }
            hall.hear();
            let status = hall.admission.status();
            prop_assert_eq!(status.in_progress, hall.held);
            prop_assert_eq!(status.waiting, hall.waiting.len());
            prop_assert!(status.waiting <= max_waiting);
            prop_assert!(status.waiting == 0 || status.in_progress >= status.limit, "{status:?}");
            prop_assert_eq!(entered, hall.held + hall.waiting.len() + hall.refused + ended + cancelled);
            let now = hall.clock.now();
            prop_assert!(hall.waiting.iter().all(|(_, deadline)| *deadline > now));
        }
        while hall.held > 0 {
            hall.give_back();
            hall.hear();
        }
        prop_assert_eq!((hall.admission.in_progress(), hall.admission.status().waiting), (0, 0));
        prop_assert!(hall.admission.try_admit().is_some(), "newcomers pass again");
    }

    #[test]
    fn tenants_are_served_by_their_weights_however_many_they_send(
        weights in prop::collection::vec(1_u32..6, 2..4),
        flood in 1_usize..20,
    ) {
        let shares = weights.iter().enumerate().map(|(number, weight)| {
            (tenant(number as u8), Ratio::saturating(f64::from(*weight)))
        });
        let weights_of = shares.collect();
        let config = AdmissionConfig { limit: 1, max_waiting: 1 << 14, weights: weights_of, ..AdmissionConfig::default() };
        let mut hall = Hall::new(config);
        hall.enter(Demand::default());
        let total: u32 = weights.iter().sum();
        let rounds = 10;
        let mut who = BTreeMap::new();
        for (number, weight) in weights.iter().enumerate() {
            // Everybody sends enough, the first one a flood.
            let count = (*weight * (rounds + 2)) as usize * if number == 0 { flood } else { 1 };
            for _ in 0..count {
                hall.enter(Demand { tenant: tenant(number as u8), ..Demand::default() });
                who.insert(hall.waiting.last().unwrap().0.index, number);
            }
        }
        let mut served = vec![0_u32; weights.len()];
        for _ in 0..rounds * total {
            let before: Vec<_> = hall.waiting.iter().map(|waits| waits.0.index).collect();
            hall.give_back();
            hall.hear();
            let after: Vec<_> = hall.waiting.iter().map(|waits| waits.0.index).collect();
            let gone = before.iter().find(|index| !after.contains(index)).unwrap();
            served[who[gone]] += 1;
        }
        for (number, weight) in weights.iter().enumerate() {
            let fair = weight * rounds;
            prop_assert!(served[number].abs_diff(fair) <= 1, "{served:?} by {weights:?}");
        }
    }
}

#[test]
fn a_flood_of_one_tenant_does_not_keep_others_out_of_the_line() {
    let config = AdmissionConfig { limit: 1, max_waiting: 10, ..AdmissionConfig::default() };
    let mut hall = Hall::new(config);
    let of = |number| Demand { tenant: tenant(number), ..Demand::default() };
    for _ in 0..50 {
        hall.enter(of(0));
    }
    assert_eq!((hall.waiting.len(), hall.refused), (10, 39));
    for _ in 0..50 {
        hall.enter(of(1));
        hall.hear();
    }
    // Half of the line each: five of the flood gave way, and of the others five came in.
    assert_eq!((hall.waiting.len(), hall.refused), (10, 89));
    hall.hear();
    let mut entered = 0;
    for _ in 0..20 {
        let before = hall.refused;
        hall.enter(of(0));
        hall.hear();
        entered += usize::from(hall.refused == before);
    }
    assert_eq!(entered, 0, "nobody has more than its half");
}

#[test]
fn a_retry_after_is_the_time_that_the_line_takes_to_drain() {
    let config = AdmissionConfig { limit: 2, max_waiting: 10, ..AdmissionConfig::default() };
    let mut hall = Hall::new(config);
    let patient = || Demand { priority: Priority::Normal, ..Demand::default() };
    for _ in 0..12 {
        hall.enter(patient());
    }
    // One permit comes back each 100 ms, and somebody comes for it.
    for _ in 0..8 {
        hall.pass(Duration::from_millis(100));
        hall.give_back();
        hall.hear();
        hall.enter(patient());
    }
    let refused = hall.admission.enter(Demand { priority: Priority::Low, ..Demand::default() });
    // Ten wait before it: eleven permits.
    assert_eq!(refused.unwrap_err().retry_after, Duration::from_millis(1100));
}

//! Components that fail, hang or dawdle are contained and remembered.
//!
//! A component is called on a thread of its own, so that one that never answers costs the loop one
//! wait and then nothing: the thread is left to it, the loop goes on with another, and the
//! component is asked again once its call has come back. One that panics or is slow time after
//! time is asked less often, by the same [`Breaker`] that guards anything else.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Clock, ComponentKind, ComponentStatus, Health, Timestamp};

use super::crew::{Calls, Came, Crew, End};
use crate::resilience::{Breaker, BreakerConfig, Permit};
use crate::telemetry;

/// Which component: its kind, and its number among several of the kind.
pub(super) type Part = (ComponentKind, usize);

/// How long a call may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// Longer than this is slow.
    pub(super) slow_after: Duration,
    /// Longer than this, and the loop goes on without.
    pub(super) hung_after: Duration,
    /// Whether calls are made on a thread of their own, without which a call that hangs can't be
    /// left behind.
    pub(super) isolate: bool,
}

/// How each component has done of late.
pub(super) struct Wards {
    parts: BTreeMap<Part, Ward>,
    crew: Crew,
    clock: Arc<dyn Clock>,
    patience: Patience,
}

struct Ward {
    health: Health,
    breaker: Breaker,
    hung: Option<Hung>,
}

struct Hung {
    since: Timestamp,
    has_come_back: Box<dyn Fn() -> bool + Send>,
}

impl Wards {
    pub(super) fn new(clock: Arc<dyn Clock>, patience: Patience) -> Self {
        let crew = Crew::new(Arc::clone(&clock), patience.isolate.then_some(patience.hung_after));
        Self { parts: BTreeMap::new(), crew, clock, patience }
    }

    fn ward(&mut self, part: Part) -> &mut Ward {
        self.parts.entry(part).or_insert_with(Ward::new)
    }

    /// Takes note that there is such a component.
    pub(super) fn admit(&mut self, kind: ComponentKind) {
        self.ward((kind, 0));
    }

    pub(super) fn set(&mut self, part: Part, health: Health) {
        self.ward(part).health = health;
    }

    /// What `call` answers. None where it panics or hangs, or has done so too often to be asked
    /// now: the safe static rule stands in, and the status says why.
    pub(super) fn ask<T: Send + 'static>(
        &mut self,
        part: Part,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let mut calls = Calls::default();
        let answer = calls.add(part, call);
        self.make(calls);
        answer.take()
    }

    /// Makes the calls, as [`Self::ask`] makes one; in their order, but for those of a component
    /// that hangs. There is an answer of each that came back without a panic.
    pub(super) fn make(&mut self, mut calls: Calls) {
        let start = self.clock.now();
        calls.retain(|call| !self.ward(call.part).is_hung(start));
        let Self { parts, crew, clock, patience } = self;
        let mut leaves = Vec::with_capacity(parts.len());
        calls.retain(|call| {
            let leave = parts.get(&call.part).and_then(|ward| ward.admit(call.part, start));
            let may = leave.is_some();
            leaves.extend(leave);
            may
        });
        if calls.is_empty() {
            return;
        }
        let asked: Vec<_> = calls.parts().collect();
        let ends = crew.make(calls);
        let now = clock.now();
        for (leave, end) in leaves.into_iter().zip(&ends) {
            leave.settle(end, patience.slow_after, now);
        }
        for (part, end) in asked.into_iter().zip(ends) {
            let patience = self.patience;
            self.ward(part).note(part, end, start, patience);
        }
    }

    /// How each kind is: as its worst component.
    pub(super) fn statuses(&self) -> Vec<ComponentStatus> {
        let mut kinds: BTreeMap<ComponentKind, &Health> = BTreeMap::new();
        for ((kind, _), ward) in &self.parts {
            let worst = kinds.entry(*kind).or_insert(&ward.health);
            if badness(&ward.health) > badness(worst) {
                *worst = &ward.health;
            }
        }
        let status =
            |(kind, health): (_, &Health)| ComponentStatus { kind, health: health.clone() };
        kinds.into_iter().map(status).collect()
    }

    /// How a component is.
    pub(super) fn health(&self, part: Part) -> Option<&Health> {
        self.parts.get(&part).map(|ward| &ward.health)
    }
}

fn slowness(took: Duration, allowed: Duration) -> Health {
    let (took, allowed) = (took.as_secs_f64(), allowed.as_secs_f64());
    Health::Degraded { why: format!("took {took:.3} s, more than {allowed} s") }
}

const fn badness(health: &Health) -> u8 {
    match health {
        Health::Healthy => 0,
        Health::Degraded { .. } => 1,
        Health::Failed { .. } => 2,
    }
}

/// To call a component.
enum Leave<'a> {
    Always,
    Given(Permit<'a>),
}

impl Leave<'_> {
    /// Tells the breaker what came of the call, where one is asked.
    fn settle(self, end: &End, slow_after: Duration, now: Timestamp) {
        match (self, end) {
            (Self::Always, _) | (_, End::Spared) => {}
            (Self::Given(permit), End::Came(came)) if came.is_well(slow_after) => permit.success(),
            (Self::Given(permit), _) => permit.failure(|| now),
        }
    }
}

impl Ward {
    fn new() -> Self {
        let config = BreakerConfig {
            failures_in_a_row: 3,
            probes: 1,
            open_at_most: Duration::from_secs(30),
            ..BreakerConfig::default()
        };
        let breaker = Breaker::new(config).expect("constants within their bounds");
        Self { health: Health::Healthy, breaker, hung: None }
    }

    /// Leave to call it; none where it is not asked now.
    fn admit(&self, part: Part, now: Timestamp) -> Option<Leave<'_>> {
        match part.0 {
            // Without pool and fleet there is no loop: they are asked whatever happened.
            ComponentKind::Pool | ComponentKind::Fleet => Some(Leave::Always),
            _ => self.breaker.admit(|| now).ok().map(Leave::Given),
        }
    }

    /// Takes note of what came of a call.
    fn note(&mut self, part: Part, end: End, start: Timestamp, patience: Patience) {
        self.health = match end {
            End::Came(Came { took, panic }) => {
                telemetry::component_took(part.0, took);
                match panic {
                    Some(why) => Health::Failed { why: format!("panicked: {why}") },
                    None if took > patience.slow_after => slowness(took, patience.slow_after),
                    None => Health::Healthy,
                }
            }
            End::Hangs(has_come_back) => {
                telemetry::component_took(part.0, patience.hung_after);
                self.hung = Some(Hung { since: start, has_come_back });
                let why = format!("no answer for {} s", patience.hung_after.as_secs_f64());
                Health::Failed { why }
            }
            End::NotMade(why) => Health::Failed { why },
            End::Spared => return,
        };
    }

    /// True while an earlier call has not come back.
    fn is_hung(&mut self, now: Timestamp) -> bool {
        let Some(hung) = &mut self.hung else { return false };
        if (hung.has_come_back)() {
            self.hung = None;
            return false;
        }
        let silent = now.saturating_since(hung.since).as_secs_f64();
        self.health = Health::Failed { why: format!("no answer for {silent:.1} s") };
        true
    }
}

impl fmt::Debug for Wards {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wards").field("statuses", &self.statuses()).finish_non_exhaustive()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use plimsoll_core_types::ManualClock;

    const CPU: Part = (ComponentKind::Cpu, 0);

    fn wards(isolate: bool) -> (Arc<ManualClock>, Wards) {
        let clock = Arc::new(ManualClock::new());
        let (slow_after, hung_after) = (Duration::from_millis(100), Duration::from_millis(20));
        let patience = Patience { slow_after, hung_after, isolate };
        (Arc::clone(&clock), Wards::new(clock, patience))
    }

    fn why(wards: &Wards) -> String {
        match wards.health(CPU) {
            Some(Health::Degraded { why } | Health::Failed { why }) => why.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_that_hangs_is_left_behind_and_asked_again_when_it_is_back() {
        let (clock, mut wards) = wards(true);
        let (release, held) = mpsc::channel::<()>();
        let hang = move || {
            // Until the other end is dropped.
            let _ = held.recv();
        };
        assert_eq!(wards.ask(CPU, hang), None);
        assert_eq!(why(&wards), "no answer for 0.02 s");
        clock.advance(Duration::from_secs(3));
        assert_eq!(wards.ask(CPU, || panic!("not asked while it hangs")), None::<()>);
        assert_eq!(why(&wards), "no answer for 3.0 s");
        let other = (ComponentKind::Memory, 0);
        assert_eq!(wards.ask(other, || 1), Some(1), "the others go on");
        drop(release);
        let back = (0..10_000).any(|_| {
            std::thread::yield_now();
            // On a busy machine it may seem to hang again, and is then let be for a while.
            clock.advance(Duration::from_mins(1));
            wards.ask(CPU, || 2) == Some(2)
        });
        assert!(back);
        assert_eq!(wards.health(CPU), Some(&Health::Healthy));
    }

    #[test]
    fn one_that_panics_or_dawdles_time_after_time_is_asked_less_often() {
        for isolate in [false, true] {
            let (clock, mut wards) = wards(isolate);
            let slow = Arc::clone(&clock);
            let dawdle = move || slow.advance(Duration::from_secs(2));
            assert_eq!(wards.ask(CPU, dawdle), Some(()), "late is better than never");
            assert_eq!(why(&wards), "took 2.000 s, more than 0.1 s");
            for _ in 0..2 {
                assert_eq!(wards.ask(CPU, || panic!("again")), None::<()>);
            }
            assert_eq!(why(&wards), "panicked: again");
            assert_eq!(wards.ask(CPU, || 1), None, "not asked for a while");
            clock.advance(Duration::from_secs(1));
            assert_eq!(wards.ask(CPU, || 1), Some(1));
            let statuses = wards.statuses();
            assert_eq!(statuses[0].health, Health::Healthy);
        }
    }
}

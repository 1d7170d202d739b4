//! Nothing swings: a world in virtual time, whatever happens in it, does as it is told.

use std::collections::BTreeMap;

use plimsoll_core_types::{
    CacheId, CachePolicy, CacheStrategy, Measure, ServiceLevel, ThreadAssignment, ThreadPlan,
};

use super::*;
use crate::config::{Degrading, Scaling, Shedding};
use crate::resilience::ScaleConfig;

const TICK: Duration = Duration::from_millis(250);

/// What happens in one tick: demand, memory and threads as some generator would have them.
#[derive(Clone, Debug)]
struct Happens {
    in_system: [usize; 3],
    peak: [u64; 3],
    threads: [u32; 3],
    others: u64,
    sieve: bool,
    pressure: u8,
    waits: Option<u8>,
    asked: [bool; 3],
}

fn happens() -> impl Strategy<Value = Happens> {
    let counts = prop::array::uniform3(0_usize..40);
    let peaks = prop::array::uniform3(60_u64..200);
    let threads = prop::array::uniform3(1_u32..4);
    let asked = prop::array::uniform3(any::<bool>());
    let rest = (0_u64..1200, any::<bool>(), 0_u8..4, prop::option::weighted(0.2, 0_u8..3));
    (counts, peaks, threads, asked, rest).prop_map(
        |(in_system, peak, threads, asked, (others, sieve, pressure, waits))| Happens {
            in_system,
            peak,
            threads,
            others,
            sieve,
            pressure,
            waits,
            asked,
        },
    )
}

struct World {
    now: Timestamp,
    engines: Vec<EngineSnapshot>,
    limit: ResourceVector,
    policy: CachePolicy,
    levels: BTreeMap<String, ServiceLevel>,
    /// Of each thing that can be set: what it was set to, and when.
    set: BTreeMap<(&'static str, String), Vec<(String, Timestamp)>>,
}

impl World {
    fn new() -> Self {
        let engines = ["a", "b", "c"].map(|name| resident(name, 150)).to_vec();
        let limit = ResourceVector::new().with_memory(BUDGET);
        let (levels, set) = (BTreeMap::new(), BTreeMap::new());
        Self { now: second(10.0), engines, limit, policy: CachePolicy::Lru, levels, set }
    }

    fn look(&mut self, happens: &Happens) -> SystemSnapshot {
        self.now += TICK;
        for (index, engine) in self.engines.iter_mut().enumerate() {
            let used = mib(happens.peak[index]);
            if engine.state == EngineState::Ready {
                (engine.used, engine.peak) = (used, used.max(&engine.peak));
                engine.in_progress = happens.in_system[index].min(engine.slots);
                engine.waiting = happens.in_system[index] - engine.in_progress;
            }
            engine.arrivals += u64::from(happens.asked[index]) * 7;
            engine.believed = used;
        }
        let mut seen = snapshot(self.now, self.engines.clone());
        seen.pool.limit = self.limit;
        seen.pool.available = self.limit.saturating_sub(&seen.pool.promised);
        seen.used = mib(3000 + happens.others);
        seen.pressure = [PressureLevel::Calm, PressureLevel::High, PressureLevel::Critical]
            [usize::from(happens.pressure % 3)];
        if let Some(who) = happens.waits {
            let name = ["a", "b", "c"][usize::from(who)];
            seen = waits(seen, name, 100, self.now.saturating_sub(Duration::from_secs(1)));
        }
        seen.threads = Some(ThreadPlan {
            cores: Millicores::from_cores(4),
            assignments: self.assignments(happens),
        });
        let wanted = if happens.sieve { CachePolicy::Sieve } else { CachePolicy::Lru };
        seen.strategies = (wanted != self.policy).then(|| strategy(wanted)).into_iter().collect();
        let names = ["a", "b", "c"].into_iter().zip(happens.asked);
        seen.forecasts =
            names.filter(|(_, asked)| *asked).map(|(n, _)| forecast(n, 50.0, self.now)).collect();
        seen
    }

    fn assignments(&self, happens: &Happens) -> Vec<ThreadAssignment> {
        let engines = self.engines.iter().zip(happens.threads);
        engines.map(|(engine, threads)| assignment(engine, threads)).collect()
    }

    /// Does as it is told. A change back to what was before within the cool-down is the failure
    /// that is looked for.
    fn apply(&mut self, planned: &PlannedAction, cool_down: Duration) -> Result<(), TestCaseError> {
        let subject = planned.action.subject().to_owned();
        let engine = self.engines.iter_mut().find(|e| e.model.as_str() == subject);
        let (what, value, safe) = match (&planned.action, engine) {
            (Action::SetLimit { limit }, _) => {
                self.limit = *limit;
                ("limit", limit.to_string(), false)
            }
            (Action::ResizeLease { to, .. }, Some(engine)) => {
                let grows = !to.fits_in(&engine.promised);
                engine.promised = *to;
                ("lease", to.to_string(), grows)
            }
            (Action::SetThreads { threads, .. }, _) => {
                let engine = self.engines.iter_mut().find(|e| e.model.as_str() == subject);
                engine.unwrap().threads = *threads;
                ("threads", threads.to_string(), false)
            }
            (Action::Retune { strategy }, _) => {
                self.policy = strategy.policy;
                ("policy", strategy.policy.to_string(), false)
            }
            (Action::Degrade { to, .. }, _) => {
                let before = self.levels.insert(subject.clone(), to.clone());
                ("level", to.to_string(), *to > before.unwrap_or(ServiceLevel::Full))
            }
            (Action::Shed { below }, _) => ("refused", format!("{below:?}"), false),
            (Action::Scale { replicas, .. }, Some(engine)) => {
                engine.slots = 4 * *replicas as usize;
                ("replicas", replicas.to_string(), false)
            }
            (Action::Evict { .. }, Some(engine)) => {
                // The replicas went with it: the next ones are counted from none.
                self.set.remove(&("replicas", subject.clone()));
                *engine = EngineSnapshot { arrivals: engine.arrivals, ..stopped(&subject, 150) };
                ("residence", "gone".to_owned(), false)
            }
            (Action::Prewarm { .. }, Some(engine)) => {
                let ready_since = Some(self.now);
                *engine = EngineSnapshot {
                    arrivals: engine.arrivals,
                    ready_since,
                    ..resident(&subject, 150)
                };
                ("residence", "there".to_owned(), false)
            }
            other => panic!("{other:?}"),
        };
        let history = self.set.entry((what, subject.clone())).or_default();
        let back = history.len() >= 2 && history[history.len() - 2].0 == value;
        if let (true, Some((between, since))) = (back && !safe, history.last()) {
            let after = self.now.saturating_since(*since);
            prop_assert!(
                after >= cool_down,
                "{what} of {subject} went to {value}, {between} and back within {after:?}: {planned:?}"
            );
        }
        history.push((value, self.now));
        Ok(())
    }
}

fn strategy(policy: CachePolicy) -> CacheStrategy {
    CacheStrategy {
        cache: CacheId::new("answers").unwrap(),
        policy,
        capacity: 100,
        time_to_live: None,
        expected: plimsoll_core_types::Ratio::saturating(0.6),
        current: plimsoll_core_types::Ratio::saturating(0.5),
        reason: Reason::Requested,
    }
}

fn swinging() -> PlanConfig {
    let scale =
        ScaleConfig { most: 4, down_after: Duration::from_secs(3), ..ScaleConfig::default() };
    PlanConfig {
        degrading: Some(Degrading { leave_after: Duration::from_secs(2), ..Degrading::default() }),
        shedding: Some(Shedding {
            enter_after: Duration::from_secs(1),
            leave_after: Duration::from_secs(2),
        }),
        scaling: Some(Scaling { scale, slots: 4 }),
        ..PlanConfig::new(mib(512))
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Whatever happens: nothing that was set is set back within the cool-down, but for what
    /// protects: a lease that its engine has outgrown, and a level that strain lowers again (the
    /// ladder then waits longer before it rises).
    #[test]
    fn nothing_swings(story in prop::collection::vec(happens(), 20..120)) {
        let config = swinging();
        let cool_down = config.cool_down;
        let mut planner = Planner::new(config).unwrap();
        let mut world = World::new();
        for happens in &story {
            let seen = world.look(happens);
            for planned in planner.plan(&seen) {
                world.apply(&planned, cool_down)?;
            }
        }
    }
}

/// The story above is only worth something where things happen in it.
#[test]
fn the_world_above_sees_every_kind_of_action() {
    let mut planner = Planner::new(swinging()).unwrap();
    let mut world = World::new();
    let mut kinds = std::collections::BTreeSet::new();
    for tick in 0..400_usize {
        let wave = tick / 40 % 2 == 0;
        let happens = Happens {
            in_system: if wave { [60, 0, 0] } else { [0, 0, 0] },
            peak: if wave { [70, 70, 70] } else { [160, 70, 70] },
            threads: if wave { [1, 1, 1] } else { [3, 2, 1] },
            others: if wave { 0 } else { 900 },
            sieve: wave,
            pressure: 0,
            waits: (tick % 40 > 30).then_some(1),
            asked: [tick % 8 == 0, true, !wave],
        };
        let seen = world.look(&happens);
        for planned in planner.plan(&seen) {
            kinds.insert(planned.action.kind());
            world.apply(&planned, Duration::from_secs(2)).unwrap();
        }
    }
    let expected = [
        "degrade",
        "evict",
        "prewarm",
        "resize_lease",
        "retune",
        "scale",
        "set_limit",
        "set_threads",
        "shed",
    ];
    assert!(kinds.iter().eq(expected.iter()), "{kinds:?}");
    assert!(planner.verdicts().judged() > 0);
    assert_eq!(Measure::Queued.name(), "queued");
    assert_eq!(ServiceLevel::default(), ServiceLevel::Full);
}

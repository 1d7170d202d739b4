//! Who gives way to those that wait.

use std::time::Duration;

use plimsoll_cache::residency::{self, Candidate, ResidencyConfig};
use plimsoll_core_types::{
    Action, Bytes, ConsumerId, DeviceIndex, EngineSnapshot, GiveUp, Priority, Ratio, Reason,
    ResourceVector, WaiterStatus,
};

use super::Planner;
use super::draft::Draft;

/// More regrets in a row than this protect no longer: whoever waits must be helped some day.
const MOST_REGRETS: u32 = 2;

/// A set of models that would give way.
pub(super) struct Victims<'a> {
    pub(super) engines: Vec<(&'a EngineSnapshot, Ratio)>,
}

impl Victims<'_> {
    /// Seconds of loading that giving them up is expected to cost.
    pub(super) fn expected_cost(&self) -> f64 {
        let cost = |(engine, need): &(&EngineSnapshot, Ratio)| {
            need.min_one().get() * engine.load_time.as_secs_f64()
        };
        self.engines.iter().map(cost).sum()
    }
}

impl Planner {
    /// Makes room for each waiter in its turn. A waiter that can't be helped yet holds up nobody
    /// behind it. Best-effort waiters get only what is free, or what was planned with them.
    pub(super) fn plan_evictions(&mut self, draft: &mut Draft<'_>) {
        let snapshot = draft.snapshot;
        for waiter in snapshot.pool.waiters.iter().filter(|w| w.priority > Priority::BestEffort) {
            if !waiter.amount.fits_in(&draft.free) {
                let impatient = self.out_of_patience(waiter, draft);
                let lacking = waiter.amount.saturating_sub(&draft.free);
                let Some(victims) = self.victims(draft, &lacking, impatient) else { continue };
                self.evict(draft, &victims, &waiter.consumer);
            }
            draft.take(&waiter.amount);
        }
    }

    fn out_of_patience(&self, waiter: &WaiterStatus, draft: &Draft<'_>) -> bool {
        draft.snapshot.at.saturating_since(waiter.since) >= self.config.patience
    }

    /// The residents to give up so that `lacking` comes free; none when not enough can.
    pub(super) fn victims<'a>(
        &self,
        draft: &Draft<'a>,
        lacking: &ResourceVector,
        even_at_work: bool,
    ) -> Option<Victims<'a>> {
        let weighed: Vec<_> =
            draft.resident().map(|engine| (engine, self.need(engine, draft))).collect();
        let candidates: Vec<_> = weighed
            .iter()
            .filter(|(engine, _)| even_at_work || is_idle(engine))
            .filter(|(engine, _)| !self.is_protected(engine, draft))
            .map(|(engine, need)| candidate(engine, *need, draft))
            .collect();
        let config = ResidencyConfig { min_residence: self.config.min_residence };
        let chosen = residency::choose_victims(&candidates, lacking, &config)?;
        let engines = weighed.into_iter().filter(|(e, _)| chosen.contains(&e.model)).collect();
        Some(Victims { engines })
    }

    /// A model whose eviction was regretted stays for longer the next time, and one that has just
    /// been loaded ahead until that has cooled down: both at once can't have been right.
    fn is_protected(&self, engine: &EngineSnapshot, draft: &Draft<'_>) -> bool {
        let regrets = self.verdicts.failures("evict", engine.model.as_str());
        let now = draft.snapshot.at;
        let resident = now.saturating_since(engine.ready_since.unwrap_or(now));
        if self.cool.is_cooling("prewarm", engine.model.as_str(), now) {
            return true;
        }
        regrets > 0 && resident < self.config.min_residence * (1 << regrets.min(MOST_REGRETS))
    }

    /// Puts the evictions of `victims` into the plan, for `beneficiary`.
    pub(super) fn evict<'a>(
        &mut self,
        draft: &mut Draft<'a>,
        victims: &Victims<'a>,
        beneficiary: &ConsumerId,
    ) {
        for (engine, _) in &victims.engines {
            let (now, pause) = (draft.snapshot.at, self.config.cool_down);
            self.cool.note("evict", engine.model.as_str(), now, pause);
        }
        victims.evict(draft, beneficiary);
    }

    fn need(&self, engine: &EngineSnapshot, draft: &Draft<'_>) -> Ratio {
        let within = self.config.lookahead.max(engine.load_time);
        self.needs.within(engine, draft.snapshot, within)
    }
}

impl<'a> Victims<'a> {
    fn evict(&self, draft: &mut Draft<'a>, beneficiary: &ConsumerId) {
        for (engine, need) in &self.engines {
            let action = Action::Evict {
                model: engine.model.clone(),
                beneficiary: Some(beneficiary.clone()),
            };
            let reason = Reason::GaveWay {
                to: beneficiary.clone(),
                freed: engine.promised,
                idle: idle_for(engine, draft),
                need: *need,
                return_cost: engine.load_time,
            };
            draft.evict(engine, action, reason);
        }
    }
}

fn is_idle(engine: &EngineSnapshot) -> bool {
    engine.in_progress == 0 && engine.waiting == 0
}

fn idle_for(engine: &EngineSnapshot, draft: &Draft<'_>) -> Duration {
    if !is_idle(engine) {
        return Duration::ZERO;
    }
    let since = engine.last_used.max(engine.ready_since).unwrap_or(draft.snapshot.at);
    draft.snapshot.at.saturating_since(since)
}

fn candidate(engine: &EngineSnapshot, need: Ratio, draft: &Draft<'_>) -> Candidate {
    let now = draft.snapshot.at;
    Candidate {
        model: engine.model.clone(),
        give_up: GiveUp {
            bytes: bytes_of(&engine.promised),
            cost: Duration::ZERO,
            need,
            return_cost: engine.load_time,
        },
        amount: engine.promised,
        pinned: engine.pinned,
        busy: false,
        resident_for: now.saturating_since(engine.ready_since.unwrap_or(now)),
    }
}

/// Host and accelerator memory together.
fn bytes_of(amount: &ResourceVector) -> Bytes {
    let devices: Bytes = DeviceIndex::all().map(|device| amount.accelerator(device)).sum();
    amount.memory().saturating_add(devices)
}

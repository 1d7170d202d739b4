//! Who gives way to those that wait.

use std::time::Duration;

use plimsoll_cache::residency::{self, Candidate, ResidencyConfig};
use plimsoll_core_types::{
    Action, Bytes, ConsumerId, DeviceIndex, EngineSnapshot, EngineState, GiveUp, ModelId, Priority,
    Ratio, Reason, ResourceVector, Timestamp,
};

use super::Planner;
use super::draft::Draft;

/// More regrets in a row than this protect no longer: whoever waits must be helped some day.
const MOST_REGRETS: u32 = 2;

/// For which share of the time that its return costs a model stays after it was used. The whole
/// keeps waiters waiting whose turn it is: of 0%, 25%, 50% and 100%, on hosts made from public traces,
/// this finds about as many models warm as any, and has the fewest requests late.
const BREAK_EVEN: f64 = 0.25;
/// A waiter has patience with models at work for so many times as long as its own load takes. With
/// one, a busy model is often stopped just before another has ended its work.
const LOADS: u32 = 4;

/// A set of models that would give way.
pub(super) struct Victims<'a> {
    pub(super) engines: Vec<Victim<'a>>,
}

/// A model that would give way, how probably it is needed again, and what its return costs then.
#[derive(Clone, Copy)]
pub(super) struct Victim<'a> {
    engine: &'a EngineSnapshot,
    need: Ratio,
    return_cost: Duration,
}

impl Victims<'_> {
    /// Seconds of waiting that giving them up is expected to cost.
    pub(super) fn expected_cost(&self) -> f64 {
        let cost =
            |victim: &Victim<'_>| victim.need.min_one().get() * victim.return_cost.as_secs_f64();
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
                let impatient = self.out_of_patience(&waiter.consumer, waiter.since, draft);
                let lacking = waiter.amount.saturating_sub(&draft.free);
                let Some(newcomer) = newcomer(&waiter.consumer, draft) else { continue };
                let victims = self.victims(draft, &newcomer, &lacking, impatient);
                let Some(victims) = victims else { continue };
                self.evict(draft, &victims, &waiter.consumer);
            }
            draft.take(&waiter.amount);
        }
    }

    /// Has those go that keep a model out which is waited for: it asks for no lease before.
    pub(super) fn plan_exclusions(&mut self, draft: &mut Draft<'_>) {
        let Draft { snapshot, sight, .. } = *draft;
        if self.config.groups.is_empty() {
            return;
        }
        let waits = |e: &EngineSnapshot| {
            e.state == EngineState::Waiting && sight.waits_since(e.model.as_str()).is_none()
        };
        self.kept_out.retain(|model, _| sight.engine(model.as_str()).is_some_and(waits));
        for engine in snapshot.engines.iter().filter(|engine| waits(engine)) {
            let since = *self.kept_out.entry(engine.model.clone()).or_insert(snapshot.at);
            if !self.is_kept_out(&engine.model, draft) {
                continue;
            }
            let consumer = ConsumerId::from(&engine.model);
            let impatient = self.out_of_patience(&consumer, since, draft);
            let lacking = engine.believed.saturating_sub(&draft.free);
            let victims = self.victims(draft, &engine.model, &lacking, impatient);
            if let Some(victims) = victims {
                self.evict(draft, &victims, &consumer);
                draft.take(&engine.believed);
            }
        }
    }

    /// True while a model is loaded that may not be beside `model`, or those loaded with it.
    pub(super) fn is_kept_out(&self, model: &ModelId, draft: &Draft<'_>) -> bool {
        let groups = &self.config.groups;
        let party = groups.loaded_with(model);
        let excludes = |e: &EngineSnapshot| party.iter().any(|own| groups.exclude(own, &e.model));
        !groups.is_empty() && draft.resident().any(excludes)
    }

    fn out_of_patience(&self, consumer: &ConsumerId, since: Timestamp, draft: &Draft<'_>) -> bool {
        // Whoever takes long to load has time for the others to end what they do, and a load
        // that is not used for as long as it took is not worth it.
        let own = draft.sight.engine(consumer.as_str());
        let loads = own.map_or(Duration::ZERO, |engine| engine.load_time.saturating_mul(LOADS));
        let patience = self.config.patience.max(loads);
        draft.snapshot.at.saturating_since(since) >= patience
    }

    /// The residents to give up so that `lacking` comes free for `newcomer`, and nobody is left
    /// that keeps it out; none when not enough can.
    pub(super) fn victims<'a>(
        &self,
        draft: &Draft<'a>,
        newcomer: &ModelId,
        lacking: &ResourceVector,
        even_at_work: bool,
    ) -> Option<Victims<'a>> {
        let weighed: Vec<_> = draft.resident().map(|engine| self.weigh(engine, draft)).collect();
        let stays = |engine: &EngineSnapshot| {
            let may_end = is_idle(engine) || even_at_work && has_paid(engine, draft);
            !may_end || is_suspect(engine) || self.is_protected(engine, draft)
        };
        // Those that stay are shown as well: their groups stay with them.
        let candidates: Vec<_> = weighed
            .iter()
            .map(|victim| Candidate { busy: stays(victim.engine), ..candidate(victim, draft) })
            .collect();
        // Whoever is out of patience can't wait for a model to have been idle for long.
        let break_even = if even_at_work { Ratio::ZERO } else { Ratio::saturating(BREAK_EVEN) };
        let config = ResidencyConfig { min_residence: self.config.min_residence, break_even };
        let groups = &self.config.groups;
        let chosen =
            residency::choose_victims_for(newcomer, &candidates, lacking, groups, &config)?;
        let engines = weighed.into_iter().filter(|v| chosen.contains(&v.engine.model)).collect();
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
        for Victim { engine, .. } in &victims.engines {
            let (now, pause) = (draft.snapshot.at, self.config.cool_down);
            self.cool.note("evict", engine.model.as_str(), now, pause);
        }
        victims.evict(draft, beneficiary);
    }

    fn weigh<'a>(&self, engine: &'a EngineSnapshot, draft: &Draft<'_>) -> Victim<'a> {
        let within = self.config.lookahead.max(engine.load_time);
        let need = self.needs.within(engine, draft.sight, within);
        Victim { engine, need, return_cost: self.needs.return_cost(engine, draft.sight) }
    }
}

impl<'a> Victims<'a> {
    fn evict(&self, draft: &mut Draft<'a>, beneficiary: &ConsumerId) {
        for Victim { engine, need, .. } in &self.engines {
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

/// Who waits, as a model: whoever is none belongs to no group.
fn newcomer(consumer: &ConsumerId, draft: &Draft<'_>) -> Option<ModelId> {
    let engine = draft.sight.engine(consumer.as_str());
    // Both kinds of name obey one rule.
    engine.map_or_else(|| ModelId::new(consumer.as_str()).ok(), |e| Some(e.model.clone()))
}

/// True where it has served for as long as its load took.
fn has_paid(engine: &EngineSnapshot, draft: &Draft<'_>) -> bool {
    let since = engine.ready_since.unwrap_or(draft.snapshot.at);
    draft.snapshot.at.saturating_since(since) >= engine.load_time
}

/// True where it has missed a probe: whether it hangs is found out first. A hung engine would
/// keep whoever waits for its room waiting until it is given up, and its requests with them.
const fn is_suspect(engine: &EngineSnapshot) -> bool {
    engine.missed_probes > 0
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

fn candidate(victim: &Victim<'_>, draft: &Draft<'_>) -> Candidate {
    let Victim { engine, need, return_cost } = *victim;
    let now = draft.snapshot.at;
    Candidate {
        model: engine.model.clone(),
        give_up: GiveUp {
            bytes: bytes_of(&engine.promised),
            cost: Duration::ZERO,
            need,
            return_cost,
        },
        amount: engine.promised,
        pinned: engine.pinned,
        busy: false,
        resident_for: now.saturating_since(engine.ready_since.unwrap_or(now)),
        idle_for: idle_for(engine, draft),
    }
}

/// Host and accelerator memory together.
fn bytes_of(amount: &ResourceVector) -> Bytes {
    let devices: Bytes = DeviceIndex::all().map(|device| amount.accelerator(device)).sum();
    amount.memory().saturating_add(devices)
}

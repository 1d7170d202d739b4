//! What goes wrong: faults, memory that runs out, and the supervisor that any host has.

use std::time::Duration;

use plimsoll_core_types::{Bytes, Timestamp};

use super::machine::Doom;
use super::{Event, Job, World};
use crate::serving::{FaultKind, Happening, ModelState, Phase, Recovery};

/// Other programs take memory in so many steps.
const STEPS: u32 = 20;
/// How long a thief takes to take all that it takes, at most.
const RAMP: Duration = Duration::from_secs(10);
/// A request is tried so often after its engine died.
const RETRIES: u32 = 1;

impl World<'_> {
    /// Lets every fault happen whose time has come and whose phase a model is in.
    pub(super) fn fire_faults(&mut self, now: Timestamp) {
        for fault in 0..self.fired.len() {
            let what = self.scenario.faults[fault];
            if self.fired[fault] || now < what.after {
                continue;
            }
            let fits = self.models.iter().position(|model| Phase::of(model) == what.phase);
            if let Some(model) = fits {
                self.fired[fault] = true;
                self.outcome.recoveries.push(Recovery { fault, model, at: now, after: None });
                self.strike(fault, model, now);
            }
        }
    }

    fn strike(&mut self, fault: usize, model: usize, now: Timestamp) {
        let runs = matches!(self.models[model].state, ModelState::Ready | ModelState::Draining);
        let loads = self.models[model].state == ModelState::Loading;
        match self.scenario.faults[fault].kind {
            FaultKind::Crash if runs || loads => self.die(model, now),
            FaultKind::Crash => self.machines[model].doomed = Some(Doom::Dies),
            FaultKind::Hang if runs => {
                self.machines[model].catch_up(now);
                self.machines[model].hung = true;
                self.refresh(model, now);
            }
            FaultKind::Hang if loads => {
                // The load never ends: what would tell of its end has become stale.
                self.machines[model].epoch += 1;
            }
            FaultKind::Hang => self.machines[model].doomed = Some(Doom::Hangs),
            FaultKind::Slow { speed, lasts } => self.slow(model, speed, now + lasts, now),
            FaultKind::ProbeLoss { lasts } => self.machines[model].probes_lost_until = now + lasts,
            FaultKind::MemoryThief { .. } => self.others_change(fault, 1, now),
        }
    }

    fn slow(&mut self, model: usize, speed: f64, until: Timestamp, now: Timestamp) {
        let speed = if speed > 0.0 { speed.min(1.0) } else { 1e-3 };
        let machine = &mut self.machines[model];
        machine.catch_up(now);
        machine.slowed = Some((speed, until));
        if self.models[model].state == ModelState::Loading {
            let left = machine.loaded_at.saturating_since(now);
            machine.loaded_at = now + left.div_f64(speed);
            machine.epoch += 1;
            let epoch = machine.epoch;
            self.events.push(machine.loaded_at, Event::Loaded { model, epoch });
        }
        self.events.push(until, Event::Recovers { model });
        self.refresh(model, now);
    }

    pub(super) fn end_slowness(&mut self, model: usize, now: Timestamp) {
        let machine = &mut self.machines[model];
        if machine.slowed.is_some_and(|(_, until)| until <= now) {
            machine.catch_up(now);
            machine.slowed = None;
            self.refresh(model, now);
        }
    }

    /// Others take a step's worth more; after the last step they give all back.
    pub(super) fn others_change(&mut self, fault: usize, step: u32, now: Timestamp) {
        let FaultKind::MemoryThief { takes, lasts } = self.scenario.faults[fault].kind else {
            return;
        };
        let ramp = RAMP.min(lasts / 2);
        if step > STEPS {
            self.others[fault] = Bytes::ZERO;
            return;
        }
        self.others[fault] = Bytes::new(takes.get() / u64::from(STEPS) * u64::from(step));
        let pause = if step == STEPS { lasts.saturating_sub(ramp) } else { ramp / STEPS };
        self.events.push(now + pause, Event::Others { fault, step: step + 1 });
    }

    pub(super) fn probe(&mut self, now: Timestamp) {
        for (model, machine) in self.models.iter_mut().zip(&self.machines) {
            if !matches!(model.state, ModelState::Ready | ModelState::Draining) {
                continue;
            }
            if machine.hung || now < machine.probes_lost_until {
                model.missed_probes += 1;
            } else {
                (model.missed_probes, model.answered) = (0, now);
            }
        }
    }

    /// Kills loads and drains that take far too long.
    pub(super) fn supervise(&mut self, now: Timestamp) {
        for index in 0..self.models.len() {
            let moves =
                matches!(self.models[index].state, ModelState::Loading | ModelState::Draining);
            if moves && now >= self.machines[index].overdue {
                self.die(index, now);
            }
        }
    }

    /// Where more memory is used than there is, the system kills the engine that uses most.
    pub(super) fn kill_for_memory(&mut self, now: Timestamp) {
        let others: Bytes = self.others.iter().copied().sum();
        let capacity = self.scenario.capacity.memory();
        if others.is_zero() {
            return;
        }
        while Bytes::new(self.used).saturating_add(others) > capacity {
            let most = (0..self.models.len())
                .filter(|index| !self.models[*index].used.is_zero())
                .max_by_key(|index| self.models[*index].used.memory());
            let Some(index) = most else { return };
            self.die(index, now);
        }
    }

    /// The engine is gone. What it had in progress is tried again, once.
    pub(super) fn die(&mut self, index: usize, now: Timestamp) {
        self.outcome.deaths += 1;
        self.requeue(index);
        self.free(index, now);
        self.gone.push(Happening::Died(index));
    }

    /// Another engine in the place of one that does not answer.
    pub(super) fn replace(&mut self, index: usize, now: Timestamp) {
        if self.models[index].state != ModelState::Ready {
            return;
        }
        self.outcome.deaths += 1;
        self.requeue(index);
        let model = &mut self.models[index];
        model.state = ModelState::Loading;
        model.ready_since = None;
        (model.missed_probes, model.answered) = (0, now);
        self.begin_load(index, now);
    }

    fn requeue(&mut self, index: usize) {
        let machine = &mut self.machines[index];
        for lost in machine.die().into_iter().rev() {
            let mut pending = lost.pending;
            pending.tries += 1;
            pending.warm = false;
            if pending.tries > RETRIES {
                self.outcome.failed += 1;
            } else {
                self.outcome.retried += 1;
                machine.queue.push_front(pending);
            }
        }
    }

    /// A request that came after a fault has been served by the model that it hit.
    pub(super) fn note_recovery(&mut self, job: &Job, now: Timestamp) {
        for recovery in &mut self.outcome.recoveries {
            let own = recovery.model == job.model && job.at > recovery.at;
            if own && recovery.after.is_none() {
                recovery.after = Some(now.saturating_since(recovery.at));
            }
        }
    }
}

//! The host in virtual time: it moves models and requests, and decides nothing.

mod audit;
mod machine;
mod trouble;

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ResourceVector, Timestamp};

use super::{
    Command, Happening, HostView, Job, ModelState, ModelView, Outcome, Policy, RunError, Scenario,
};
use crate::queue::EventQueue;
use machine::{Machine, Pending, Running};

/// With nothing but ticks for this long, whoever is still in service will never end.
const STANDSTILL: Duration = Duration::from_mins(3);
/// A drain that takes so much longer than it should is killed.
const DRAIN_SLACK: Duration = Duration::from_secs(5);
/// Longer than anything takes, so that sums of it do not overflow.
const FOREVER: Timestamp = Timestamp::MAX;

#[derive(Clone, Copy, Debug)]
enum Event {
    Loaded { model: usize, epoch: u64 },
    Served { model: usize, epoch: u64 },
    Recovers { model: usize },
    Others { fault: usize, step: u32 },
    Probe,
    Tick,
}

pub(super) struct World<'a> {
    scenario: &'a Scenario<'a>,
    /// Jobs in order of time, and how many of them have come.
    order: Vec<u32>,
    came: usize,
    models: Vec<ModelView>,
    machines: Vec<Machine>,
    events: EventQueue<Event>,
    promised: ResourceVector,
    /// What all engines use of memory.
    used: u64,
    /// What other programs use of it, by fault.
    others: Vec<Bytes>,
    fired: Vec<bool>,
    pressed: bool,
    /// Until when things have been added up.
    added_up: Timestamp,
    /// When something other than a tick or a probe happened last.
    active: Timestamp,
    /// Models that stopped or died and whose policy has not been told.
    gone: Vec<Happening>,
    outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(scenario: &'a Scenario<'a>) -> Self {
        let view = |spec: &super::EngineSpec| ModelView {
            spec: spec.model.clone(),
            state: ModelState::Stopped,
            in_progress: 0,
            queued: 0,
            oldest: None,
            arrivals: 0,
            last_used: None,
            ready_since: None,
            used: ResourceVector::ZERO,
            missed_probes: 0,
            answered: Timestamp::ZERO,
        };
        let mut events = EventQueue::default();
        events.push(Timestamp::ZERO + scenario.config.tick, Event::Tick);
        if !scenario.faults.is_empty() {
            events.push(Timestamp::ZERO + scenario.probe_every, Event::Probe);
        }
        let mut order: Vec<u32> = (0..scenario.jobs.len()).map(|index| index as u32).collect();
        order.sort_by_key(|index| scenario.jobs[*index as usize].at);
        Self {
            scenario,
            order,
            came: 0,
            models: scenario.engines.iter().map(view).collect(),
            machines: scenario.engines.iter().map(Machine::new).collect(),
            events,
            promised: ResourceVector::ZERO,
            used: 0,
            others: vec![Bytes::ZERO; scenario.faults.len()],
            fired: vec![false; scenario.faults.len()],
            pressed: false,
            added_up: Timestamp::ZERO,
            active: Timestamp::ZERO,
            gone: Vec::new(),
            outcome: Outcome { requests: scenario.jobs.len(), ..Outcome::default() },
        }
    }

    pub(super) fn run(mut self, policy: &mut dyn Policy) -> Result<Outcome, RunError> {
        while let Some((now, what)) = self.step() {
            self.outcome.events += 1;
            self.fire_faults(now);
            if what == Some(Happening::Tick) {
                self.supervise(now);
                policy.see_host(&self.host());
            }
            self.kill_for_memory(now);
            self.obey(policy, what, now)?;
            if self.scenario.audit {
                self.audit(policy, now);
            }
        }
        self.finish();
        Ok(self.outcome)
    }

    /// The next thing that happens: a job that comes, else an event. Inner none where it is
    /// nothing that policies are told of.
    fn step(&mut self) -> Option<(Timestamp, Option<Happening>)> {
        let jobs = self.scenario.jobs;
        let next = self.order.get(self.came).map(|index| jobs[*index as usize]);
        if let Some(job) = next
            && self.events.next_at().is_none_or(|at| job.at <= at)
        {
            self.came += 1;
            self.add_up(job.at);
            self.active = job.at;
            return Some((job.at, self.arrive(job)));
        }
        let (now, event) = self.events.pop()?;
        self.add_up(now);
        Some((now, self.handle(event, now)))
    }

    /// True while a request is to come, waits, or may yet end.
    fn goes_on(&self, now: Timestamp) -> bool {
        let waits = self.came < self.order.len() || self.models.iter().any(|m| m.queued > 0);
        let moves = now.saturating_since(self.active) < STANDSTILL;
        waits || (moves && self.models.iter().any(|m| m.in_progress > 0))
    }

    fn handle(&mut self, event: Event, now: Timestamp) -> Option<Happening> {
        match event {
            Event::Loaded { model, epoch } if epoch == self.machines[model].epoch => {
                self.active = now;
                self.loaded(model, now)
            }
            Event::Served { model, epoch } if epoch == self.machines[model].epoch => {
                self.active = now;
                self.machines[model].catch_up(now);
                while let Some(ended) = self.machines[model].ended() {
                    self.record(&ended, now);
                }
                self.begin(model, now);
                Some(Happening::Completed(model))
            }
            Event::Loaded { .. } | Event::Served { .. } => None,
            Event::Recovers { model } => {
                self.end_slowness(model, now);
                None
            }
            Event::Others { fault, step } => {
                self.others_change(fault, step, now);
                None
            }
            Event::Probe => {
                self.probe(now);
                if self.goes_on(now) {
                    self.events.push(now + self.scenario.probe_every, Event::Probe);
                }
                None
            }
            Event::Tick => {
                self.give_up(now);
                self.pressed = self.is_pressed(now);
                if self.goes_on(now) {
                    self.events.push(now + self.scenario.config.tick, Event::Tick);
                }
                Some(Happening::Tick)
            }
        }
    }

    fn arrive(&mut self, job: Job) -> Option<Happening> {
        let model = &mut self.models[job.model];
        model.arrivals += 1;
        if !model.spec.amount.fits_in(&self.scenario.config.limit) {
            self.outcome.never_fit += 1;
            return None;
        }
        model.last_used = Some(job.at);
        let warm = model.state == ModelState::Ready;
        self.machines[job.model].queue.push_back(Pending { job, warm, tries: 0 });
        self.begin(job.model, job.at);
        Some(Happening::Arrived(job.model))
    }

    fn loaded(&mut self, index: usize, now: Timestamp) -> Option<Happening> {
        match self.machines[index].doomed.take() {
            Some(machine::Doom::Dies) => {
                self.die(index, now);
                return None;
            }
            Some(machine::Doom::Hangs) => {
                // It is up, and takes what comes, and answers nothing.
                self.machines[index].hung = true;
            }
            None => {}
        }
        self.machines[index].overdue = FOREVER;
        let model = &mut self.models[index];
        model.state = ModelState::Ready;
        model.ready_since = Some(now);
        (model.answered, model.missed_probes) = (now, 0);
        self.begin(index, now);
        Some(Happening::Loaded(index))
    }

    /// Begins to serve what waits, as far as there are slots and room for its tokens, and says
    /// when the next request ends.
    fn begin(&mut self, index: usize, now: Timestamp) {
        let machine = &mut self.machines[index];
        machine.catch_up(now);
        if self.models[index].state == ModelState::Ready {
            while let Some(pending) = machine.next() {
                machine.begin(pending, now);
            }
        }
        self.refresh(index, now);
    }

    /// What policies see of a model after its work has changed, and when that changes next.
    fn refresh(&mut self, index: usize, now: Timestamp) {
        let (model, machine) = (&mut self.models[index], &mut self.machines[index]);
        model.in_progress = machine.in_progress();
        model.queued = machine.queue.len();
        model.oldest = machine.queue.front().map(|pending| pending.job.at);
        let holds = model.state != ModelState::Stopped;
        let used = if holds { machine.spec.used(machine.tokens) } else { ResourceVector::ZERO };
        self.used = self.used - model.used.memory().get() + used.memory().get();
        model.used = used;
        if matches!(model.state, ModelState::Ready | ModelState::Draining) {
            machine.epoch += 1;
            if let Some(at) = machine.next_end(now) {
                self.events.push(at, Event::Served { model: index, epoch: machine.epoch });
            }
        }
    }

    fn record(&mut self, ended: &Running, now: Timestamp) {
        let job = &ended.pending.job;
        self.outcome.latencies.push(now.saturating_since(job.at));
        self.outcome.waits.push(ended.began.saturating_since(job.at));
        if ended.pending.warm {
            self.outcome.warm += 1;
        } else {
            self.outcome.cold += 1;
        }
        self.note_recovery(job, now);
    }

    fn give_up(&mut self, now: Timestamp) {
        let within = self.scenario.config.within;
        for (model, machine) in self.models.iter_mut().zip(&mut self.machines) {
            let before = machine.queue.len();
            machine.queue.retain(|p| now.saturating_since(p.job.at) < within);
            self.outcome.timed_out += before - machine.queue.len();
            model.queued = machine.queue.len();
            model.oldest = machine.queue.front().map(|pending| pending.job.at);
        }
    }

    fn host(&self) -> HostView {
        let others: Bytes = self.others.iter().copied().sum();
        let used = Bytes::new(self.used).saturating_add(others);
        HostView { capacity: self.scenario.capacity, used: ResourceVector::new().with_memory(used) }
    }

    /// Asks the policy, does what it says, and asks again about what that stopped.
    fn obey(
        &mut self,
        policy: &mut dyn Policy,
        what: Option<Happening>,
        now: Timestamp,
    ) -> Result<(), RunError> {
        let mut happened = VecDeque::from_iter(what);
        happened.extend(self.gone.drain(..));
        happened.extend(self.stop_drained(now));
        while let Some(what) = happened.pop_front() {
            let limit = &self.scenario.config.limit;
            for command in policy.decide(what, &self.models, limit, now) {
                match command {
                    Command::Load(model) => self.load(model, now)?,
                    Command::Evict(model) => self.evict(model, now),
                    Command::Replace(model) => self.replace(model, now),
                }
            }
            happened.extend(self.gone.drain(..));
            happened.extend(self.stop_drained(now));
        }
        Ok(())
    }

    fn load(&mut self, index: usize, now: Timestamp) -> Result<(), RunError> {
        let model = &mut self.models[index];
        if model.state != ModelState::Stopped {
            return Ok(());
        }
        let limit = &self.scenario.config.limit;
        let promised = self.promised.saturating_add(&model.spec.amount);
        if !promised.fits_in(limit) {
            return Err(RunError::PastTheLimit {
                model: model.spec.id.clone(),
                promised: self.promised.to_string(),
                limit: limit.to_string(),
            });
        }
        self.promised = promised;
        self.outcome.peak_promised = self.outcome.peak_promised.max(&promised);
        model.state = ModelState::Loading;
        self.begin_load(index, now);
        Ok(())
    }

    /// Its state is `Loading` already.
    fn begin_load(&mut self, index: usize, now: Timestamp) {
        self.outcome.loads += 1;
        let machine = &mut self.machines[index];
        machine.epoch += 1;
        let load_time = machine.spec.model.load_time;
        let slow = machine.slowed.map_or(1.0, |(speed, _)| speed);
        machine.loaded_at = now + load_time.div_f64(slow);
        machine.overdue = now + load_time * 5 + Duration::from_secs(5);
        let epoch = machine.epoch;
        self.events.push(machine.loaded_at, Event::Loaded { model: index, epoch });
        self.refresh(index, now);
    }

    fn evict(&mut self, index: usize, now: Timestamp) {
        if self.models[index].state == ModelState::Ready {
            self.models[index].state = ModelState::Draining;
            self.outcome.evictions += 1;
            self.machines[index].catch_up(now);
            let ends = self.machines[index].last_end(now);
            self.machines[index].overdue = ends + DRAIN_SLACK;
        }
    }

    fn stop_drained(&mut self, now: Timestamp) -> Vec<Happening> {
        let mut stopped = Vec::new();
        for index in 0..self.models.len() {
            let model = &self.models[index];
            if model.state == ModelState::Draining && model.in_progress == 0 {
                self.machines[index].die();
                self.free(index, now);
                stopped.push(Happening::Stopped(index));
            }
        }
        stopped
    }

    /// The model holds nothing any more.
    fn free(&mut self, index: usize, now: Timestamp) {
        let model = &mut self.models[index];
        model.state = ModelState::Stopped;
        model.ready_since = None;
        model.missed_probes = 0;
        self.promised = self.promised.saturating_sub(&model.spec.amount);
        self.machines[index].overdue = FOREVER;
        self.refresh(index, now);
    }

    fn finish(&mut self) {
        let stuck: usize = self.machines.iter().map(Machine::in_progress).sum();
        self.outcome.failed += stuck;
        self.outcome.latencies.sort_unstable();
        self.outcome.waits.sort_unstable();
    }
}

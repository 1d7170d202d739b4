//! The host in virtual time: it moves models and requests, and decides nothing.

use std::collections::VecDeque;

use plimsoll_core_types::{ResourceVector, Timestamp};

use super::{
    Command, Happening, ModelSpec, ModelState, ModelView, Outcome, Policy, Request, RunError,
    ServingConfig,
};
use crate::queue::EventQueue;

#[derive(Clone, Copy, Debug)]
enum Event {
    Arrival(usize),
    Loaded(usize),
    Served { model: usize },
    Tick,
}

#[derive(Debug)]
struct Pending {
    request: Request,
    /// True when it found its model ready.
    warm: bool,
}

pub(super) struct World<'a> {
    config: &'a ServingConfig,
    requests: &'a [Request],
    models: Vec<ModelView>,
    queues: Vec<VecDeque<Pending>>,
    events: EventQueue<Event>,
    promised: ResourceVector,
    /// Until when what is promised has been added up.
    added_up: Timestamp,
    to_come: usize,
    outcome: Outcome,
}

impl<'a> World<'a> {
    pub(super) fn new(
        specs: &[ModelSpec],
        requests: &'a [Request],
        config: &'a ServingConfig,
    ) -> Self {
        let view = |spec: &ModelSpec| ModelView {
            spec: spec.clone(),
            state: ModelState::Stopped,
            in_progress: 0,
            queued: 0,
            oldest: None,
            arrivals: 0,
            last_used: None,
            ready_since: None,
        };
        let mut events = EventQueue::default();
        for (index, request) in requests.iter().enumerate() {
            events.push(request.at, Event::Arrival(index));
        }
        events.push(Timestamp::ZERO + config.tick, Event::Tick);
        Self {
            config,
            requests,
            models: specs.iter().map(view).collect(),
            queues: specs.iter().map(|_| VecDeque::new()).collect(),
            events,
            promised: ResourceVector::ZERO,
            added_up: Timestamp::ZERO,
            to_come: requests.len(),
            outcome: Outcome { requests: requests.len(), ..Outcome::default() },
        }
    }

    pub(super) fn run(mut self, policy: &mut dyn Policy) -> Result<Outcome, RunError> {
        while let Some((now, event)) = self.events.pop() {
            let Some(what) = self.handle(event, now) else { continue };
            self.obey(policy, what, now)?;
            if event_is_tick(event) && self.goes_on() {
                self.events.push(now + self.config.tick, Event::Tick);
            }
        }
        self.outcome.latencies.sort_unstable();
        Ok(self.outcome)
    }

    /// True while a request is to come or waits: what is in service ends by itself.
    fn goes_on(&self) -> bool {
        self.to_come > 0 || self.queues.iter().any(|queue| !queue.is_empty())
    }

    fn handle(&mut self, event: Event, now: Timestamp) -> Option<Happening> {
        self.add_up(now);
        match event {
            Event::Arrival(index) => self.arrive(self.requests[index], now),
            Event::Loaded(model) => {
                self.models[model].state = ModelState::Ready;
                self.models[model].ready_since = Some(now);
                self.begin(model, now);
                Some(Happening::Loaded(model))
            }
            Event::Served { model } => {
                self.models[model].in_progress -= 1;
                self.begin(model, now);
                Some(Happening::Completed(model))
            }
            Event::Tick => {
                self.give_up(now);
                Some(Happening::Tick)
            }
        }
    }

    fn add_up(&mut self, now: Timestamp) {
        let elapsed = now.saturating_since(self.added_up).as_secs_f64();
        self.outcome.promised_byte_seconds += self.promised.memory().as_f64() * elapsed;
        self.added_up = now;
        self.outcome.ended = now;
    }

    fn arrive(&mut self, request: Request, now: Timestamp) -> Option<Happening> {
        self.to_come -= 1;
        let model = &mut self.models[request.model];
        model.arrivals += 1;
        if !model.spec.amount.fits_in(&self.config.limit) {
            self.outcome.never_fit += 1;
            return None;
        }
        model.last_used = Some(now);
        let warm = model.state == ModelState::Ready;
        self.queues[request.model].push_back(Pending { request, warm });
        self.begin(request.model, now);
        Some(Happening::Arrived(request.model))
    }

    /// Begins to serve what waits, as far as there are slots.
    fn begin(&mut self, index: usize, now: Timestamp) {
        let model = &mut self.models[index];
        let queue = &mut self.queues[index];
        while model.state == ModelState::Ready
            && model.in_progress < model.spec.slots.max(1)
            && let Some(pending) = queue.pop_front()
        {
            model.in_progress += 1;
            let ends = now + pending.request.service;
            self.events.push(ends, Event::Served { model: index });
            self.outcome.latencies.push(ends.saturating_since(pending.request.at));
            if pending.warm {
                self.outcome.warm += 1;
            } else {
                self.outcome.cold += 1;
            }
        }
        model.queued = queue.len();
        model.oldest = queue.front().map(|pending| pending.request.at);
    }

    fn give_up(&mut self, now: Timestamp) {
        for (model, queue) in self.models.iter_mut().zip(&mut self.queues) {
            let before = queue.len();
            let late = |p: &Pending| now.saturating_since(p.request.at) >= self.config.within;
            queue.retain(|pending| !late(pending));
            self.outcome.timed_out += before - queue.len();
            model.queued = queue.len();
            model.oldest = queue.front().map(|pending| pending.request.at);
        }
    }

    /// Asks the policy, does what it says, and asks again about what that stopped.
    fn obey(
        &mut self,
        policy: &mut dyn Policy,
        what: Happening,
        now: Timestamp,
    ) -> Result<(), RunError> {
        let mut happened = VecDeque::from([what]);
        happened.extend(self.stop_drained());
        while let Some(what) = happened.pop_front() {
            for command in policy.decide(what, &self.models, &self.config.limit, now) {
                match command {
                    Command::Load(model) => self.load(model, now)?,
                    Command::Evict(model) => self.evict(model),
                }
            }
            happened.extend(self.stop_drained());
        }
        Ok(())
    }

    fn load(&mut self, index: usize, now: Timestamp) -> Result<(), RunError> {
        let model = &mut self.models[index];
        if model.state != ModelState::Stopped {
            return Ok(());
        }
        let promised = self.promised.saturating_add(&model.spec.amount);
        if !promised.fits_in(&self.config.limit) {
            return Err(RunError::PastTheLimit {
                model: model.spec.id.clone(),
                promised: self.promised.to_string(),
                limit: self.config.limit.to_string(),
            });
        }
        self.promised = promised;
        self.outcome.peak_promised = self.outcome.peak_promised.max(&promised);
        self.outcome.loads += 1;
        model.state = ModelState::Loading;
        self.events.push(now + model.spec.load_time, Event::Loaded(index));
        Ok(())
    }

    fn evict(&mut self, index: usize) {
        let model = &mut self.models[index];
        if model.state == ModelState::Ready {
            model.state = ModelState::Draining;
            self.outcome.evictions += 1;
        }
    }

    fn stop_drained(&mut self) -> Vec<Happening> {
        let mut stopped = Vec::new();
        for (index, model) in self.models.iter_mut().enumerate() {
            if model.state == ModelState::Draining && model.in_progress == 0 {
                model.state = ModelState::Stopped;
                model.ready_since = None;
                self.promised = self.promised.saturating_sub(&model.spec.amount);
                stopped.push(Happening::Stopped(index));
            }
        }
        stopped
    }
}

const fn event_is_tick(event: Event) -> bool {
    matches!(event, Event::Tick)
}

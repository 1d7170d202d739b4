//! One run: clients come, wait, are served or refused, and perhaps come back.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use plimsoll_core_types::Timestamp;

use super::super::gates::{Answer, Gate, Verdict};
use super::super::quantile;
use super::super::sizes::size;
use super::{OverloadOutcome, OverloadScenario, RETRIES, Retry};
use crate::random::Random;

/// The share of a run that is not counted, at its beginning.
const UNCOUNTED: f64 = 0.1;
/// σ of the logarithm of estimated over true size.
const SIZE_ERROR: f64 = 0.5;
/// How long somebody waits who was not told when to come back.
const UNTOLD: f64 = 0.5;

#[derive(Clone, Copy, Debug)]
struct Client {
    size: f64,
    /// The size that whoever lets it in believes.
    estimate: f64,
    began: f64,
    first: f64,
    came: f64,
    patience_ends: f64,
    retries: u32,
    in_flight: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Served(usize),
    Expires(usize),
    Comes(usize),
}

struct World<'a> {
    scenario: &'a OverloadScenario,
    gate: Box<dyn Gate>,
    clients: Vec<Client>,
    events: BinaryHeap<Reverse<(Timestamp, Event)>>,
    line: VecDeque<usize>,
    busy: usize,
    in_system: usize,
    /// Work of refusals that the server has yet to do.
    debt: f64,
    good: f64,
    good_count: usize,
    refusals: usize,
    waits: Vec<f64>,
}

fn at(seconds: f64) -> Timestamp {
    Timestamp::from_secs_f64(seconds)
}

/// Runs `scenario` once, with `gate` before the server.
pub(super) fn run(scenario: &OverloadScenario, gate: Box<dyn Gate>) -> OverloadOutcome {
    let mut world = World {
        scenario,
        gate,
        clients: Vec::new(),
        events: BinaryHeap::new(),
        line: VecDeque::new(),
        busy: 0,
        in_system: 0,
        debt: 0.0,
        good: 0.0,
        good_count: 0,
        refusals: 0,
        waits: Vec::new(),
    };
    let mut random = Random::new(scenario.seed);
    let mut guesses = Random::new(scenario.seed ^ 0x6e55);
    let rate = scenario.able() as f64 * scenario.factor.max(1e-6);
    let mut now = 0.0;
    while now < scenario.seconds {
        now += random.exponential() / rate;
        world.until(at(now));
        let size = size(&mut random);
        let error = SIZE_ERROR * guesses.normal() - SIZE_ERROR * SIZE_ERROR / 2.0;
        world.clients.push(Client {
            size,
            estimate: size * error.exp(),
            began: now,
            first: now,
            came: now,
            patience_ends: now + scenario.patience,
            retries: 0,
            in_flight: 0,
        });
        world.comes(world.clients.len() - 1, now);
    }
    world.outcome()
}

impl World<'_> {
    fn counts(&self, now: f64) -> bool {
        now >= self.scenario.seconds * UNCOUNTED
    }

    fn until(&mut self, now: Timestamp) {
        while let Some(Reverse((at, event))) = self.events.peek().copied()
            && at <= now
        {
            self.events.pop();
            let seconds = at.as_secs_f64();
            match event {
                Event::Comes(who) => {
                    self.clients[who].came = seconds;
                    self.comes(who, seconds);
                }
                Event::Expires(who) => self.gate.expires(who, at),
                Event::Served(who) => self.served(who, seconds),
            }
            self.hear(seconds);
        }
    }

    fn hear(&mut self, now: f64) {
        loop {
            let news = self.gate.news();
            if news.is_empty() {
                return;
            }
            for (who, verdict) in news {
                self.heed(who, &verdict, now);
            }
        }
    }

    fn comes(&mut self, who: usize, now: f64) {
        let verdict = self.gate.comes(who, at(self.clients[who].patience_ends), at(now));
        self.heed(who, &verdict, now);
        self.hear(now);
    }

    fn heed(&mut self, who: usize, verdict: &Verdict, now: f64) {
        match *verdict {
            Verdict::In => {
                self.in_system += 1;
                self.clients[who].in_flight = self.in_system;
                self.line.push_back(who);
                self.begin(now);
            }
            Verdict::Waits(until) => self.events.push(Reverse((until, Event::Expires(who)))),
            Verdict::Refused(told) => self.refused(who, told, now),
        }
    }

    fn refused(&mut self, who: usize, told: Option<f64>, now: f64) {
        self.refusals += usize::from(self.counts(now));
        self.debt += self.scenario.reject_cost;
        let client = &mut self.clients[who];
        let again = match self.scenario.retry {
            Retry::Never => return,
            Retry::WithinPatience => now + told.unwrap_or(UNTOLD),
            Retry::Always => now + UNTOLD,
        };
        if client.retries == RETRIES {
            return;
        }
        if self.scenario.retry == Retry::Always {
            client.patience_ends = again + self.scenario.patience;
        } else if again >= client.patience_ends {
            return;
        }
        client.retries += 1;
        self.events.push(Reverse((at(again), Event::Comes(who))));
    }

    /// Free slots take from the line, whether or not whoever is next still waits for the answer.
    fn begin(&mut self, now: f64) {
        while self.busy < self.scenario.slots
            && let Some(who) = self.line.pop_front()
        {
            self.busy += 1;
            self.clients[who].began = now;
            let client = self.clients[who];
            self.count(&client, now);
            let takes = client.size * self.scenario.slowdown.times(self.busy)
                + std::mem::take(&mut self.debt);
            self.events.push(Reverse((at(now + takes), Event::Served(who))));
        }
    }

    /// `client` begins now.
    fn count(&mut self, client: &Client, now: f64) {
        let counted = self.counts(now);
        if counted {
            self.waits.push(now - client.came);
        }
        let always = self.scenario.retry == Retry::Always;
        let since = if always { client.came } else { client.first };
        if now - since <= self.scenario.patience {
            // The part of it that is within the time that is counted.
            let from = now.max(self.scenario.seconds * UNCOUNTED);
            let to = (now + client.size).min(self.scenario.seconds);
            self.good += (to - from).max(0.0);
            self.good_count += usize::from(counted);
        }
    }

    fn served(&mut self, who: usize, now: f64) {
        self.busy -= 1;
        self.in_system -= 1;
        let client = self.clients[who];
        self.gate.served(&Answer {
            latency: now - client.came,
            in_flight: client.in_flight,
            estimate: client.estimate,
            held: now - client.began,
            at: at(now),
        });
        self.begin(now);
    }

    fn outcome(mut self) -> OverloadOutcome {
        self.waits.sort_unstable_by(f64::total_cmp);
        let able = self.scenario.able() as f64 * self.scenario.seconds * (1.0 - UNCOUNTED);
        OverloadOutcome {
            goodput: self.good / able,
            wait_p50: quantile(&self.waits, 0.5),
            wait_p99: quantile(&self.waits, 0.99),
            refusals: self.refusals as f64 / self.good_count.max(1) as f64,
            bound: self.scenario.bound(),
        }
    }
}

//! Backends of a simulation: a few slots each, one line, first come first served.

use std::collections::VecDeque;

/// How many times slower a slow backend is.
const SLOW: f64 = 3.0;

/// One backend. As its line is served in order and sizes are known to the simulation, what a
/// request begins and ends at is known when it joins.
#[derive(Clone, Debug)]
pub(super) struct Server {
    /// When each slot has done what was given to it so far.
    free_at: Vec<f64>,
    /// When it is slow.
    slow: (f64, f64),
    /// Requests in it.
    pub(super) in_flight: usize,
    /// Of the latest answers, how many were in it when the request came, and how long it took.
    answers: VecDeque<(usize, f64)>,
}

/// Answers that are remembered.
const ANSWERS: usize = 64;
/// Of those, so many that met about the same load say how long requests take under it.
const ALIKE: usize = 9;

impl Server {
    pub(super) fn new(slots: usize, slow: (f64, f64)) -> Self {
        let free_at = vec![0.0; slots];
        Self { free_at, slow, in_flight: 0, answers: VecDeque::with_capacity(ANSWERS) }
    }

    /// How fast it is at `time`.
    pub(super) fn speed(&self, time: f64) -> f64 {
        if self.slow.0 <= time && time < self.slow.1 { 1.0 / SLOW } else { 1.0 }
    }

    fn first_free(&self) -> (usize, f64) {
        let slots = self.free_at.iter().copied().enumerate();
        slots.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or((0, f64::MAX))
    }

    /// When a request of `size` that joins now would begin and end. It runs at the speed that its
    /// backend has when it begins.
    pub(super) fn would_run(&self, size: f64, now: f64) -> (f64, f64) {
        let begins = self.first_free().1.max(now);
        (begins, begins + size / self.speed(begins))
    }

    /// A request joins.
    pub(super) fn join(&mut self, size: f64, now: f64) -> (f64, f64) {
        let (slot, _) = self.first_free();
        let (begins, ends) = self.would_run(size, now);
        self.free_at[slot] = ends;
        self.in_flight += 1;
        (begins, ends)
    }

    /// A request that met `met` others has been served.
    pub(super) fn leave(&mut self, met: usize, latency: f64) {
        self.in_flight -= 1;
        if self.answers.len() == ANSWERS {
            self.answers.pop_front();
        }
        self.answers.push_back((met, latency));
    }

    /// How long requests take that meet what is in it now: the median of those that met about as
    /// many; zero before the first answer.
    pub(super) fn latency(&self) -> f64 {
        let mut answers: Vec<_> = self.answers.iter().copied().collect();
        answers.sort_by_key(|(met, _)| met.abs_diff(self.in_flight));
        answers.truncate(ALIKE);
        answers.sort_unstable_by(|a, b| a.1.total_cmp(&b.1));
        answers.get(answers.len() / 2).map_or(0.0, |answer| answer.1)
    }
}

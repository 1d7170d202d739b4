//! Other ways to choose a backend, behind one trait: for comparison, and for taste.
//!
//! A [`Balancer`](crate::Balancer) made by
//! [`with_policy`](crate::Balancer::with_policy) asks its policy whom to send a request to, and
//! does everything else itself: it counts, ejects, probes and drains.

mod bounded_hash;
mod least_request;
mod peak_ewma;
mod prequal;
mod round_robin;
mod shortest_queue;

use std::fmt;
use std::time::Duration;

use plimsoll_core_types::{ReplicaId, Timestamp};

pub use bounded_hash::BoundedHash;
pub use least_request::LeastRequest;
pub use peak_ewma::PeakEwma;
pub use prequal::Prequal;
pub use round_robin::{RandomChoice, RoundRobin};
pub use shortest_queue::ShortestQueue;

use crate::balance::{BackendReport, Work};
use crate::random::Random;

/// One backend as a policy sees it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Candidate {
    /// Where it stands among the backends; stays as long as the backend does.
    pub place: usize,
    /// Which it is.
    pub id: ReplicaId,
    /// Requests in progress there: this balancer's, and others' by the last report.
    pub in_progress: usize,
    /// How many it can work on at once.
    pub slots: usize,
}

/// Chooses a backend for each request. Backends are named by their place.
pub trait Policy: Send + fmt::Debug {
    /// What it is called, in reports.
    fn name(&self) -> &'static str;

    /// Who gets `work`: a place in `open`, which holds those that take requests, in order of
    /// their places, and is not empty. An answer past its end is taken as the last.
    fn pick(&mut self, open: &[Candidate], work: &Work, random: &mut Dice, now: Timestamp)
    -> usize;

    /// A request that was sent to `place` has ended, well or not.
    fn ended(&mut self, place: usize, latency: Duration, well: bool, now: Timestamp) {
        let _ = (place, latency, well, now);
    }

    /// `place` said something of itself.
    fn reported(&mut self, place: usize, report: &BackendReport, now: Timestamp) {
        let _ = (place, report, now);
    }

    /// `place` has another backend from now on: what was known of it is of somebody else.
    fn replaced(&mut self, place: usize) {
        let _ = place;
    }
}

/// Where policies take their random numbers; replays by the balancer's seed.
#[derive(Debug)]
pub struct Dice(Random);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(Random::new(seed))
    }

    /// Uniform in `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        self.0.below(bound)
    }

    /// Two different numbers in `0..bound`; the same where there is only one.
    pub fn two_below(&mut self, bound: usize) -> (usize, usize) {
        let first = self.below(bound);
        let second = self.below(bound.saturating_sub(1));
        (first, if second >= first && bound > 1 { second + 1 } else { second })
    }
}

/// State for each place, made when it is first asked for.
#[derive(Clone, Debug)]
struct PerPlace<T>(Vec<T>);

impl<T> Default for PerPlace<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Clone + Default> PerPlace<T> {
    fn get(&mut self, place: usize) -> &mut T {
        if place >= self.0.len() {
            self.0.resize(place + 1, T::default());
        }
        &mut self.0[place]
    }

    fn reset(&mut self, place: usize) {
        if let Some(state) = self.0.get_mut(place) {
            *state = T::default();
        }
    }
}

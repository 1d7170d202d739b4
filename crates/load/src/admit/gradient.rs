//! Lowers the limit where fewer requests at once serve more.
//!
//! A server that slows down under concurrency (memory-bound, or one that thrashes) may serve more
//! with fewer permits. Latency alone does not show that: it follows the sizes of requests. Divided by
//! the work that was predicted of each, it is how slow the server is, whatever it is asked; and by
//! Little's law `n` at once that are so many times slower serve `n ÷ slowness`. That curve is measured
//! where the limit is and, for a short while now and then, a step beside it; the limit goes to the
//! most permits that serve about as much as the best. Where slowness does not grow with concurrency
//! that is all of them, so what admission does without this is not made worse but by those looks.
//!
//! Limits that compare latency with a baseline (Netflix's gradients, TCP Vegas) keep the baseline
//! when the server changes; here each point of the curve is forgotten, and measured anew.

use std::time::Duration;

use plimsoll_core_types::Timestamp;

/// Points of the curve: eighths of the permits there would be without it.
const STEPS: usize = 8;
/// Answers from which on a point is believed.
const ENOUGH: f64 = 400.0;
/// Answers that a point remembers at most: about the latest of them count.
const MOST: f64 = 1000.0;
/// Answers elsewhere for which a point is believed that nothing is heard of. As each look takes
/// [`ENOUGH`], looks are a thirtieth of all answers, with an eighth fewer permits.
const BELIEVED: u64 = 12_000;
/// A point must serve this share more for fewer permits to be worth it.
const GAIN: f64 = 0.08;

#[derive(Clone, Copy, Debug, Default)]
struct Point {
    answers: f64,
    /// Seconds of predicted work, and for which it was held.
    work: f64,
    held: f64,
    /// The count of answers when it was last heard of.
    heard: u64,
}

impl Point {
    fn hear(&mut self, work: f64, held: f64, heard: u64) {
        if !self.is_believed(heard) {
            *self = Self::default();
        }
        if self.answers >= MOST {
            let keeps = 0.5;
            (self.answers, self.work, self.held) =
                (self.answers * keeps, self.work * keeps, self.held * keeps);
        }
        self.answers += 1.0;
        self.work += work;
        self.held += held;
        self.heard = heard;
    }

    fn is_believed(&self, heard: u64) -> bool {
        heard - self.heard <= BELIEVED
    }

    fn is_known(&self, heard: u64) -> bool {
        self.answers >= ENOUGH && self.is_believed(heard) && self.held > 0.0
    }
}

/// The curve, and where on it the limit is.
#[derive(Debug)]
pub(super) struct Gradient {
    points: [Point; STEPS],
    /// The step at which the limit rests, from 1 to all of them.
    rests: usize,
    /// The step beside it that is being looked at.
    looks: Option<usize>,
    /// Answers while all permits were out.
    heard: u64,
    /// When the limit was last changed: what began before says nothing of it.
    changed: Timestamp,
    ceiling: usize,
}

impl Default for Gradient {
    fn default() -> Self {
        Self {
            points: [Point::default(); STEPS],
            rests: STEPS,
            looks: None,
            heard: 0,
            changed: Timestamp::ZERO,
            ceiling: 0,
        }
    }
}

impl Gradient {
    fn step_now(&self) -> usize {
        self.looks.unwrap_or(self.rests)
    }

    /// How many permits there are of `ceiling`.
    pub(super) fn limit(&self, ceiling: usize) -> usize {
        (ceiling * self.step_now()).div_ceil(STEPS).max(1)
    }

    /// A request of `work` has held its permit for so long, while `in_progress` were out.
    pub(super) fn hear(
        &mut self,
        work: Duration,
        held: Duration,
        in_progress: usize,
        now: Timestamp,
    ) {
        let limit = self.limit(self.ceiling);
        // Only while all permits are out does this speak for the limit.
        let full = in_progress + 1 >= limit && in_progress <= limit;
        if full && now.saturating_since(self.changed) >= held {
            self.heard += 1;
            let point = &mut self.points[self.step_now() - 1];
            point.hear(work.as_secs_f64(), held.as_secs_f64(), self.heard);
        }
    }

    /// A window has passed; `demand` is whether somebody was kept waiting in it. `ceiling` is how
    /// many permits there would be without this.
    pub(super) fn step(&mut self, demand: bool, ceiling: usize, now: Timestamp) {
        if ceiling != self.ceiling {
            *self = Self { ceiling, changed: now, ..Self::default() };
        }
        if !demand || ceiling < STEPS {
            return;
        }
        let before = self.step_now();
        self.look();
        if self.step_now() != before {
            self.changed = now;
        }
    }

    fn look(&mut self) {
        if !self.is_known(self.step_now()) {
            return;
        }
        self.rests = self.best();
        // Beside it, what is not known is looked at: fewer first, as more may be far slower.
        let beside = [self.rests - 1, self.rests + 1].into_iter();
        let mut unknown = beside.filter(|step| (1..=STEPS).contains(step) && !self.is_known(*step));
        self.looks = unknown.next();
    }

    fn is_known(&self, step: usize) -> bool {
        self.points[step - 1].is_known(self.heard)
    }

    /// The most permits that serve about as much as the best.
    fn best(&self) -> usize {
        let serves = |step: usize| {
            let point = &self.points[step - 1];
            self.is_known(step).then(|| step as f64 * point.work / point.held)
        };
        let known = (1..=STEPS).filter_map(|step| Some((step, serves(step)?)));
        let most = known.clone().map(|(_, served)| served).fold(0.0, f64::max);
        let good = known.filter(|(_, served)| served * (1.0 + GAIN) >= most);
        good.map(|(step, _)| step).max().unwrap_or(self.rests)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::random::Random;

    const CEILING: usize = 64;

    /// The limits of so many windows of 100 answers each, whose work differs, from a server that is
    /// `slow(limit)` times slower.
    fn run(windows: usize, slow: impl Fn(usize, usize) -> f64) -> Vec<usize> {
        let (mut gradient, mut random) = (Gradient::default(), Random::new(5));
        let mut now = Timestamp::ZERO;
        gradient.step(true, CEILING, now);
        let window = |number| {
            for _ in 0..100 {
                let limit = gradient.limit(CEILING);
                let work = random.normal().exp();
                let held = work * slow(number, limit) * (0.5 * random.normal()).exp();
                now += Duration::from_secs_f64(held);
                let held = Duration::from_secs_f64(held);
                gradient.hear(Duration::from_secs_f64(work), held, limit, now);
            }
            gradient.step(true, CEILING, now);
            gradient.limit(CEILING)
        };
        (0..windows).map(window).collect()
    }

    #[test]
    fn a_server_that_does_not_slow_down_keeps_its_permits_but_for_short_looks() {
        let limits = run(2000, |_, _| 1.0);
        let less = limits.iter().filter(|limit| **limit < CEILING).count();
        assert!(limits.iter().all(|limit| *limit >= CEILING * 7 / 8));
        assert!(less < 2000 / 16, "{less} windows of 2000");
    }

    #[test]
    fn a_server_that_thrashes_is_given_what_it_serves_best() {
        let thrashes = |_, limit: usize| (limit as f64 / 16.0).max(1.0).powi(2);
        let limits = run(1000, thrashes);
        let last = &limits[600..];
        let mean = last.iter().sum::<usize>() as f64 / last.len() as f64;
        assert!((14.0..20.0).contains(&mean), "{mean}");
    }

    #[test]
    fn what_has_passed_is_forgotten() {
        // Slow for whatever reason for a while: cold models, not concurrency.
        let limits =
            run(
                1500,
                |window, limit| {
                    if window < 300 { (limit as f64 / 16.0).max(1.0).powi(2) } else { 1.0 }
                },
            );
        let last = &limits[1200..];
        let mean = last.iter().sum::<usize>() as f64 / last.len() as f64;
        assert!(mean > 0.98 * CEILING as f64, "{mean}");
    }

    #[test]
    fn without_demand_or_with_few_permits_nothing_changes() {
        let mut gradient = Gradient::default();
        for second in 0..500 {
            let now = Timestamp::from_nanos(second * 1_000_000_000);
            let work = Duration::from_millis(1);
            for _ in 0..300 {
                gradient.hear(work, work * 100, CEILING, now);
            }
            gradient.step(false, CEILING, now);
            assert_eq!(gradient.limit(CEILING), CEILING);
        }
        for second in 500..600 {
            gradient.step(true, 4, Timestamp::from_nanos(second * 1_000_000_000));
            assert_eq!(gradient.limit(4), 4);
        }
    }
}

//! Concurrency limits that follow latency, re-implemented from the rules and the defaults of
//! Netflix's `concurrency-limits`, for comparison. Times are in seconds.

use std::fmt;

use crate::random::Random;

/// A limit on requests in progress that is adapted at each answer.
pub(super) trait Limit: fmt::Debug {
    fn limit(&self) -> usize;

    /// A request was answered after `latency`; `in_flight` were in progress when it began.
    fn answered(&mut self, latency: f64, in_flight: usize);
}

/// Always the same.
#[derive(Debug)]
pub(super) struct Fixed(pub(super) usize);

impl Limit for Fixed {
    fn limit(&self) -> usize {
        self.0
    }

    fn answered(&mut self, _: f64, _: usize) {}
}

/// Additive increase, multiplicative decrease: one more at each answer in time, a tenth less at
/// each that took over 5 s.
#[derive(Debug)]
pub(super) struct Aimd(usize);

impl Default for Aimd {
    fn default() -> Self {
        Self(20)
    }
}

impl Limit for Aimd {
    fn limit(&self) -> usize {
        self.0
    }

    fn answered(&mut self, latency: f64, in_flight: usize) {
        const TIMEOUT: f64 = 5.0;
        const BACKOFF: f64 = 0.9;
        if latency > TIMEOUT {
            self.0 = (self.0 as f64 * BACKOFF) as usize;
        } else if in_flight * 2 >= self.0 {
            self.0 += 1;
        }
        self.0 = self.0.clamp(20, 200);
    }
}

/// TCP Vegas (Brakmo and Peterson, 1995): by the queue that the excess over the shortest latency
/// implies. Takes a new shortest latency now and then.
#[derive(Debug)]
pub(super) struct Vegas {
    limit: f64,
    shortest: f64,
    since_probe: u32,
    jitter: f64,
    random: Random,
}

impl Vegas {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = Random::new(seed ^ 0xbe6a);
        let jitter = 0.5 + random.unit() / 2.0;
        Self { limit: 20.0, shortest: 0.0, since_probe: 0, jitter, random }
    }
}

impl Limit for Vegas {
    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn answered(&mut self, latency: f64, in_flight: usize) {
        const PROBE: f64 = 30.0;
        self.since_probe += 1;
        if self.jitter * PROBE * self.limit <= f64::from(self.since_probe) {
            self.jitter = 0.5 + self.random.unit() / 2.0;
            self.since_probe = 0;
            self.shortest = latency;
            return;
        }
        if self.shortest == 0.0 || latency < self.shortest {
            self.shortest = latency;
            return;
        }
        if (in_flight * 2) as f64 <= self.limit {
            return;
        }
        let step = self.limit.trunc().log10().trunc().max(1.0);
        let queue = (self.limit * (1.0 - self.shortest / latency)).ceil();
        if queue <= step {
            self.limit += 6.0 * step;
        } else if queue < 3.0 * step {
            self.limit += step;
        } else if queue > 6.0 * step {
            self.limit -= step;
        }
        self.limit = self.limit.clamp(1.0, 1000.0);
    }
}

/// Netflix's second gradient: by the ratio of the long mean of latency to the last one.
#[derive(Debug)]
pub(super) struct Gradient2 {
    limit: f64,
    long: f64,
    seen: u32,
}

impl Default for Gradient2 {
    fn default() -> Self {
        Self { limit: 20.0, long: 0.0, seen: 0 }
    }
}

impl Limit for Gradient2 {
    fn limit(&self) -> usize {
        self.limit as usize
    }

    fn answered(&mut self, latency: f64, in_flight: usize) {
        const LONG: f64 = 2.0 / 601.0;
        const WARM_UP: u32 = 10;
        const TOLERANCE: f64 = 1.5;
        const SMOOTHING: f64 = 0.2;
        const QUEUE: f64 = 4.0;
        self.seen = self.seen.saturating_add(1);
        let follows = if self.seen <= WARM_UP { 1.0 / f64::from(self.seen) } else { LONG };
        self.long += (latency - self.long) * follows;
        let long = self.long;
        if long / latency > 2.0 {
            self.long *= 0.95;
        }
        if (in_flight as f64) < self.limit / 2.0 {
            return;
        }
        let gradient = (TOLERANCE * long / latency).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + QUEUE;
        self.limit = (self.limit + (wanted - self.limit) * SMOOTHING).clamp(20.0, 200.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_grow_while_answers_are_quick_and_shrink_when_they_are_not() {
        let check = |limit: &mut dyn Limit, slow: f64| {
            let first = limit.limit();
            for _ in 0..50 {
                limit.answered(0.1, limit.limit());
            }
            let grown = limit.limit();
            assert!(grown > first, "{limit:?}");
            for _ in 0..50 {
                limit.answered(slow, limit.limit());
            }
            assert!(limit.limit() < grown, "{limit:?} was {grown}");
        };
        check(&mut Aimd::default(), 6.0);
        check(&mut Vegas::new(1), 1.0);
        check(&mut Gradient2::default(), 1.0);
    }

    #[test]
    fn an_idle_server_teaches_them_nothing() {
        let check = |limit: &mut dyn Limit| {
            for _ in 0..200 {
                limit.answered(0.1, 1);
            }
            assert_eq!(limit.limit(), 20, "{limit:?}");
        };
        check(&mut Aimd::default());
        check(&mut Vegas::new(1));
        check(&mut Gradient2::default());
    }
}

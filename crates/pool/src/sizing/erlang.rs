//! The smallest pool that keeps waits within an objective.
//!
//! Source: A. K. Erlang, *Solution of some problems in the theory of probabilities* (1917), by the
//! recurrence for the loss formula, which neither overflows nor needs factorials.

use std::time::Duration;

use plimsoll_core_types::{PoolMetrics, Ratio};

use super::{SizeAdvice, SizingPolicy, clamp, demand, seconds, too_few, unmeasured};

/// The probability that a request waits longer than `wait` where `servers` serve requests that
/// come at random with `arrival_rate` a second and take `service_time` each, at random too
/// (M/M/c). One where they can't keep up.
///
/// ```
/// use std::time::Duration;
/// use plimsoll_pool::sizing::wait_probability;
///
/// let service = Duration::from_secs(1);
/// // One server at half load: every second request waits.
/// let half = wait_probability(1, 0.5, service, Duration::ZERO);
/// assert!((half - 0.5).abs() < 1e-12);
/// assert_eq!(wait_probability(1, 2.0, service, Duration::ZERO), 1.0);
/// ```
pub fn wait_probability(
    servers: usize,
    arrival_rate: f64,
    service_time: Duration,
    wait: Duration,
) -> f64 {
    if arrival_rate <= 0.0 {
        return 0.0;
    }
    let offered = arrival_rate * seconds(service_time);
    let servers_f = servers as f64;
    if servers_f <= offered {
        return 1.0;
    }
    let mut loss = 1.0;
    for server in 1..=servers {
        loss = offered * loss / (server as f64 + offered * loss);
    }
    let must_wait = loss / (1.0 - offered / servers_f * (1.0 - loss));
    let drain = servers_f / seconds(service_time) - arrival_rate;
    (must_wait * (-drain * wait.as_secs_f64()).exp()).clamp(0.0, 1.0)
}

/// The smallest size at which waits stay within an objective, from measured arrivals and holds.
///
/// Where requests were served and no hold was measured, the size stays: a service that takes no
/// time would need one server for any load.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ErlangC {
    /// The wait that should not be exceeded. Default 10 ms.
    pub wait: Duration,
    /// How often it may be exceeded. Default 0.01.
    pub exceeded: Ratio,
    /// A smaller pool is taken only when it meets the objective with this share more arrivals,
    /// which keeps the size from swinging. Default 0.2.
    pub hysteresis: Ratio,
    /// A larger share of arrivals is provided for where making one takes long: this much for each
    /// second that it takes, up to the double. Default 0.1.
    pub per_create_second: Ratio,
    /// Arrivals in the window below which nothing is changed. Default 20.
    pub min_arrivals: u64,
    /// The smallest size. Default 1.
    pub least: usize,
    /// The largest size. Default 1024.
    pub most: usize,
}

impl Default for ErlangC {
    fn default() -> Self {
        Self {
            wait: Duration::from_millis(10),
            exceeded: Ratio::saturating(0.01),
            hysteresis: Ratio::saturating(0.2),
            per_create_second: Ratio::saturating(0.1),
            min_arrivals: 20,
            least: 1,
            most: 1024,
        }
    }
}

impl ErlangC {
    fn smallest(&self, rate: f64, service: Duration) -> usize {
        let meets =
            |size: usize| wait_probability(size, rate, service, self.wait) <= self.exceeded.get();
        // The probability falls with the size, so the smallest can be searched by halves.
        let (mut low, mut high) = (self.least.max(1), self.most.max(1));
        while low < high {
            let middle = low.midpoint(high);
            if meets(middle) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }
}

impl SizingPolicy for ErlangC {
    fn size(&self, metrics: &PoolMetrics) -> SizeAdvice {
        if metrics.arrivals < self.min_arrivals {
            let size = clamp(metrics.size, self.least, self.most);
            let reason = too_few(metrics.arrivals, self.min_arrivals as usize);
            return SizeAdvice { size, reason };
        }
        if let Some(reason) = unmeasured(metrics) {
            return SizeAdvice { size: clamp(metrics.size, self.least, self.most), reason };
        }
        let cold = metrics.mean_create.as_secs_f64() * self.per_create_second.get();
        let rate = metrics.arrival_rate() * (1.0 + cold.min(1.0));
        let wanted = self.smallest(rate, metrics.mean_hold);
        if wanted >= metrics.size {
            return SizeAdvice { size: wanted, reason: demand(wanted) };
        }
        let cautious = self.smallest(rate * (1.0 + self.hysteresis.get()), metrics.mean_hold);
        let size = cautious.min(metrics.size).max(wanted);
        SizeAdvice { size: clamp(size, self.least, self.most), reason: demand(size) }
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::metrics;
    use super::*;

    #[test]
    fn agrees_with_published_values() {
        // Two servers at load 1: C = 1/3. Five at load 4: C = 0.5541. Ten at load 8: 0.4092.
        let service = Duration::from_secs(1);
        let check = |servers, offered, expected: f64| {
            let got = wait_probability(servers, offered, service, Duration::ZERO);
            assert!((got - expected).abs() < 1e-4, "{servers} at {offered}: {got}");
        };
        check(2, 1.0, 1.0 / 3.0);
        check(5, 4.0, 0.5541);
        check(10, 8.0, 0.4092);
        let later = wait_probability(2, 1.0, service, Duration::from_secs(1));
        assert!((later - (1.0 / 3.0) * (-1.0_f64).exp()).abs() < 1e-9);
    }

    #[test]
    fn the_smallest_that_meets_the_objective_is_taken() {
        let policy = ErlangC::default();
        let advice = policy.size(&metrics(10, 1.0, 0));
        let (rate, service) = (100.0 * 1.0005, Duration::from_millis(100));
        let at = |size| wait_probability(size, rate, service, policy.wait);
        assert!(at(advice.size) <= 0.01, "{advice:?}");
        assert!(at(advice.size - 1) > 0.01, "{advice:?}");
    }

    #[test]
    fn a_size_that_is_only_a_little_too_large_stays() {
        let policy = ErlangC::default();
        let wanted = policy.size(&metrics(1, 1.0, 0)).size;
        let kept = policy.size(&metrics(wanted + 1, 0.9, 0)).size;
        assert_eq!(kept, wanted + 1);
        let shrunk = policy.size(&metrics(wanted * 4, 0.2, 0)).size;
        assert!((wanted..wanted * 2).contains(&shrunk), "{wanted} {shrunk}");
    }

    #[test]
    fn few_arrivals_change_nothing() {
        let mut few = metrics(7, 0.1, 0);
        few.arrivals = 3;
        let advice = ErlangC::default().size(&few);
        assert_eq!(advice.size, 7);
        assert!(matches!(
            advice.reason,
            plimsoll_core_types::Reason::TooFewSamples { seen: 3, .. }
        ));
    }
}

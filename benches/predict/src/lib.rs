//! Streaming peers, written anew from what is published of them.

/// An exponentially weighted moving average: the least that can be called a forecast, and the
/// floor of what an update can cost.
#[derive(Clone, Copy, Debug)]
pub struct Ewma {
    level: f64,
    rate: f64,
}

impl Ewma {
    /// An average that gives a new value this share.
    pub const fn new(rate: f64) -> Self {
        Self { level: 0.0, rate }
    }

    /// Learns a value.
    pub fn observe(&mut self, value: f64) {
        self.level += self.rate * (value - self.level);
    }

    /// What it says of any step ahead.
    pub const fn forecast(&self) -> f64 {
        self.level
    }
}

/// The decaying histogram of the Kubernetes vertical pod autoscaler: buckets that grow by 5%, a
/// sample weighs twice as much as one that is half a day older, and the recommendation is the 90th
/// percentile.
#[derive(Clone, Debug)]
pub struct DecayingHistogram {
    weights: Vec<f64>,
    total: f64,
    reference: f64,
}

/// Upper end of the first bucket.
const FIRST: f64 = 0.01;
const GROWTH: f64 = 1.05;
const BUCKETS: usize = 176;
const HALF_LIFE_SECONDS: f64 = 43_200.0;
/// Decay is renormalised when weights have grown so many times.
const MOST_DOUBLINGS: f64 = 100.0;

impl Default for DecayingHistogram {
    fn default() -> Self {
        Self { weights: vec![0.0; BUCKETS], total: 0.0, reference: 0.0 }
    }
}

impl DecayingHistogram {
    /// Learns a value of a moment.
    pub fn observe(&mut self, seconds: f64, value: f64) {
        if (seconds - self.reference) / HALF_LIFE_SECONDS > MOST_DOUBLINGS {
            let factor = (-(seconds - self.reference) / HALF_LIFE_SECONDS).exp2();
            self.weights.iter_mut().for_each(|weight| *weight *= factor);
            self.total *= factor;
            self.reference = seconds;
        }
        let weight = ((seconds - self.reference) / HALF_LIFE_SECONDS).exp2();
        self.weights[bucket(value)] += weight;
        self.total += weight;
    }

    /// The end of the bucket that holds the 90th percentile.
    pub fn forecast(&self) -> f64 {
        let mut below = 0.0;
        let reaches = |weight: &f64| {
            below += weight;
            below >= 0.9 * self.total
        };
        let place = self.weights.iter().position(reaches).unwrap_or(BUCKETS - 1);
        FIRST * (GROWTH.powf(place as f64 + 1.0) - 1.0) / (GROWTH - 1.0)
    }

    /// Bytes that it takes.
    pub fn bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.weights)
    }
}

fn bucket(value: f64) -> usize {
    if value < FIRST {
        return 0;
    }
    let place = (value * (GROWTH - 1.0) / FIRST + 1.0).ln() / GROWTH.ln();
    (place as usize).min(BUCKETS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_histogram_finds_the_percentile_of_late() {
        let mut histogram = DecayingHistogram::default();
        for step in 0..2_000 {
            histogram.observe(f64::from(step) * 60.0, 10.0);
        }
        for step in 0..100_000_u32 {
            let value = f64::from(step * 7919 % 100) / 100.0;
            histogram.observe(120_000.0 + f64::from(step) * 60.0, value);
        }
        let seen = histogram.forecast();
        assert!((0.88..0.99).contains(&seen), "{seen}");
    }

    #[test]
    fn the_average_follows() {
        let mut average = Ewma::new(0.3);
        (0..50).for_each(|_| average.observe(4.0));
        assert!((average.forecast() - 4.0).abs() < 1e-6);
    }
}

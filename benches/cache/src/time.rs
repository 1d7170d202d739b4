//! Keys in advance, and the CPU time that accesses to them take.

use std::sync::Barrier;

/// Keys by Zipf's law, drawn in advance so that the draw is not measured.
#[derive(Clone, Debug)]
pub struct Zipf(Vec<u64>);

impl Zipf {
    /// `count` draws of `keys` keys with the exponent 0.99, scattered over all numbers.
    pub fn new(keys: usize, count: usize, seed: u64) -> Self {
        let mut sum = 0.0;
        let cumulative: Vec<f64> = (1..=keys)
            .map(|rank| {
                sum += (rank as f64).powf(-0.99);
                sum
            })
            .collect();
        let draw = |at: u64| {
            let uniform = (mix(seed ^ mix(at)) >> 11) as f64 / (1_u64 << 53) as f64;
            mix(cumulative.partition_point(|reached| *reached < uniform * sum) as u64)
        };
        Self((0..count as u64).map(draw).collect())
    }

    /// The keys in the order in which they are asked for.
    pub fn keys(&self) -> &[u64] {
        &self.0
    }
}

/// Steele, Lea and Flood, *Fast Splittable Pseudorandom Number Generators* (OOPSLA 2014).
const fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

/// CPU time of this thread so far, in nanoseconds.
fn thread_nanos() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    #[expect(unsafe_code, reason = "the standard library does not tell a thread's CPU time")]
    // SAFETY: the call writes to the time given, which outlives it.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    assert_eq!(failed, 0, "no clock of the thread's CPU time");
    time.tv_sec as f64 * 1e9 + time.tv_nsec as f64
}

/// CPU nanoseconds for each access, where as many threads as there are `lanes` run `access` over
/// the keys of their own at the same time.
///
/// # Panics
///
/// When `access` does.
pub fn nanos_per_access(lanes: &[&[u64]], access: &(dyn Fn(u64) + Sync)) -> f64 {
    let barrier = Barrier::new(lanes.len());
    let run = |keys: &[u64]| {
        barrier.wait();
        let begun = thread_nanos();
        for key in keys {
            access(*key);
        }
        (thread_nanos() - begun) / keys.len() as f64
    };
    let figures: Vec<f64> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = lanes.iter().map(|keys| scope.spawn(move || run(keys))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    figures.iter().sum::<f64>() / figures.len() as f64
}

/// The middle one.
pub fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

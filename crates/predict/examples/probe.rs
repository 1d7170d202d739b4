//! Probe.
#![expect(clippy::print_stdout, reason = "probe")]
use plimsoll_core_types::Timestamp;
use plimsoll_predict::{Forecaster, ForecasterConfig};
fn main() {
    let mut f = Forecaster::new(ForecasterConfig::new(std::time::Duration::from_secs(1))).unwrap();
    for s in 0..400_u64 {
        f.observe(Timestamp::from_nanos(s * 1_000_000_000), Some(if s % 20 < 3 { 50.0 } else { 1.0 }));
        if s == 199 || s == 399 {
            for h in [1, 2, 3, 4, 5, 8] { println!("{s} {h} {:?}", f.forecast(h).unwrap().values().map(|v| (v * 10.0).round() / 10.0)); }
            println!("{:?} {:?} bytes {}", f.tracked(), f.skill().collect::<Vec<_>>(), f.state_bytes());
        }
    }
}

//! Recorded keys with mistakes in them.

use plimsoll_cache::replay::{Capacity, Trace};
use plimsoll_testkit::{Garble, scale, seed};

const KEYS: &str = "# page, bytes\n/a 100\n/b 2048\n/a 100\n\n/c,7\nuser:42\t64\n";

#[test]
fn keys_are_understood_or_refused() {
    let mut garble = Garble::new(seed("cache.keys", 31));
    let mut understood = 0;
    let rounds = scale(50_000);
    for _ in 0..rounds {
        let text = garble.text(KEYS);
        match Trace::parse(&text) {
            Ok(trace) => {
                understood += 1;
                assert!(trace.unique_keys() <= trace.accesses().len());
                assert!(trace.early_mean_weight().is_finite());
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    assert!(understood > rounds / 20 && understood < rounds, "{understood} of {rounds}");
}

#[test]
fn capacities_are_understood_or_refused() {
    let mut garble = Garble::new(seed("cache.capacities", 32));
    for round in 0..scale(50_000) {
        let text = garble.text(["1%", "0.1 %", "512", "100%"][round % 4]);
        if let Ok(Capacity::Share(share)) = text.parse::<Capacity>() {
            assert!(share > 0.0 && share <= 1.0, "{text:?}: {share}");
        }
    }
}

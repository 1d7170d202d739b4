//! Quantities, names and priorities out of what is none.

use std::fmt::Display;
use std::str::FromStr;

use plimsoll_core_types::{
    AmountOrShare, Bytes, ConsumerId, Millicores, ModelId, Priority, Ratio, TenantId,
};
use plimsoll_testkit::{Garble, scale, seed};

const QUANTITIES: [&str; 14] = [
    "4Gi", "500m", "80%", "1.5Ti", "2", "0", "12e6", "1.25", "100k", "7Ei", "0.5%", "64 MiB",
    "250M", "8 cores",
];
const NAMES: [&str; 5] = ["llama-8b", "qwen2.5:7b-q4_K_M", "team/blue", "x", "high"];

/// Reads `text`; what was understood says itself in a way that is understood as the same.
#[track_caller]
fn check<T>(text: &str)
where
    T: FromStr + Display + PartialEq,
    T::Err: Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            // The largest amounts are said rounded up, past what 64 bits hold.
            let said = value.to_string();
            let error = said.parse::<T>().err().map(|error| error.to_string());
            let fine = error.as_ref().is_none_or(|error| error.contains("too large"));
            assert!(fine, "{text:?} says {said:?}, which is not understood: {error:?}");
        }
        // An error that says nothing helps nobody.
        Err(error) => assert!(!error.to_string().is_empty(), "{text:?}"),
    }
}

#[test]
fn quantities_are_understood_or_refused() {
    let mut garble = Garble::new(seed("core_types.quantities", 11));
    for round in 0..scale(60_000) {
        let text = garble.text(QUANTITIES[round % QUANTITIES.len()]);
        check::<Bytes>(&text);
        check::<Millicores>(&text);
        check::<Ratio>(&text);
        check::<AmountOrShare<Bytes>>(&text);
        if let Ok(ratio) = text.parse::<Ratio>() {
            assert!(ratio.get().is_finite() && ratio.get() >= 0.0, "{text:?}");
        }
    }
}

#[test]
fn names_are_understood_or_refused() {
    let mut garble = Garble::new(seed("core_types.names", 12));
    for round in 0..scale(60_000) {
        let text = garble.text(NAMES[round % NAMES.len()]);
        check::<ConsumerId>(&text);
        check::<ModelId>(&text);
        check::<TenantId>(&text);
        check::<Priority>(&text);
    }
}

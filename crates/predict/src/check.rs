//! What state that is read back must satisfy: every field in its range, by name.
//!
//! State comes from a disk or another process. Where it was cut, flipped or made up, the answer is
//! an error that names the field, before anything is computed with it. Ranges are those that the
//! algorithms keep by themselves, with some room for rounding.

/// The name of a field that does not hold what it may.
pub(crate) type Checked = Result<(), &'static str>;

/// Values, from the first one on, are no larger than this: a few times the largest that is let in.
pub(crate) const WILDEST: f32 = 1e33;

/// Whether `held` is true of the field.
pub(crate) const fn ensure(field: &'static str, held: bool) -> Checked {
    if held { Ok(()) } else { Err(field) }
}

/// Whether all values of the field are numbers from `least` to `most`.
pub(crate) fn within(field: &'static str, values: &[f32], least: f32, most: f32) -> Checked {
    ensure(field, values.iter().all(|value| (least..=most).contains(value)))
}

/// Whether they may be values of the series.
pub(crate) fn values(field: &'static str, values: &[f32]) -> Checked {
    within(field, values, -WILDEST, WILDEST)
}

/// Whether they may be means of sizes.
pub(crate) fn sizes(field: &'static str, values: &[f32]) -> Checked {
    within(field, values, 0.0, WILDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_number_is_in_no_range() {
        assert_eq!(values("a", &[0.0, -1e30]), Ok(()));
        for wrong in [f32::NAN, f32::INFINITY, f32::MIN] {
            assert_eq!(values("a", &[0.0, wrong]), Err("a"));
        }
        assert_eq!(sizes("b", &[-1.0]), Err("b"));
        assert_eq!(ensure("c", false), Err("c"));
    }
}

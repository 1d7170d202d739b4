//! Several numbers at once.
//!
//! What is learnt of a horizon is a dozen numbers for each of which the same is done. Left to
//! itself, the compiler finds some of that in scalar code, and spends as much again on moving
//! numbers between registers; here each step is one operation on [`Four`] of them, or on a
//! [`Dozen`]. The results are the same on every machine: nothing is fused or reordered, and where
//! there is no such register the same is done one by one.
//!
//! Wider registers are no faster here: an update is a few chains of operations, each of which waits
//! for the one before, and these wait as long for twelve numbers at once as for four.

mod dozen;
mod four;

pub(crate) use dozen::{Briefs, Dozen};
pub(crate) use four::{Brief, Four};

/// The twelve numbers of an array.
#[inline(always)]
pub(crate) fn twelve(values: &[f32; 12]) -> [Four; 3] {
    let (parts, _) = values.as_chunks::<4>();
    each(|part| Four::new(parts[part]))
}

/// Twelve numbers as an array.
#[inline(always)]
pub(crate) fn array(of: [Four; 3]) -> [f32; 12] {
    let mut values = [0.0; 12];
    for (to, from) in values.as_chunks_mut::<4>().0.iter_mut().zip(of) {
        *to = from.array();
    }
    values
}

/// What `of` makes of each of three parts.
#[inline(always)]
pub(crate) fn each(of: impl Fn(usize) -> Four) -> [Four; 3] {
    [of(0), of(1), of(2)]
}

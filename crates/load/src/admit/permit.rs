//! The right to be in progress.

use std::ops::Deref;

use super::Admission;

/// The right to be in progress; given back when it is dropped.
#[derive(Debug)]
#[must_use = "dropped at once, it limits nothing"]
pub struct Permit<H: Deref<Target = Admission>> {
    admission: H,
}

impl<H: Deref<Target = Admission>> Permit<H> {
    pub(super) const fn new(admission: H) -> Self {
        Self { admission }
    }
}

impl<H: Deref<Target = Admission>> Drop for Permit<H> {
    #[inline]
    fn drop(&mut self) {
        self.admission.give_back();
    }
}

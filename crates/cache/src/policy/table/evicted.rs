//! What was given up.

/// Payloads that were given up, for whoever must drop them outside of a lock. Mostly it is one,
/// which has its place here: one on a heap would cost another line of memory.
#[derive(Clone, Debug)]
#[repr(C)]
pub(crate) struct Evicted<T> {
    one: Option<T>,
    more: Vec<T>,
}

impl<T> Evicted<T> {
    pub(super) const fn new() -> Self {
        Self { one: None, more: Vec::new() }
    }

    #[inline]
    pub(in crate::policy) fn push(&mut self, payload: T) {
        if self.one.is_none() {
            self.one = Some(payload);
        } else {
            self.more.push(payload);
        }
    }

    /// What was given up since it was asked last: one, and the rest where there are more.
    #[inline]
    pub(in crate::policy) fn take(&mut self) -> (Option<T>, Vec<T>) {
        let more = if self.more.is_empty() { Vec::new() } else { std::mem::take(&mut self.more) };
        (self.one.take(), more)
    }

    #[inline]
    pub(in crate::policy) fn clear(&mut self) {
        self.one = None;
        self.more.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_come_out_once() {
        let mut evicted = Evicted::new();
        assert_eq!(evicted.take(), (None, vec![]));
        (0..4).for_each(|at| evicted.push(at));
        assert_eq!(evicted.take(), (Some(0), vec![1, 2, 3]));
        evicted.push(4);
        assert_eq!(evicted.take(), (Some(4), vec![]));
        (5..8).for_each(|at| evicted.push(at));
        evicted.clear();
        assert_eq!(evicted.take(), (None, vec![]));
    }
}

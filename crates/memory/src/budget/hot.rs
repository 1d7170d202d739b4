//! The words of a node that are read and written without a lock.
//!
//! A node keeps **credit**: bytes that are charged to it and to all its ancestors already, and
//! that nobody holds yet. Taking from it is one compare-exchange however deep the tree is, and
//! needs no look at an ancestor: whatever is taken has been checked against each of them.
//!
//! When a subtree is **pressed** its credit is swept back, and everything in it goes by the lock,
//! where it is exact. The flag is a bit of the credit's own word, so that no taking and no giving
//! back can miss it.

use super::error::{Cause, NodeId, Rejected};
use super::sync::{Apart, AtomicBool, AtomicU32, AtomicU64, Ordering};

/// The bit of a credit word that says that the lock must be taken.
const PRESSED: u64 = 1 << 63;

/// What a node shows to those who hold no lock.
#[derive(Debug)]
pub(super) struct Hot {
    credit: Apart<AtomicU64>,
    seldom: Apart<Seldom>,
}

/// What changes only under the tree's lock.
#[derive(Debug)]
struct Seldom {
    /// The same as the bit in the credit's word, for leaves, which look here at each step.
    pressed: AtomicBool,
    /// More than this can't be had, as of [`Self::as_of`].
    ceiling: AtomicU64,
    as_of: AtomicU64,
    limiter: AtomicU32,
    cause: AtomicU32,
    /// The tightest limit from here up, which nothing can ever pass, and whose it is.
    tightest: AtomicU64,
    tightest_of: AtomicU32,
}

impl Hot {
    pub(super) fn new(pressed: bool) -> Self {
        let seldom = Seldom {
            pressed: AtomicBool::new(pressed),
            ceiling: AtomicU64::new(0),
            as_of: AtomicU64::new(u64::MAX),
            limiter: AtomicU32::new(0),
            cause: AtomicU32::new(0),
            tightest: AtomicU64::new(u64::MAX),
            tightest_of: AtomicU32::new(0),
        };
        let credit = AtomicU64::new(if pressed { PRESSED } else { 0 });
        Self { credit: Apart(credit), seldom: Apart(seldom) }
    }

    /// Takes `bytes` of credit, where it is there and the node is not pressed.
    #[inline]
    pub(super) fn try_take(&self, bytes: u64) -> bool {
        let mut credit = self.credit.0.load(Ordering::Relaxed);
        loop {
            if credit & PRESSED != 0 || credit < bytes {
                return false;
            }
            match self.credit.0.compare_exchange_weak(
                credit,
                credit - bytes,
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return true,
                Err(seen) => credit = seen,
            }
        }
    }

    /// Puts `bytes` to the credit. True where somebody must see to it under the lock: the node is
    /// pressed, or has more than `most` now.
    #[inline]
    pub(super) fn give(&self, bytes: u64, most: u64) -> bool {
        // Credit is charged to the root, whose limit is below the bit.
        let before = self.credit.0.fetch_add(bytes, Ordering::AcqRel);
        before + bytes > most
    }

    /// True where the node is pressed; may be told late.
    #[inline]
    pub(super) fn is_pressed(&self) -> bool {
        self.seldom.0.pressed.load(Ordering::Relaxed)
    }

    /// The refusal of `bytes`, where that is known without the lock: they are more than may ever be
    /// held, or nothing has come back since fewer could be had.
    #[inline]
    pub(super) fn refusal(&self, bytes: u64, epoch: &AtomicU64) -> Option<Rejected> {
        let seldom = &self.seldom.0;
        let tightest = seldom.tightest.load(Ordering::Relaxed);
        if bytes > tightest {
            let limiter = NodeId(seldom.tightest_of.load(Ordering::Relaxed));
            return Some(Rejected::new(bytes, tightest, limiter, Cause::Limit));
        }
        let as_of = seldom.as_of.load(Ordering::Acquire);
        let ceiling = seldom.ceiling.load(Ordering::Acquire);
        if bytes <= ceiling || as_of != epoch.load(Ordering::Acquire) {
            return None;
        }
        let limiter = NodeId(seldom.limiter.load(Ordering::Relaxed));
        let cause = Cause::from_code(seldom.cause.load(Ordering::Relaxed));
        Some(Rejected::new(bytes, ceiling, limiter, cause))
    }

    /// Remembers a refusal. Under the lock only.
    pub(super) fn note_refusal(&self, refused: &Rejected, epoch: u64) {
        let seldom = &self.seldom.0;
        // A reader between these sees the old moment, or none.
        seldom.as_of.store(u64::MAX, Ordering::Release);
        seldom.limiter.store(refused.limiter().0, Ordering::Relaxed);
        seldom.cause.store(refused.cause().code(), Ordering::Relaxed);
        seldom.ceiling.store(refused.available().get(), Ordering::Release);
        seldom.as_of.store(epoch, Ordering::Release);
    }

    /// Remembers the tightest limit from here up. Under the lock only.
    pub(super) fn note_limit(&self, tightest: u64, of: NodeId) {
        self.seldom.0.tightest_of.store(of.0, Ordering::Relaxed);
        self.seldom.0.tightest.store(tightest, Ordering::Relaxed);
    }

    /// Takes all credit. Under the lock only.
    pub(super) fn sweep(&self) -> u64 {
        self.credit.0.fetch_and(PRESSED, Ordering::AcqRel) & !PRESSED
    }

    /// Puts swept or drawn credit where it can be taken. Under the lock only, and only where the
    /// node is not pressed.
    pub(super) fn stock(&self, bytes: u64) {
        self.credit.0.fetch_add(bytes, Ordering::AcqRel);
    }

    /// The credit that is there.
    pub(super) fn credit(&self) -> u64 {
        self.credit.0.load(Ordering::Acquire) & !PRESSED
    }

    /// Sets or clears the flag. Under the lock only. Setting it sweeps, and answers what was
    /// there; clearing leaves what is there.
    pub(super) fn press(&self, pressed: bool) -> u64 {
        self.seldom.0.pressed.store(pressed, Ordering::Release);
        if pressed {
            self.credit.0.swap(PRESSED, Ordering::AcqRel) & !PRESSED
        } else {
            self.credit.0.fetch_and(!PRESSED, Ordering::AcqRel);
            0
        }
    }
}

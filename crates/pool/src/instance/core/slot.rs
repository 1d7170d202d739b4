//! A place for one object, and the right to use it.
#![expect(unsafe_code, reason = "slots are reached by address, which costs no count of references")]

use std::mem::MaybeUninit;
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

use super::sync::{AtomicU32, UnsafeCell};

/// Set in a slot whose object is to be retired when it comes back.
pub(super) const RETIRE: u32 = 1;
/// Set in a slot whose object is too old while another one is made in its place.
pub(super) const REPLACING: u32 = 2;
/// Set in a slot whose object was just made and has not been idle yet: it needs no check.
pub(super) const FRESH: u32 = 4;
pub(super) const NUMBER_SHIFT: u32 = 8;

/// A place for one object: 16 bytes beside the object itself.
#[derive(Debug)]
pub(crate) struct Slot<T> {
    /// The slot below it in the stack, as its number plus one; 0 at the bottom. Also links the
    /// vacant ones.
    pub(super) next: AtomicU32,
    /// The slot's number and flags.
    pub(super) meta: AtomicU32,
    /// When it was last given back, in ticks of the pool.
    pub(super) since: AtomicU32,
    /// When the object is too old, in ticks; 0 is never.
    pub(super) expires: AtomicU32,
    pub(super) object: UnsafeCell<MaybeUninit<T>>,
}

/// A slot, by its address. Only a [`Stack`](super::slots::Stack) makes these, and whoever keeps one keeps that stack:
/// the pool lives as long as any of its objects is out.
#[derive(Debug)]
pub(crate) struct SlotRef<T>(pub(super) NonNull<Slot<T>>);

// SAFETY: it is the right to use the slot's object, which can move between threads where `T` can.
unsafe impl<T: Send> Send for SlotRef<T> {}
// SAFETY: through a shared one, only atomics and shared references to the object can be reached.
unsafe impl<T: Sync> Sync for SlotRef<T> {}

impl<T> Clone for SlotRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for SlotRef<T> {}

impl<T> PartialEq for SlotRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Deref for SlotRef<T> {
    type Target = Slot<T>;

    #[inline]
    fn deref(&self) -> &Slot<T> {
        // SAFETY: slots are never freed before their stack, which outlives this.
        unsafe { self.0.as_ref() }
    }
}

impl<T> SlotRef<T> {
    /// The slot's address, for a word that says who was given what.
    pub(crate) const fn as_ptr(self) -> *mut Slot<T> {
        self.0.as_ptr()
    }

    /// The slot at an address that [`as_ptr`](Self::as_ptr) gave, or none for null.
    ///
    /// # Safety
    ///
    /// The address must be from `as_ptr`, or null.
    pub(crate) const unsafe fn from_ptr(slot: *mut Slot<T>) -> Option<Self> {
        match NonNull::new(slot) {
            Some(slot) => Some(Self(slot)),
            None => None,
        }
    }
}

impl<T> Slot<T> {
    pub(super) fn new(number: usize) -> Self {
        Self {
            next: AtomicU32::new(0),
            meta: AtomicU32::new((number as u32) << NUMBER_SHIFT),
            since: AtomicU32::new(0),
            expires: AtomicU32::new(0),
            object: UnsafeCell::new(MaybeUninit::uninit()),
        }
    }

    #[inline]
    pub(super) fn number(&self) -> u32 {
        self.meta.load(Relaxed) >> NUMBER_SHIFT
    }

    /// The object's address.
    #[inline]
    pub(crate) fn object(&self) -> *mut T {
        self.object.with_mut(<*mut MaybeUninit<T>>::cast::<T>)
    }

    /// True where the object is to be retired when it comes back.
    #[inline]
    pub(crate) fn retires(&self) -> bool {
        self.meta.load(Relaxed) & RETIRE != 0
    }

    /// Has the object retired when it comes back.
    pub(crate) fn retire(&self) {
        self.meta.fetch_or(RETIRE, Relaxed);
    }

    /// Whether the object was just made and has not been idle yet. Says so once.
    #[inline]
    pub(crate) fn take_fresh(&self) -> bool {
        let fresh = self.meta.load(Relaxed) & FRESH != 0;
        if fresh {
            self.meta.fetch_and(!FRESH, Relaxed);
        }
        fresh
    }

    /// Whether another object is being made in place of this one.
    pub(crate) fn is_replaced(&self) -> bool {
        self.meta.load(Relaxed) & REPLACING != 0
    }

    /// Notes whether another object is being made in place of this one.
    pub(crate) fn replace(&self, replacing: bool) {
        if replacing {
            self.meta.fetch_or(REPLACING, Relaxed);
        } else {
            self.meta.fetch_and(!REPLACING, Relaxed);
        }
    }

    /// When it was last given back, in ticks.
    pub(crate) fn since(&self) -> u32 {
        self.since.load(Relaxed)
    }

    /// When its object is too old, in ticks; 0 is never.
    pub(crate) fn expires(&self) -> u32 {
        self.expires.load(Relaxed)
    }
}

/// What the pool takes for each object beside the object itself, in bytes, where that is aligned
/// like a pointer.
pub const SLOT_OVERHEAD: usize = size_of::<Slot<u64>>() - size_of::<u64>();

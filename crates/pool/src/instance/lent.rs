//! The tokens that hold an object's place in the pool.
#![expect(
    unsafe_code,
    reason = "a loan costs no count of references: the pool outlives it by rule"
)]

use std::fmt;
use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

use super::core::{Cause, SlotRef};
use super::{Hooks, Manager, Shared};

/// An object on loan. Dropping it gives it back.
///
/// It keeps the pool's innards alive without counting: as long as an object exists, lent ones
/// included, they hold themselves.
#[must_use = "dropping a Lent gives it back at once"]
pub struct Lent<M: Manager> {
    held: ManuallyDrop<Held<M>>,
}

/// A slot that is in nobody else's hands, with its object. Dropping it retires the object: so ends
/// one whose check fails, is broken off or panics.
pub(super) struct Held<M: Manager> {
    slot: SlotRef<M::Object>,
    shared: NonNull<Shared<M>>,
}

// SAFETY: it is a pool, which is shared between threads anyway, and an object, which may be moved
// to another one.
unsafe impl<M: Manager> Send for Held<M> {}
// SAFETY: through a shared one, the pool and a shared reference to the object can be reached.
unsafe impl<M: Manager> Sync for Held<M> where M::Object: Sync {}

impl<M: Manager> Held<M> {
    #[inline]
    pub(super) fn new(shared: &Shared<M>, slot: SlotRef<M::Object>) -> Self {
        Self { slot, shared: NonNull::from(shared) }
    }

    /// The pool that it belongs to.
    #[inline]
    pub(super) fn shared(&self) -> &Shared<M> {
        // SAFETY: an object is out, so the pool's size is not zero, so its anchor holds it.
        unsafe { self.shared.as_ref() }
    }

    #[inline]
    pub(super) fn object(&self) -> &M::Object {
        // SAFETY: the slot is this token's, so it holds an object that nobody else can reach.
        unsafe { &*self.slot.object() }
    }

    #[inline]
    pub(super) fn object_mut(&mut self) -> &mut M::Object {
        // SAFETY: as above, and `&mut self` makes it the only reference.
        unsafe { &mut *self.slot.object() }
    }

    /// Whether the object has to be checked, which then begins. One that was just made has not.
    #[inline]
    pub(super) fn begins_check(&mut self) -> bool {
        let used = !self.slot.take_fresh();
        if used {
            self.tell(Hooks::before_recycle);
        }
        used
    }

    #[inline]
    fn tell(&mut self, what: impl FnOnce(&dyn Hooks<M::Object>, &mut M::Object)) {
        // SAFETY: the pool is alive while this token is, and is no part of the object.
        let shared = unsafe { self.shared.as_ref() };
        if let Some(hooks) = &shared.hooks {
            what(&**hooks, self.object_mut());
        }
    }

    /// Hands the object to whoever is next, unused.
    pub(super) fn pass_on(self) {
        self.give_back();
    }

    /// Lends the object, which is new or has passed its check.
    #[inline]
    pub(super) fn lend(mut self) -> Lent<M> {
        self.tell(Hooks::on_checkout);
        Lent { held: ManuallyDrop::new(self) }
    }

    /// Takes the object out of the pool for good.
    fn take_out(self) -> Option<M::Object> {
        let this = ManuallyDrop::new(self);
        let after = this.shared().core.end(this.slot, Cause::TakenOut);
        let mut rest = after.wake_all()?;
        let object = rest.retired.pop().map(|(object, _)| object);
        // SAFETY: the pool is alive until its anchor is dropped, which is the last thing.
        let anchor = unsafe { this.shared.as_ref() }.end_all(*rest);
        drop(anchor);
        object
    }

    /// Tells whoever wants to know that the object has come back, and says whether it is worth
    /// keeping.
    #[inline]
    fn comes_back(&mut self) -> bool {
        self.tell(Hooks::on_return);
        // SAFETY: the pool is alive while this token is, and is no part of the object.
        let shared = unsafe { self.shared.as_ref() };
        shared.manager.keep(self.object_mut())
    }

    /// Gives the object back for another use.
    #[inline]
    fn give_back(self) {
        let this = ManuallyDrop::new(self);
        let retires = this.slot.retires();
        if !this.shared().core.put(this.slot, retires) {
            this.give_back_slowly(retires);
        }
    }

    #[cold]
    fn give_back_slowly(&self, retires: bool) {
        let shared = self.shared();
        let after = shared.core.put_slow(self.slot, retires, || shared.now());
        // SAFETY: alive while the object was out; the token has ended.
        unsafe { finish(self.shared, after) };
    }
}

/// Does what is left to do. The pool may be gone after it.
///
/// # Safety
///
/// The pool must be alive, and must not be touched afterwards unless somebody else holds it.
unsafe fn finish<M: Manager>(
    shared: NonNull<Shared<M>>,
    after: super::core::After<M::Object, super::Anchor<M>>,
) {
    if let Some(rest) = after.wake_all() {
        // SAFETY: alive, by this function's contract, until the anchor is dropped.
        let anchor = unsafe { shared.as_ref() }.end_all(*rest);
        drop(anchor);
    }
}

impl<M: Manager> Drop for Held<M> {
    fn drop(&mut self) {
        let after = self.shared().core.end(self.slot, Cause::Unfit);
        // SAFETY: alive while this token is, which ends here.
        unsafe { finish(self.shared, after) };
    }
}

impl<M: Manager> Lent<M> {
    /// Takes the object out of the pool for good; another one may be made in its place.
    ///
    /// # Panics
    ///
    /// Never: the object is there until the loan ends.
    pub fn detach(self) -> M::Object {
        self.into_held().take_out().expect("an object is lent until the loan ends")
    }

    /// Drops the object, which is of no more use; another one may be made in its place.
    pub fn discard(self) {
        drop(self.into_held());
    }

    fn into_held(self) -> Held<M> {
        let mut this = ManuallyDrop::new(self);
        // SAFETY: taken once, since `this` is not dropped.
        unsafe { ManuallyDrop::take(&mut this.held) }
    }
}

impl<M: Manager> Drop for Lent<M> {
    #[inline]
    fn drop(&mut self) {
        // SAFETY: taken once, in the one drop.
        let mut held = unsafe { ManuallyDrop::take(&mut self.held) };
        // Should the manager or a hook panic here, the token retires the object all the same.
        if held.comes_back() {
            held.give_back();
        }
    }
}

impl<M: Manager> Deref for Lent<M> {
    type Target = M::Object;

    #[inline]
    fn deref(&self) -> &M::Object {
        self.held.object()
    }
}

impl<M: Manager> DerefMut for Lent<M> {
    #[inline]
    fn deref_mut(&mut self) -> &mut M::Object {
        self.held.object_mut()
    }
}

impl<M: Manager<Object: fmt::Debug>> fmt::Debug for Lent<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lent").field(self.held.object()).finish()
    }
}

//! The core as a model checker sees it: the pool without a runtime.

use std::pin::Pin;
use std::task::{Context, Poll};

use loom::sync::Arc;
use plimsoll_core_types::{Priority, Timestamp};

use super::{Bounds, Cause, Core, End, Node, SlotRef, Start};

/// A pool of numbered objects, each in a cell that tells when two have it at once.
#[derive(Clone, Debug)]
pub struct Model {
    core: Arc<Core<Object, (), ()>>,
}

type Object = loom::cell::UnsafeCell<u32>;

/// An object on loan.
#[derive(Debug)]
pub struct Lent {
    slot: SlotRef<Object>,
    core: Arc<Core<Object, (), ()>>,
}

/// What the pool has: size, idle ones, those who wait.
pub type Sizes = (usize, usize, usize);

impl Model {
    /// A pool with `objects` idle ones, which is all that there may be.
    pub fn new(objects: usize) -> Self {
        let bounds = Bounds { waiting: 8, bypass: 8, creating: 0 };
        let core = Core::new(objects, bounds);
        for number in 0..objects {
            core.state.lock().begin_creation();
            let object = Object::new(number as u32);
            drop(core.created(object, 0, false, (), || Timestamp::ZERO).wake_all());
        }
        Self { core: Arc::new(core) }
    }

    /// An idle object.
    pub fn try_get(&self) -> Option<Lent> {
        self.core.pop().map(|slot| self.lend(slot))
    }

    /// An object, in turn. None once the pool is closed.
    pub fn get(&self) -> Get {
        Get { pool: self.clone(), node: Box::pin(Node::new(Priority::Normal, None)) }
    }

    /// Another size.
    pub fn resize(&self, size: usize) {
        drop(self.core.resize(size).wake_all());
    }

    /// No more.
    pub fn close(&self) {
        drop(self.core.close().wake_all());
    }

    /// What it has.
    pub fn sizes(&self) -> Sizes {
        let sizes = self.core.sizes();
        (sizes.size, sizes.idle, sizes.waiting)
    }

    fn lend(&self, slot: SlotRef<Object>) -> Lent {
        Lent { slot, core: Arc::clone(&self.core) }
    }
}

impl Lent {
    /// Uses the object, alone.
    #[expect(unsafe_code, reason = "the model checker looks for whoever else has it")]
    pub fn touch(&self) -> u32 {
        // SAFETY: the slot is this loan's; the checker says where it is not.
        let object = unsafe { &*self.slot.object() };
        object.with_mut(|number| unsafe { *number })
    }

    /// Drops the object for good.
    pub fn discard(self) {
        let this = std::mem::ManuallyDrop::new(self);
        drop(this.core.end(this.slot, Cause::Unfit).wake_all());
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.touch();
        let retires = self.slot.retires();
        if !self.core.put(self.slot, retires) {
            drop(self.core.put_slow(self.slot, retires, || Timestamp::ZERO).wake_all());
        }
    }
}

/// The wait for an object. Dropping it leaves the line.
#[derive(Debug)]
pub struct Get {
    pool: Model,
    node: Pin<Box<Node<Object, ()>>>,
}

impl Future for Get {
    type Output = Option<Lent>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Lent>> {
        let (core, node) = (&self.pool.core, self.node.as_ref());
        if node.is_outside() {
            if let Some(slot) = core.pop() {
                return Poll::Ready(Some(self.pool.lend(slot)));
            }
            return match core.start(node, context.waker(), || Timestamp::ZERO) {
                Start::Given(slot) => Poll::Ready(Some(self.pool.lend(slot))),
                Start::Waits(_) => Poll::Pending,
                Start::Full(_) | Start::Closed => Poll::Ready(None),
            };
        }
        loop {
            match node.end() {
                Some(End::Given(slot)) => return Poll::Ready(Some(self.pool.lend(slot))),
                Some(_) => return Poll::Ready(None),
                None if core.look_after(node, context.waker()).is_some() => return Poll::Pending,
                None => {}
            }
        }
    }
}

impl Drop for Get {
    fn drop(&mut self) {
        let node = self.node.as_ref();
        if node.is_outside() {
            return;
        }
        let (left, after) = self.pool.core.leave(node, false, || Timestamp::ZERO);
        drop(after.wake_all());
        if !left && let Some(End::Given(slot)) = node.end() {
            drop(self.pool.lend(slot));
        }
    }
}

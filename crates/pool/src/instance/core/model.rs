//! The core as a model checker sees it: the pool without a runtime.

use std::pin::Pin;
use std::sync::atomic::Ordering::{AcqRel, Relaxed};
use std::task::{Context, Poll};

use loom::sync::Arc;
use loom::sync::atomic::AtomicUsize;
use plimsoll_core_types::{Priority, Timestamp};

use super::{After, Bounds, Cause, Core, End, Node, SlotRef, Start};

/// A pool of numbered objects, each in a cell that tells when two have it at once.
///
/// Closed with its last handle. Its memory lives for as long as the model does, but its `Life`
/// ends where a pool's would be freed, and whoever touches the pool looks
/// whether that has not been.
#[derive(Debug)]
pub struct Model {
    body: Body,
    handles: Arc<AtomicUsize>,
    anchor: Arc<Life>,
}

type Object = loom::cell::UnsafeCell<u32>;

/// What a pool's address leads to.
#[derive(Clone, Debug)]
struct Body {
    core: Arc<Core<Object, (), Arc<Life>>>,
    /// True until the pool is freed.
    alive: Arc<loom::cell::UnsafeCell<bool>>,
}

/// What handles and objects keep alive by counting.
#[derive(Debug)]
struct Life(Arc<loom::cell::UnsafeCell<bool>>);

/// An object on loan, which keeps nothing alive by counting.
#[derive(Debug)]
pub struct Lent {
    slot: SlotRef<Object>,
    body: Body,
}

/// What the pool has: size, idle ones, those who wait.
pub type Sizes = (usize, usize, usize);

impl Drop for Life {
    #[expect(unsafe_code, reason = "the model checker looks for whoever still reads it")]
    fn drop(&mut self) {
        // SAFETY: the checker says where somebody else reads it at this moment.
        self.0.with_mut(|alive| unsafe { *alive = false });
    }
}

impl Body {
    /// Whoever calls this touches the pool.
    #[expect(unsafe_code, reason = "the model checker looks for whoever ends it meanwhile")]
    fn touch(&self) -> &Core<Object, (), Arc<Life>> {
        // SAFETY: the checker says where somebody else ends it at this moment.
        let alive = self.alive.with(|alive| unsafe { *alive });
        assert!(alive, "the pool is touched after its end");
        &self.core
    }

    /// As the pool does: whoever was served is woken, then the pool is told of what has retired,
    /// then its anchor goes.
    fn finish(&self, after: After<Object, Arc<Life>>) {
        if let Some(mut rest) = after.wake_all() {
            rest.retired.clear();
            drop(self.touch().gone(rest.leaving).wake_all());
            self.touch();
            drop(rest);
        }
    }

    fn lend(&self, slot: SlotRef<Object>) -> Lent {
        Lent { slot, body: self.clone() }
    }
}

impl Model {
    /// A pool with `objects` idle ones, which is all that there may be.
    pub fn new(objects: usize) -> Self {
        let bounds = Bounds { waiting: 8, bypass: 8, creating: 0 };
        let core = Arc::new(Core::new(objects, bounds));
        let alive = Arc::new(loom::cell::UnsafeCell::new(true));
        let anchor = Arc::new(Life(Arc::clone(&alive)));
        for number in 0..objects {
            core.state.lock().begin_creation();
            let object = Object::new(number as u32);
            let made = core.created(object, 0, false, Arc::clone(&anchor), || Timestamp::ZERO);
            drop(made.wake_all());
        }
        Self { body: Body { core, alive }, handles: Arc::new(AtomicUsize::new(1)), anchor }
    }

    /// An idle object.
    pub fn try_get(&self) -> Option<Lent> {
        self.body.touch().pop().map(|slot| self.body.lend(slot))
    }

    /// An object, in turn. None once the pool is closed.
    pub fn get(&self) -> Get {
        Get { pool: self.clone(), node: Box::pin(Node::new(Priority::Normal, None)) }
    }

    /// Another size.
    pub fn resize(&self, size: usize) {
        self.body.finish(self.body.touch().resize(size));
    }

    /// No more.
    pub fn close(&self) {
        self.body.finish(self.body.touch().close());
    }

    /// What it has.
    pub fn sizes(&self) -> Sizes {
        let sizes = self.body.touch().sizes();
        (sizes.size, sizes.idle, sizes.waiting)
    }

    /// Whether the pool has not been freed, for when all that could free it has been done.
    pub fn watch(&self) -> impl Fn() -> bool + use<> {
        let alive = Arc::clone(&self.body.alive);
        #[expect(unsafe_code, reason = "the model checker looks for whoever ends it meanwhile")]
        // SAFETY: the checker says where somebody else ends it at this moment.
        move || alive.with(|alive| unsafe { *alive })
    }
}

impl Clone for Model {
    fn clone(&self) -> Self {
        self.handles.fetch_add(1, Relaxed);
        let (body, handles) = (self.body.clone(), Arc::clone(&self.handles));
        Self { body, handles, anchor: Arc::clone(&self.anchor) }
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        if self.handles.fetch_sub(1, AcqRel) == 1 {
            self.close();
        }
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
        // SAFETY: taken once, since `this` is not dropped.
        #[expect(unsafe_code, reason = "the loan ends here and not in its drop")]
        let body = unsafe { std::ptr::read(&raw const this.body) };
        let after = body.touch().end(this.slot, Cause::Unfit);
        body.finish(after);
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.touch();
        let retires = self.slot.retires();
        if !self.body.touch().put(self.slot, retires) {
            let core = self.body.touch();
            let after = core.put_slow(self.slot, retires, || Timestamp::ZERO);
            self.body.finish(after);
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
        let (body, node) = (&self.pool.body, self.node.as_ref());
        let core = body.touch();
        if node.is_outside() {
            if let Some(slot) = core.pop() {
                return Poll::Ready(Some(body.lend(slot)));
            }
            return match core.start(node, context.waker(), || Timestamp::ZERO) {
                Start::Given(slot) => Poll::Ready(Some(body.lend(slot))),
                Start::Waits(_) => Poll::Pending,
                Start::Full(_) | Start::Closed => Poll::Ready(None),
            };
        }
        loop {
            match node.end() {
                Some(End::Given(slot)) => return Poll::Ready(Some(body.lend(slot))),
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
        let body = &self.pool.body;
        let (left, after) = body.touch().leave(node, false, || Timestamp::ZERO);
        body.finish(after);
        if !left && let Some(End::Given(slot)) = node.end() {
            drop(body.lend(slot));
        }
    }
}

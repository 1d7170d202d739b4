//! A task's own part of a budget.
//!
//! Most of what a task takes it gives back soon. A [`Leaf`] therefore keeps a little in **stock**:
//! bytes that are charged to its node, and to every ancestor, and that it alone may take, with no
//! atomic operation at all. The stock is drawn in one go, and given back when there is more of it
//! than [`BudgetConfig::lease`](super::BudgetConfig::lease).
//!
//! When an ancestor gets tight, the leaf sees so at its next step and gives all its stock back. An
//! idle leaf can't see it; call [`settle`](Leaf::settle) before a long wait. What all leaves below
//! a node may have in stock together is bounded to 1/32 of its limit, so that idle ones never keep
//! more than that from others.
//!
//! Stocks can't be taken away by others, because that would need an atomic operation at each step
//! of the leaf: the very thing that it is there to save.

use std::fmt;
use std::sync::Arc;

use plimsoll_core_types::Bytes;

use super::error::{NodeId, Rejected};
use super::hot::Hot;
use super::reservation::Reservation;
use super::state::State;
use super::sync::{Apart, AtomicU64, Ordering};
use super::tree::Owner;

/// All stocks below a node together are at most this part of its limit.
const STOCK_PART: u64 = 32;
/// One leaf gets at most this part of what is left for leaves, so that later ones get some.
const LEASE_PART: u64 = 2;

/// What a leaf shows to others. Only the leaf writes it.
#[derive(Debug)]
pub(super) struct Stock(Apart<AtomicU64>);

impl Stock {
    fn new() -> Self {
        Self(Apart(AtomicU64::new(0)))
    }

    /// What it has in stock, at some step of late.
    pub(super) fn bytes(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    #[inline]
    fn show(&self, bytes: u64) {
        self.0.0.store(bytes, Ordering::Relaxed);
    }
}

/// A task's own part of a budget: grows and shrinks without touching anything that others touch.
///
/// ```
/// use plimsoll_core_types::{Bytes, ConsumerId};
/// use plimsoll_memory::budget::{Budget, BudgetConfig};
///
/// let host = Budget::root(ConsumerId::new("host")?, Bytes::from_mib(64), BudgetConfig::default())?;
/// let mut leaf = host.leaf();
/// for _ in 0..1000 {
///     leaf.try_grow(Bytes::from_kib(1))?;
///     leaf.shrink(Bytes::from_kib(1));
/// }
/// assert_eq!(leaf.held(), Bytes::ZERO);
/// drop(leaf);
/// assert_eq!(host.status().held, Bytes::ZERO);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a Leaf gives back what it holds"]
pub struct Leaf {
    held: u64,
    stock: u64,
    /// More in stock than this is given back.
    most: u64,
    hot: Arc<Hot>,
    shown: Arc<Stock>,
    owner: Arc<Owner>,
}

impl Leaf {
    pub(super) fn new(owner: Arc<Owner>) -> Self {
        let shown = Arc::new(Stock::new());
        let most = owner.tree().with(|state| state.add_stock(owner.index(), &shown));
        Self { held: 0, stock: 0, most, hot: Arc::clone(owner.hot()), shown, owner }
    }

    /// What it holds.
    pub const fn held(&self) -> Bytes {
        Bytes::new(self.held)
    }

    /// What it has in stock beside that.
    pub const fn stock(&self) -> Bytes {
        Bytes::new(self.stock)
    }

    /// Holds `more` beside what it holds, or stays what it is.
    ///
    /// # Errors
    ///
    /// When the node or an ancestor has not that much more.
    #[inline]
    pub fn try_grow(&mut self, more: Bytes) -> Result<(), Rejected> {
        let more = more.get();
        if more <= self.stock && !self.hot.is_pressed() {
            self.held += more;
            self.restock(self.stock - more);
            return Ok(());
        }
        self.draw(more)
    }

    /// Gives `less` back, at most all that it holds, and says how much that was.
    #[inline]
    pub fn shrink(&mut self, less: Bytes) -> Bytes {
        let back = less.get().min(self.held);
        self.held -= back;
        let stock = self.stock + back;
        if stock <= self.most && !self.hot.is_pressed() {
            self.restock(stock);
        } else {
            self.give_up(stock);
        }
        Bytes::new(back)
    }

    /// Gives its stock back: before a long wait, in which it could not be asked for it.
    pub fn settle(&mut self) {
        let stock = self.stock;
        if stock > 0 {
            self.restock(0);
            self.owner.give(stock);
        }
    }

    /// Takes `part` of what it holds, at most all of it, as a reservation that can be sent
    /// elsewhere. Nothing is charged anew.
    pub fn carve(&mut self, part: Bytes) -> Reservation {
        let part = part.get().min(self.held);
        self.held -= part;
        Reservation::charged(Arc::clone(&self.owner), part)
    }

    /// Holds what `reservation` held; one that is charged to another node comes back.
    ///
    /// # Errors
    ///
    /// When it is charged to another node.
    pub fn absorb(&mut self, mut reservation: Reservation) -> Result<(), Reservation> {
        if !reservation.is_of(&self.owner) {
            return Err(reservation);
        }
        self.held += reservation.take_all();
        Ok(())
    }

    #[inline]
    fn restock(&mut self, stock: u64) {
        self.stock = stock;
        self.shown.show(stock);
    }

    /// Takes from the node what the stock has not, and some more where nothing is tight.
    #[cold]
    fn draw(&mut self, more: u64) -> Result<(), Rejected> {
        let stock = self.stock;
        if self.hot.is_pressed() {
            return self.draw_exactly(more);
        }
        if more <= stock {
            // Let go since it was looked at.
            self.held += more;
            self.restock(stock - more);
            return Ok(());
        }
        let refill = self.most / 2;
        if self.owner.take(more - stock + refill).is_ok() {
            self.held += more;
            self.restock(refill);
            return Ok(());
        }
        self.draw_exactly(more)
    }

    /// Where it is tight: takes what is lacking, and keeps nothing in stock.
    fn draw_exactly(&mut self, more: u64) -> Result<(), Rejected> {
        let stock = self.stock;
        self.restock(0);
        let Some(lacking) = more.checked_sub(stock) else {
            self.held += more;
            self.owner.give(stock - more);
            return Ok(());
        };
        if let Err(refused) = self.owner.take(lacking) {
            if stock > 0 {
                self.owner.give(stock);
            }
            let available = refused.available().get().saturating_add(stock);
            return Err(Rejected::new(more, available, refused.limiter(), refused.cause()));
        }
        self.held += more;
        Ok(())
    }

    /// Gives back all of `stock` where it is tight, else what is above half of the most.
    #[cold]
    fn give_up(&mut self, stock: u64) {
        let kept = if self.hot.is_pressed() { 0 } else { stock.min(self.most / 2) };
        self.restock(kept);
        self.owner.give(stock - kept);
    }
}

impl Drop for Leaf {
    fn drop(&mut self) {
        let all = self.held + self.stock;
        self.restock(0);
        self.owner.tree().with(|state| {
            state.remove_stock(self.owner.index(), &self.shown, self.most);
        });
        if all > 0 {
            self.owner.give(all);
        }
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("held", &self.held())
            .field("stock", &self.stock())
            .field("node", &NodeId(self.owner.index() as u32))
            .finish_non_exhaustive()
    }
}

impl State {
    /// Takes note of a leaf at `index`, and says how much it may have in stock.
    fn add_stock(&mut self, index: usize, stock: &Arc<Stock>) -> u64 {
        let left = self.path(index).map(|at| {
            let node = self.node(at);
            (node.limit / STOCK_PART).saturating_sub(node.leased)
        });
        let part = left.min().unwrap_or(0) / LEASE_PART;
        let lease = self.config.lease.get().min(part);
        let mut next = Some(index);
        while let Some(at) = next {
            let node = self.node_mut(at);
            node.leased += lease;
            next = node.parent;
        }
        self.node_mut(index).stocks.push(Arc::clone(stock));
        lease
    }

    fn remove_stock(&mut self, index: usize, stock: &Arc<Stock>, lease: u64) {
        self.node_mut(index).stocks.retain(|other| !Arc::ptr_eq(other, stock));
        let mut next = Some(index);
        while let Some(at) = next {
            let node = self.node_mut(at);
            node.leased = node.leased.saturating_sub(lease);
            next = node.parent;
        }
    }
}

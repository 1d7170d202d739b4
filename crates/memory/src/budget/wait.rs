//! Waiting for a reservation, and having others free memory for it meanwhile.

use std::sync::Arc;
use std::time::Duration;

use plimsoll_core_types::{Bytes, Priority};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Budget;
use super::error::{Cause, NodeId, Rejected, ReserveError};
use super::line::TicketNumber;
use super::reservation::Reservation;
use super::state::{ActiveReclaim, State};
use super::tree::{Owner, Tree};
use crate::reclaim::{ReclaimReport, Turn};

/// When nobody is left to be asked, it is tried again after this long, and then after twice as
/// long, up to [`RETRY_MOST`].
const RETRY_FIRST: Duration = Duration::from_millis(20);
const RETRY_MOST: Duration = Duration::from_secs(2);

/// What is asked of [`Budget::reserve`].
///
/// ```
/// use std::time::Duration;
/// use plimsoll_core_types::{Bytes, Priority};
/// use plimsoll_memory::budget::Ask;
///
/// let ask = Ask::new(Bytes::from_mib(64)).priority(Priority::High).within(Duration::from_secs(2));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    bytes: Bytes,
    priority: Priority,
    within: Option<Duration>,
}

impl Ask {
    /// `bytes`, at normal priority, however long it takes.
    pub const fn new(bytes: Bytes) -> Self {
        Self { bytes, priority: Priority::Normal, within: None }
    }

    /// The same at `priority`.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = priority;
        self
    }

    /// The same, given up after this long.
    #[must_use]
    pub const fn within(mut self, within: Duration) -> Self {
        self.within = Some(within);
        self
    }
}

/// A place in line, left when it is dropped.
#[derive(Debug)]
struct Place {
    owner: Arc<Owner>,
    ticket: TicketNumber,
}

impl Drop for Place {
    fn drop(&mut self) {
        let (tree, at) = (self.owner.tree(), self.owner.index());
        // The waiter keeps its node: it is dropped out here, where the lock is free.
        let left = tree.release(at, |state| state.leave(self.ticket));
        drop(left);
    }
}

impl Budget {
    /// Waits until `ask` fits, or its time is up. Where [reclaimers](Budget::register) could help,
    /// they are asked meanwhile, one at a time and the best first, and what they free goes to this
    /// waiter and no other.
    ///
    /// Those who wait are served by priority, then in the order in which they came; a large
    /// request is not passed by small ones that need what it needs.
    ///
    /// Needs a `tokio` runtime with a timer.
    ///
    /// # Errors
    ///
    /// When it can never fit, was not granted in time, or too many wait already.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future leaves the line. A grant that was on its way goes back. A reclaimer
    /// that was asked finishes its turn.
    pub async fn reserve(&self, ask: Ask) -> Result<Reservation, ReserveError> {
        let (owner, bytes) = (self.owner(), ask.bytes.get());
        if owner.take(bytes).is_ok() {
            return Ok(Reservation::charged(Arc::clone(owner), bytes));
        }
        let (answer, mut granted) = oneshot::channel();
        let place = self.enter(ask, answer)?;
        let started = Instant::now();
        let patience = async {
            match ask.within {
                Some(within) => tokio::time::sleep(within).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            Ok(reservation) = &mut granted => return Ok(reservation),
            () = patience => {}
            () = self.have_freed(&place, ask) => {}
        }
        let last = owner.tree().with(|state| state.standing(place.ticket, owner.index(), bytes));
        granted.close();
        if let Ok(reservation) = granted.try_recv() {
            return Ok(reservation);
        }
        let waited = started.elapsed();
        Err(ReserveError::Late { node: self.name(), asked: ask.bytes, waited, last })
    }

    fn enter(&self, ask: Ask, answer: oneshot::Sender<Reservation>) -> Result<Place, ReserveError> {
        let owner = self.owner();
        let (index, bytes) = (owner.index(), ask.bytes.get());
        owner.tree().with(|state| {
            let (limiter, limit) = state.tightest(index);
            if bytes > limit {
                return Err(ReserveError::NeverFits {
                    node: state.node(index).name.clone(),
                    asked: ask.bytes,
                    limiter: state.node(limiter).name.clone(),
                    limit: Bytes::new(limit),
                });
            }
            if state.line.is_full() {
                return Err(ReserveError::LineFull { waiting: state.line.len() });
            }
            let owner = Arc::clone(owner);
            let ticket = state.enter(Arc::clone(&owner), bytes, ask.priority, answer);
            Ok(Place { owner, ticket })
        })
    }

    /// Has reclaimers free what the waiter lacks, again and again; never ends by itself.
    async fn have_freed(&self, place: &Place, ask: Ask) {
        let reclaimers = self.reclaimers();
        let within = self.reclaim_within();
        let mut asked = Vec::new();
        let mut retry = RETRY_FIRST;
        loop {
            // Listened to before it is looked at, so that nothing slips in between.
            let changed = reclaimers.changed();
            tokio::pin!(changed);
            let tree = place.owner.tree();
            let lacking = tree.with(|state| state.lacking(place.ticket));
            let turn = lacking
                .as_ref()
                .and_then(|lacking| reclaimers.begin(|place| lacking.helped_by(place), &asked));
            if let (Some(lacking), Some(turn)) = (lacking, turn) {
                asked.push(turn.number());
                let within = ask.within.unwrap_or(within).min(within);
                let ended = self.begin_turn(turn, lacking.bytes, Some(place.ticket), within);
                // It goes on by itself when nobody waits for it any more. That it ended badly is in
                // its report.
                let _ = ended.await;
                continue;
            }
            tokio::select! {
                () = &mut changed => {}
                () = tokio::time::sleep(retry) => {
                    // Everybody was asked once; who had nothing then may have something now.
                    asked.clear();
                    retry = (retry * 2).min(RETRY_MOST);
                }
            }
        }
    }

    /// Has one reclaimer free `bytes`; what comes back from its node meanwhile counts, and goes to
    /// whoever has the `ticket`.
    fn begin_turn(
        &self,
        turn: Turn,
        bytes: u64,
        ticket: Option<TicketNumber>,
        within: Duration,
    ) -> JoinHandle<ReclaimReport> {
        let watch = Watch::begin(Arc::clone(self.owner().tree()), turn.place(), ticket, bytes);
        let beneficiary = self.name();
        tokio::spawn(async move {
            turn.run(Bytes::new(bytes), beneficiary, within, move || Bytes::new(watch.freed()))
                .await
        })
    }
}

/// Counts what is freed below a node while somebody frees memory there.
#[derive(Debug)]
struct Watch {
    tree: Arc<Tree>,
    number: u64,
}

impl Watch {
    fn begin(tree: Arc<Tree>, node: usize, ticket: Option<TicketNumber>, wanted: u64) -> Self {
        let number = tree.with(|state| {
            let number = state.reclaims.last().map_or(0, |last| last.number + 1);
            state.reclaims.push(ActiveReclaim { number, node, ticket, wanted, freed: 0 });
            number
        });
        Self { tree, number }
    }

    fn freed(&self) -> u64 {
        self.tree.with(|state| {
            let own = state.reclaims.iter().find(|reclaim| reclaim.number == self.number);
            own.map_or(0, |reclaim| reclaim.freed)
        })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tree.with(|state| state.reclaims.retain(|reclaim| reclaim.number != self.number));
    }
}

/// What a waiter lacks, and who could free it.
#[derive(Debug)]
struct Lacking {
    bytes: u64,
    /// Nodes at which freeing helps.
    nodes: Vec<usize>,
}

impl Lacking {
    fn helped_by(&self, place: usize) -> bool {
        self.nodes.contains(&place)
    }
}

impl State {
    /// What the waiter lacks; none where it waits for its turn only, or has been served.
    fn lacking(&self, ticket: TicketNumber) -> Option<Lacking> {
        let waiter = self.line.get(ticket)?;
        let room = self.room_of(waiter);
        let bytes = waiter.bytes.checked_sub(room.bytes).filter(|bytes| *bytes > 0)?;
        Some(Lacking { bytes, nodes: self.subtree(room.limiter) })
    }

    /// What stands in the waiter's way now.
    fn standing(&self, ticket: TicketNumber, index: usize, bytes: u64) -> Rejected {
        let room = self.line.get(ticket).map(|waiter| self.room_of(waiter));
        match room {
            Some(room) if room.bytes < bytes => room.refuses(bytes),
            _ => Rejected::new(bytes, 0, NodeId(index as u32), Cause::Line),
        }
    }
}

//! Takes up what a broker that was killed has left behind.

use plimsoll_core_types::{Clock, Reason};

use crate::journal::{Event, EventKind, Journal};
use crate::lease::Book;
use crate::store::{KeptEngine, Store};

/// Ends engines that outlived the broker that they were loaded by, and grants the leases of other
/// programs anew.
///
/// Engines end with their broker, by the kernel's doing. One that is still there belongs to nobody:
/// its lease is gone, and its memory would be counted by nobody.
pub(crate) fn recover(store: &Store, book: &Book, journal: &Journal, clock: &dyn Clock) {
    for engine in store.engines() {
        if end(&engine) {
            let (at, kind, subject) = (clock.now(), EventKind::Ended, engine.model.clone());
            journal.tell(Event { at, kind, subject, reason: Reason::Requested });
        }
        store.forget_engine(&engine.model);
    }
    let (restored, ended) = book.restore(store.leases());
    if restored + ended > 0 {
        crate::output::line(&format!(
            "leases from before: {restored} granted anew, {ended} ended meanwhile"
        ));
    }
}

/// True where the engine still ran, and was told to end with all that it has started.
fn end(engine: &KeptEngine) -> bool {
    use rustix::process::{Pid, Signal, kill_process_group};
    if !engine.process.is_alive() {
        return false;
    }
    let group = i32::try_from(engine.process.pid).ok().and_then(Pid::from_raw);
    group.is_some_and(|group| kill_process_group(group, Signal::KILL).is_ok())
}

//! Makes processes on one thread that lives as long as this one does.
//!
//! Linux ends a process with the *thread* that made it, where that was asked for. Threads of an
//! async runtime come and go; this one does not.

use std::io;
use std::sync::OnceLock;
use std::sync::mpsc::{Sender, channel};

use tokio::process::{Child, Command};
use tokio::runtime::Handle;
use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

static KEEPER: OnceLock<Option<Sender<Job>>> = OnceLock::new();

/// Starts `command`. Its process sees this process as its parent, and ends with it where it asked
/// for that.
pub(crate) async fn spawn(mut command: Command) -> io::Result<Child> {
    let gone = || io::Error::other("the thread that makes processes can't be had");
    let keeper = KEEPER.get_or_init(start).as_ref().ok_or_else(gone)?;
    let (done, spawned) = oneshot::channel();
    let runtime = Handle::current();
    let job = move || {
        let _entered = runtime.enter();
        // Whoever asked may have gone away: then the child is dropped, which ends it.
        let _ = done.send(command.spawn());
    };
    keeper.send(Box::new(job)).map_err(|_| gone())?;
    spawned.await.map_err(|_| gone())?
}

fn start() -> Option<Sender<Job>> {
    let (jobs, inbox) = channel::<Job>();
    let work = move || inbox.into_iter().for_each(|job| job());
    std::thread::Builder::new().name("keeper".to_owned()).spawn(work).ok()?;
    Some(jobs)
}

//! Engines behind a guard, which may outlive this broker: started, found again, ended.

use std::fs::File;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::io::{self, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream as Stream};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::ResourceVector;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::sync::watch;

use super::spec::{EngineSpec, ModelSpec};
use super::words::LastWords;
use crate::guard::wire::{Inbox, Note, Said, Told, line};

/// How long a guard may take to say what it holds.
const HELLO_WITHIN: Duration = Duration::from_secs(5);
/// A socket that is there only to see whether there can be one.
const TRIAL: &str = "trial";
/// How long it may take to end what nobody knows.
const END_WITHIN: Duration = Duration::from_secs(10);

/// Where guards are started, and found again.
#[derive(Debug)]
pub(crate) struct Guards {
    folder: PathBuf,
    /// How long they wait for another broker when this one has gone.
    grace: Duration,
    /// Those that hear this broker.
    heard_by: Mutex<Vec<Weak<Link>>>,
}

/// An engine behind its guard. It is ended on drop.
#[derive(Debug)]
pub(crate) struct Guarded {
    pid: u32,
    link: Arc<Link>,
    note: Note,
    words: LastWords,
    ending: watch::Receiver<Ending>,
}

/// A connection with a guard.
#[derive(Debug)]
struct Link {
    hears: UnixStream,
    /// The same one, for those who can't wait until it can be written to.
    says: Stream,
}

/// How far an engine is in its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Runs,
    /// It has ended.
    Ended(ExitStatus),
    /// Its guard has, and all that it held; the status is the engine's, where one was told.
    Gone(Option<ExitStatus>),
}

/// What an engine was started as, in short: the same for the same engine.
fn fingerprint(engine: &EngineSpec) -> u64 {
    let mut hasher = DefaultHasher::new();
    // It holds keys and passwords, of which nothing is to be seen.
    format!("{engine:?}").hash(&mut hasher);
    hasher.finish()
}

/// What the next broker is to know of an engine that serves `spec`.
pub(super) fn note_of(
    spec: &ModelSpec,
    amount: ResourceVector,
    port: Option<u16>,
    threads: u32,
) -> Note {
    let (model, engine) = (spec.id.to_string(), fingerprint(&spec.engine));
    Note { model, engine, amount, port, threads, ready: false }
}

impl Guards {
    /// Guards with their sockets in `folder`, which is made where it is not there.
    pub(crate) fn new(folder: &Path, grace: Duration) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        // Whoever can connect can end an engine, or hold one.
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        let folder = folder.canonicalize()?;
        let mut guards = Self { folder, grace, heard_by: Mutex::default() };
        // Not every file system can hold sockets.
        let tried = if guards.are_wanted() { guards.bind(TRIAL).map(drop) } else { Ok(()) };
        let _ = std::fs::remove_file(guards.folder.join(TRIAL));
        if let Err(error) = tried {
            let folder = guards.folder.display();
            tracing::warn!(%folder, %error, "no sockets can be there: engines end with this broker");
            guards.grace = Duration::ZERO;
        }
        Ok(guards)
    }

    /// For how long engines outlive this broker; none where they don't.
    pub(crate) fn grace(&self) -> Option<Duration> {
        self.are_wanted().then_some(self.grace)
    }

    /// True where engines may outlive this broker.
    pub(super) const fn are_wanted(&self) -> bool {
        // Elsewhere the kernel does not end an engine with its guard.
        cfg!(target_os = "linux") && !self.grace.is_zero()
    }

    /// Starts `command` behind a guard, which `process` becomes.
    pub(super) async fn start(
        &self,
        mut process: Command,
        command: &[String],
        input: bool,
        note: Note,
    ) -> io::Result<Guarded> {
        let name = format!("{:016x}.sock", rand::random::<u64>());
        let place = self.folder.join(&name);
        // The socket is there before the guard is: whoever looks for it later finds both or none.
        let next = self.bind(&name)?;
        let (ours, its) = Stream::pair()?;
        process.arg("guard").arg("--place").arg(&place);
        process.args(["--grace", &self.grace.as_millis().to_string()]);
        if input {
            process.arg("--input");
        }
        process.arg("--").args(command);
        process
            .stdin(Stdio::from(OwnedFd::from(its)))
            .stdout(Stdio::from(OwnedFd::from(next)))
            .stderr(Stdio::null());
        let spawned = process.spawn();
        // This process lets go of the guard's ends of both.
        drop(process);
        if let Err(error) = spawned {
            let _ = std::fs::remove_file(&place);
            return Err(error);
        }
        let guarded = self.meet(ours, Some(note)).await?;
        guarded.link.note(&guarded.note);
        Ok(guarded)
    }

    /// Engines that another broker has left behind. A socket that nobody listens at is taken away.
    pub(crate) async fn find(&self) -> Vec<Guarded> {
        let mut found = Vec::new();
        let entries = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if Path::new(&name).extension().is_none_or(|kind| kind != "sock") {
                continue;
            }
            let connected = self.reach(&name).and_then(|place| Stream::connect(place.path()));
            match connected {
                Ok(stream) => match self.meet(stream, None).await {
                    Ok(guarded) => found.push(guarded),
                    Err(error) => tracing::warn!(name, %error, "an engine is not taken over"),
                },
                Err(_) => drop(std::fs::remove_file(entry.path())),
            }
        }
        found
    }

    /// Hears what the guard at the other end of `stream` holds, and what was noted of it. What
    /// nothing was noted of is ended.
    async fn meet(&self, stream: Stream, note: Option<Note>) -> io::Result<Guarded> {
        stream.set_nonblocking(true)?;
        let says = stream.try_clone()?;
        let link = Arc::new(Link { hears: UnixStream::from_std(stream)?, says });
        let mut heard = Inbox::default();
        let hello = tokio::time::timeout(HELLO_WITHIN, link.said(&mut heard)).await;
        let hello = hello.map_err(|_| io::Error::other("its guard says nothing"))?;
        let Some(Said::Holds { pid, note: before }) = hello else {
            return Err(io::Error::other("its guard has ended"));
        };
        let before = || serde_json::from_value(before.unwrap_or_default()).ok();
        let Some(note) = note.or_else(before) else {
            link.tell(&Told::End);
            let gone = async { while link.said(&mut heard).await.is_some() {} };
            let _ = tokio::time::timeout(END_WITHIN, gone).await;
            return Err(io::Error::other("nobody knows what it serves"));
        };
        let mut links = self.heard_by.lock();
        links.retain(|link| link.strong_count() > 0);
        links.push(Arc::downgrade(&link));
        drop(links);
        let (ended, ending) = watch::channel(Ending::Runs);
        let words = LastWords::default();
        tokio::spawn(listen(Arc::clone(&link), heard, pid, words.clone(), ended));
        Ok(Guarded { pid, link, note, words, ending })
    }

    /// Ends every engine at once, without waiting for anything.
    pub(crate) fn end_all(&self) {
        for link in self.heard_by.lock().iter().filter_map(Weak::upgrade) {
            link.tell(&Told::End);
        }
    }

    fn bind(&self, name: &str) -> io::Result<UnixListener> {
        UnixListener::bind(self.reach(name)?.path())
    }

    /// A short way to the socket `name`: the kernel takes a hundred letters, and folders are deep.
    fn reach(&self, name: &str) -> io::Result<Place> {
        let folder = File::open(&self.folder)?;
        let short = PathBuf::from(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()));
        let path = if cfg!(target_os = "linux") { short } else { self.folder.join(name) };
        Ok(Place { path, _folder: folder })
    }
}

/// A path that holds as long as this does.
struct Place {
    path: PathBuf,
    _folder: File,
}

impl Place {
    fn path(&self) -> &Path {
        &self.path
    }
}

/// Hears what a guard says until it has ended.
async fn listen(
    link: Arc<Link>,
    mut heard: Inbox,
    pid: u32,
    words: LastWords,
    ending: watch::Sender<Ending>,
) {
    let mut status = None;
    while let Some(said) = link.said(&mut heard).await {
        match said {
            Said::Holds { .. } => {}
            Said::Printed(line) => words.push(line),
            Said::Ended { status: raw } => {
                let ended = ExitStatus::from_raw(raw);
                status = Some(ended);
                ending.send_replace(Ending::Ended(ended));
            }
        }
    }
    if status.is_none()
        && let Some(group) = i32::try_from(pid).ok().and_then(Pid::from_raw)
    {
        // The kernel has ended the engine with its guard, but not what the engine has started.
        let _ = kill_process_group(group, Signal::KILL);
    }
    words.close();
    ending.send_replace(Ending::Gone(status));
}

impl Guarded {
    pub(crate) const fn pid(&self) -> u32 {
        self.pid
    }

    pub(crate) const fn note(&self) -> &Note {
        &self.note
    }

    /// What it has printed of late.
    pub(super) const fn words(&self) -> &LastWords {
        &self.words
    }

    /// Whether it can serve `spec` as it is.
    pub(crate) fn serves(&self, spec: &ModelSpec) -> bool {
        self.note.model == spec.id.as_str() && self.note.engine == fingerprint(&spec.engine)
    }

    /// Notes for the next broker that it serves.
    pub(super) fn note_ready(&mut self) {
        self.note.ready = true;
        self.link.note(&self.note);
    }

    /// What changes the note while somebody waits for the engine's end.
    pub(super) fn noter(&self) -> Noter {
        Noter { link: Arc::clone(&self.link), note: self.note.clone() }
    }

    /// Waits until it has ended; no status where its guard has ended without saying one.
    ///
    /// Cancel safe.
    pub(super) async fn ended(&mut self) -> Option<ExitStatus> {
        let ended = self.ending.wait_for(|ending| *ending != Ending::Runs).await;
        match ended.as_deref() {
            Ok(Ending::Ended(status)) => Some(*status),
            Ok(Ending::Gone(status)) => *status,
            Ok(Ending::Runs) | Err(_) => None,
        }
    }

    /// Asks it to end.
    pub(super) fn terminate(&self) {
        self.link.tell(&Told::Terminate);
    }

    /// Ends it, and waits until the kernel has taken back everything that it has started.
    pub(crate) async fn end(&mut self) {
        self.link.tell(&Told::End);
        let _ = self.ending.wait_for(|ending| matches!(ending, Ending::Gone(_))).await;
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // Going away silently would have it wait for another broker.
        self.link.tell(&Told::End);
    }
}

/// Changes what is noted of an engine while somebody else waits for its end.
#[derive(Debug)]
pub(super) struct Noter {
    link: Arc<Link>,
    note: Note,
}

impl Noter {
    pub(super) fn note_amount(&mut self, amount: ResourceVector) {
        self.note.amount = amount;
        self.link.note(&self.note);
    }
}

impl Link {
    fn note(&self, note: &Note) {
        if let Ok(note) = serde_json::to_value(note) {
            self.tell(&Told::Note(note));
        }
    }

    /// Says something. A guard reads at once; one that does not, or is gone, can't be told.
    fn tell(&self, told: &Told) {
        let line = line(told);
        match (&self.says).write(&line) {
            Ok(written) if written == line.len() => {}
            Ok(_) => tracing::warn!("a guard has heard half of what it was told"),
            Err(error) => tracing::debug!(%error, "a guard was not told"),
        }
    }

    /// The next thing that the guard says; none where it has ended.
    ///
    /// Cancel safe: what has come in stays in `heard`.
    async fn said(&self, heard: &mut Inbox) -> Option<Said> {
        loop {
            if let Some(said) = heard.next() {
                return Some(said);
            }
            self.hears.readable().await.ok()?;
            match self.hears.try_read_buf(&mut heard.bytes) {
                Ok(0) => return None,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return None,
                Ok(_) | Err(_) => {}
            }
        }
    }
}

//! The guard's process: one thread, which the engine's life hangs on.

use std::io::{self, ErrorKind};
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::pin::Pin;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{
    Pid, Signal, WaitOptions, getpid, kill_process, kill_process_group, set_child_subreaper,
    setsid, wait,
};
use serde_json::Value;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{ChildStderr, ChildStdout};
use tokio::signal::unix::SignalKind;
use tokio::sync::mpsc;
use tokio::time::Sleep;

use super::wire::{Inbox, Said, Told, line};
use super::{GuardArgs, GuardError};
use crate::fleet::{KEPT, Lines, members_of, printed};

/// How much is kept for a broker that does not listen; the rest of what the engine prints is lost.
const BACKLOG: usize = 64 << 10;
/// How long the last words may take, and how long a broker may take to hear them.
const SETTLE: Duration = Duration::from_millis(200);
/// How often it is looked whether what was killed is gone, at first and at most.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// Starts the engine, and holds it until it ends or nobody wants it any more.
pub(super) fn hold(args: &GuardArgs) -> Result<(), GuardError> {
    let fail = |step| move |source| GuardError { step, source };
    let refused = |step| move |error: rustix::io::Errno| GuardError { step, source: error.into() };
    // What tells the broker's whole session or group to end does not reach the engine.
    setsid().map_err(refused("leaving the broker's session"))?;
    set_child_subreaper(Some(getpid())).map_err(refused("taking in what the engine leaves"))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(fail("starting the runtime"))?;
    runtime.block_on(async {
        let (broker, next) = connections().map_err(fail("taking over the connections"))?;
        // Asked for before there is a child whose end could be missed.
        let children = tokio::signal::unix::signal(SignalKind::child());
        let mut children = children.map_err(fail("listening for its end"))?;
        let (engine, mut lines) = spawn(args).map_err(fail("starting the engine"))?;
        // The folder that the engine runs in is not kept busy.
        let _ = std::env::set_current_dir("/");
        let mut sentry = Sentry::new(engine, broker, args.grace);
        let ended = sentry.watch(&next, &mut children, &mut lines).await;
        end_everything().await;
        sentry.last_words(ended, lines).await;
        Ok(())
    })
}

/// The first broker's connection, and where the next one comes in.
fn connections() -> io::Result<(UnixStream, UnixListener)> {
    let broker = io::stdin().as_fd().try_clone_to_owned()?;
    let broker = std::os::unix::net::UnixStream::from(broker);
    broker.set_nonblocking(true)?;
    let next = io::stdout().as_fd().try_clone_to_owned()?;
    let next = std::os::unix::net::UnixListener::from(next);
    next.set_nonblocking(true)?;
    Ok((UnixStream::from_std(broker)?, UnixListener::from_std(next)?))
}

/// Starts the engine as the leader of a group of its own, and hears what it prints.
fn spawn(args: &GuardArgs) -> io::Result<(Pid, mpsc::Receiver<String>)> {
    let own = getpid().as_raw_nonzero().to_string();
    let mut child = Command::new(std::env::current_exe()?)
        .args(["hold", "--parent", &own, "--"])
        .args(&args.command)
        .process_group(0)
        .stdin(if args.input { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (sender, lines) = mpsc::channel(KEPT);
    if let Some(output) = child.stdout.take() {
        tokio::spawn(printed(ChildStdout::from_std(output)?, sender.clone()));
    }
    if let Some(errors) = child.stderr.take() {
        tokio::spawn(printed(ChildStderr::from_std(errors)?, sender));
    }
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    // Its input stays open for as long as this process lives.
    std::mem::forget(child.stdin.take());
    Ok((pid.ok_or_else(|| io::Error::other("it has no number"))?, lines))
}

/// The broker that wants the engine.
struct Broker {
    connection: UnixStream,
    heard: Inbox,
    to_say: Vec<u8>,
}

/// What the guard knows.
struct Sentry {
    engine: Pid,
    note: Option<Value>,
    words: Lines,
    grace: Duration,
    broker: Option<Broker>,
    /// Runs while there is no broker.
    patience: Option<Pin<Box<Sleep>>>,
}

/// Why the guard's work is over.
enum Over {
    /// The engine has ended, with this status.
    Ended(i32),
    /// A broker has said so, or no broker came.
    Unwanted,
}

impl Sentry {
    fn new(engine: Pid, broker: UnixStream, grace: Duration) -> Self {
        let (note, words) = (None, Lines::default());
        let mut sentry = Self { engine, note, words, grace, broker: None, patience: None };
        sentry.welcome(broker);
        sentry
    }

    async fn watch(
        &mut self,
        next: &UnixListener,
        children: &mut tokio::signal::unix::Signal,
        lines: &mut mpsc::Receiver<String>,
    ) -> Over {
        let mut prints = true;
        loop {
            tokio::select! {
                _ = children.recv() => {
                    if let Some(status) = self.reap() {
                        return Over::Ended(status);
                    }
                }
                accepted = next.accept() => match accepted {
                    // Only one broker at a time can have the folder: the last one to come is it.
                    Ok((connection, _)) => self.welcome(connection),
                    Err(_) => tokio::time::sleep(LOOK_EVERY.1).await,
                },
                () = ready(self.broker.as_ref()) => {
                    if self.exchange() {
                        return Over::Unwanted;
                    }
                }
                printed = lines.recv(), if prints => match printed {
                    Some(line) => self.note_line(line),
                    None => prints = false,
                },
                () = passed(&mut self.patience) => return Over::Unwanted,
            }
        }
    }

    /// Takes note of processes that have ended; the engine's status where it is one of them.
    fn reap(&self) -> Option<i32> {
        let mut ended = None;
        while let Ok(Some((pid, status))) = wait(WaitOptions::NOHANG) {
            if pid == self.engine {
                ended = Some(status.as_raw());
            }
        }
        ended
    }

    fn welcome(&mut self, connection: UnixStream) {
        let pid = self.engine.as_raw_nonzero().get().cast_unsigned();
        let mut to_say = line(&Said::Holds { pid, note: self.note.clone() });
        for words in self.words.iter() {
            to_say.extend(line(&Said::Printed(words.clone())));
        }
        self.broker = Some(Broker { connection, heard: Inbox::default(), to_say });
        self.patience = None;
    }

    fn note_line(&mut self, words: String) {
        if let Some(broker) = &mut self.broker
            && broker.to_say.len() < BACKLOG
        {
            broker.to_say.extend(line(&Said::Printed(words.clone())));
        }
        self.words.push(words);
    }

    /// Hears what the broker says, and says what is to be said. True where it is to end.
    fn exchange(&mut self) -> bool {
        let Some(broker) = &mut self.broker else { return false };
        let alive = broker.exchange();
        while let Some(told) = broker.heard.next() {
            match told {
                Told::Note(note) => self.note = Some(note),
                // What is not there any more need not be told.
                Told::Terminate => {
                    let _ = kill_process_group(self.engine, Signal::TERM);
                }
                Told::End => return true,
            }
        }
        if !alive {
            self.broker = None;
            self.patience = Some(Box::pin(tokio::time::sleep(self.grace)));
        }
        // No other broker takes over what nothing was noted of.
        !alive && self.note.is_none()
    }

    /// Tells the broker how the engine has ended.
    async fn last_words(&mut self, over: Over, mut lines: mpsc::Receiver<String>) {
        let Over::Ended(status) = over else { return };
        let rest = async {
            while let Some(words) = lines.recv().await {
                self.note_line(words);
            }
        };
        let _ = tokio::time::timeout(SETTLE, rest).await;
        let Some(broker) = &mut self.broker else { return };
        broker.to_say.extend(line(&Said::Ended { status }));
        let said = async {
            while !broker.to_say.is_empty() && broker.exchange() {
                ready(Some(&*broker)).await;
            }
        };
        let _ = tokio::time::timeout(SETTLE, said).await;
    }
}

impl Broker {
    /// Reads and writes what can be at once. False where the other side is gone.
    fn exchange(&mut self) -> bool {
        while !self.to_say.is_empty() {
            match self.connection.try_write(&self.to_say) {
                Ok(written) => drop(self.to_say.drain(..written)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => return false,
            }
        }
        loop {
            match self.connection.try_read_buf(&mut self.heard.bytes) {
                Ok(0) => return false,
                Ok(_) => {}
                Err(error) => return error.kind() == ErrorKind::WouldBlock,
            }
        }
    }
}

/// Ends when there is something to hear from `broker`, or something can be said to it.
async fn ready(broker: Option<&Broker>) {
    let Some(broker) = broker else { return std::future::pending().await };
    let wanted = if broker.to_say.is_empty() {
        Interest::READABLE
    } else {
        Interest::READABLE | Interest::WRITABLE
    };
    // What is wrong with the connection shows when it is used.
    let _ = broker.connection.ready(wanted).await;
}

async fn passed(patience: &mut Option<Pin<Box<Sleep>>>) {
    match patience {
        Some(sleep) => sleep.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Ends whatever runs below this process, and waits until the kernel has taken it all back.
async fn end_everything() {
    let own = std::process::id();
    let (mut pause, longest) = LOOK_EVERY;
    loop {
        for pid in members_of(own).into_iter().filter(|pid| *pid != own) {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                let _ = kill_process(pid, Signal::KILL);
            }
        }
        loop {
            match wait(WaitOptions::NOHANG) {
                Ok(Some(_)) => {}
                Ok(None) => break,
                // Nobody is left.
                Err(_) => return,
            }
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

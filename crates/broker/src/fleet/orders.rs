//! The line of commands before a model's task.
//!
//! The channel sets room aside for some of them at once. They are boxed, since most models of a
//! long config are never told anything.

use tokio::sync::mpsc;

use super::model::Command;

/// The optimizer asks for one thing at a time, and a request asks only when nobody has.
const MOST: usize = 64;

/// Where commands go in.
#[derive(Debug)]
pub(super) struct Orders(mpsc::Sender<Box<Command>>);

/// Where they come out.
#[derive(Debug)]
pub(super) struct Inbox(mpsc::Receiver<Box<Command>>);

/// The line is full, or its task has ended.
#[derive(Debug)]
pub(super) struct NotTaken;

/// A line that is empty yet.
pub(super) fn orders() -> (Orders, Inbox) {
    let (sender, receiver) = mpsc::channel(MOST);
    (Orders(sender), Inbox(receiver))
}

impl Orders {
    /// Waits for room; fails only where the task has ended.
    pub(super) async fn send(&self, command: Command) -> Result<(), NotTaken> {
        self.0.send(Box::new(command)).await.map_err(|_| NotTaken)
    }

    pub(super) fn try_send(&self, command: Command) -> Result<(), NotTaken> {
        self.0.try_send(Box::new(command)).map_err(|_| NotTaken)
    }
}

impl Inbox {
    /// The next command; none where nobody can send one any more.
    ///
    /// Cancel safe.
    pub(super) async fn recv(&mut self) -> Option<Command> {
        self.0.recv().await.map(|command| *command)
    }
}

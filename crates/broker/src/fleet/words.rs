//! The last lines that an engine has printed, which say why it did not come up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::Child;
use tokio::sync::{Notify, mpsc};

/// How many lines are kept.
pub(crate) const KEPT: usize = 8;
/// The longest part of a line that is kept.
const LONGEST: usize = 400;
/// How much is read at once.
const CHUNK: usize = 4096;
/// How long to wait for the last lines of a process that has ended.
const SETTLE: Duration = Duration::from_millis(100);

/// The latest lines, and the first, in which some engines say where they listen.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lines(VecDeque<String>);

/// The last lines that an engine has printed.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords(Arc<Words>);

#[derive(Debug, Default)]
struct Words {
    lines: Mutex<(Lines, bool)>,
    news: Notify,
}

impl Lines {
    pub(crate) fn push(&mut self, line: String) {
        if self.0.len() == KEPT {
            self.0.remove(1);
        }
        self.0.push_back(line);
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &String> {
        self.0.iter()
    }
}

impl LastWords {
    /// Reads what `child` prints, so that it never blocks on a full pipe.
    pub(super) fn listen(child: &mut Child) -> Self {
        let words = Self::default();
        let (sender, mut lines) = mpsc::channel(KEPT);
        if let Some(output) = child.stdout.take() {
            tokio::spawn(printed(output, sender.clone()));
        }
        if let Some(errors) = child.stderr.take() {
            tokio::spawn(printed(errors, sender));
        }
        let kept = words.clone();
        tokio::spawn(async move {
            while let Some(line) = lines.recv().await {
                kept.push(line);
            }
            kept.close();
        });
        words
    }

    pub(super) fn push(&self, line: String) {
        tracing::debug!(line, "engine");
        self.0.lines.lock().0.push(line);
        self.0.news.notify_waiters();
    }

    /// There are no more to come.
    pub(super) fn close(&self) {
        self.0.lines.lock().1 = true;
        self.0.news.notify_waiters();
    }

    /// What `look` finds in a line that is there, or is still to come; none where nothing is.
    pub(super) async fn until<T>(&self, look: impl Fn(&str) -> Option<T>) -> Option<T> {
        loop {
            let mut news = std::pin::pin!(self.0.news.notified());
            // Whatever comes after the look below is not missed.
            news.as_mut().enable();
            {
                let kept = self.0.lines.lock();
                let found = kept.0.iter().find_map(|line| look(line));
                if found.is_some() || kept.1 {
                    return found;
                }
            }
            news.await;
        }
    }

    /// The last line so far, as the end of a sentence; empty where there is none.
    pub(super) fn now(&self) -> String {
        let kept = self.0.lines.lock();
        kept.0.0.back().map(|line| format!("; it last said: {line}")).unwrap_or_default()
    }

    /// The same of a process that has ended, whose last lines may still be on their way.
    pub(super) async fn told(&self) -> String {
        let _ = tokio::time::timeout(SETTLE, self.until(|_| None::<()>)).await;
        self.now()
    }
}

/// Reads lines from `from` until it ends; tells `to` the beginning of each that is not empty.
pub(crate) async fn printed(mut from: impl AsyncRead + Unpin, to: mpsc::Sender<String>) {
    let mut chunk = vec![0; CHUNK];
    let mut cutter = Cutter::default();
    loop {
        let read = from.read(&mut chunk).await.unwrap_or(0);
        let lines = if read == 0 { vec![cutter.cut()] } else { cutter.take(&chunk[..read]) };
        for line in lines.into_iter().flatten() {
            // Where nobody listens any more, the pipe is kept empty all the same.
            let _ = to.send(line).await;
        }
        if read == 0 {
            return;
        }
    }
}

/// Cuts what comes in pieces into lines. A line is kept up to a length, however long it is: bars
/// of progress have no end of line for hours.
#[derive(Debug, Default)]
struct Cutter {
    line: Vec<u8>,
}

impl Cutter {
    fn take(&mut self, piece: &[u8]) -> Vec<Option<String>> {
        let mut lines = Vec::new();
        for byte in piece {
            if matches!(byte, b'\n' | b'\r') {
                lines.push(self.cut());
            } else if self.line.len() < LONGEST {
                self.line.push(*byte);
            }
        }
        lines
    }

    /// The line so far; none where it is empty.
    fn cut(&mut self) -> Option<String> {
        let text = String::from_utf8_lossy(&self.line).trim().to_owned();
        self.line.clear();
        (!text.is_empty()).then_some(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_are_told_without_empty_ones_and_up_to_a_length() {
        let text = format!("one\n\n 10%\r 20%\r{}\nlast", "x".repeat(CHUNK * 3));
        let (sender, mut lines) = mpsc::channel(16);
        printed(text.as_bytes(), sender).await;
        let mut told = Vec::new();
        while let Some(line) = lines.recv().await {
            told.push(line);
        }
        let long = "x".repeat(LONGEST);
        assert_eq!(told, ["one", "10%", "20%", &long, "last"]);
    }
}

//! The last lines that an engine has printed, which say why it did not come up.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};
use tokio::process::Child;

/// How many lines are kept.
const KEPT: usize = 8;
/// The longest part of a line that is kept.
const LONGEST: usize = 400;
/// How long to wait for the last lines of a process that has ended.
const SETTLE: Duration = Duration::from_millis(100);

/// The last lines that an engine has printed.
#[derive(Clone, Debug, Default)]
pub(super) struct LastWords {
    lines: Arc<Mutex<VecDeque<String>>>,
}

impl LastWords {
    /// Reads what `child` prints, so that it never blocks on a full pipe.
    pub(super) fn listen(child: &mut Child) -> Self {
        let words = Self::default();
        if let Some(output) = child.stdout.take() {
            tokio::spawn(words.clone().read(output));
        }
        if let Some(errors) = child.stderr.take() {
            tokio::spawn(words.clone().read(errors));
        }
        words
    }

    async fn read(self, from: impl AsyncRead + Unpin) {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        loop {
            line.clear();
            match reader.read_until(b'\n', &mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => self.push(&line),
            }
        }
    }

    fn push(&self, line: &[u8]) {
        let text = String::from_utf8_lossy(&line[..line.len().min(LONGEST)]);
        let text = text.trim();
        if text.is_empty() {
            return;
        }
        tracing::debug!(line = text, "engine");
        let mut lines = self.lines.lock();
        if lines.len() == KEPT {
            lines.pop_front();
        }
        lines.push_back(text.to_owned());
    }

    /// The last line so far, as the end of a sentence; empty where there is none.
    pub(super) fn now(&self) -> String {
        self.lines.lock().back().map(|line| format!("; it last said: {line}")).unwrap_or_default()
    }

    /// The same of a process that has ended, whose last lines may still be on their way.
    pub(super) async fn told(&self) -> String {
        tokio::time::sleep(SETTLE).await;
        self.now()
    }
}

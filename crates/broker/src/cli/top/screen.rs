//! The screen, drawn anew twice a second, until somebody leaves.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::IntegrationStatus;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use serde_json::Value;

use super::view::{draw, used};
use crate::client::{Client, ClientError};
use crate::signals::interrupted;

/// How often the broker is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How often keys are looked at.
const KEYS_EVERY: Duration = Duration::from_millis(50);
/// How many figures of the past are shown.
const PAST: usize = 240;

/// Shows the broker until somebody leaves, by a key or a signal, or it answers no more. The
/// terminal is as it was then.
pub(super) async fn show(client: &Client, first: Value) -> Result<(), ClientError> {
    let mut terminal = ratatui::init();
    // A panic or an early return must not leave the terminal raw.
    let restored = Restored;
    let mut past = VecDeque::new();
    let mut status = first;
    let shown = loop {
        let parsed = serde_json::from_value::<IntegrationStatus>(status["status"].clone()).ok();
        if let Some(snapshot) = parsed.as_ref().and_then(|status| status.snapshot.as_ref()) {
            past.push_back(used(snapshot).get() >> 20);
            if past.len() > PAST {
                past.pop_front();
            }
        }
        // A terminal that can't be drawn on has gone away.
        if terminal.draw(|frame| draw(frame, parsed.as_ref(), &past)).is_err() {
            break Ok(());
        }
        tokio::select! {
            left = leaves() => if left { break Ok(()) },
            _ = interrupted() => break Ok(()),
        }
        match client.get("/api/status").await {
            Ok(next) => status = next,
            Err(error) => break Err(error),
        }
    };
    drop(restored);
    shown
}

/// Puts the terminal back as it was when dropped.
struct Restored;

impl Drop for Restored {
    fn drop(&mut self) {
        ratatui::restore();
    }
}

/// Waits until the next round; true where somebody wants to leave.
async fn leaves() -> bool {
    let mut waited = Duration::ZERO;
    while waited < EVERY {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            let Ok(Event::Key(key)) = event::read() else { continue };
            let interrupt =
                key.code == KeyCode::Char('c') && key.modifiers.contains(KeyModifiers::CONTROL);
            let quit = matches!(key.code, KeyCode::Char('q') | KeyCode::Esc);
            if key.kind == KeyEventKind::Press && (interrupt || quit) {
                return true;
            }
        }
        tokio::time::sleep(KEYS_EVERY).await;
        waited += KEYS_EVERY;
    }
    false
}

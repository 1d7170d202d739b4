//! A sign of life on a terminal, where something takes longer than a blink.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::ProgressBar;

/// Spins on standard error until it is dropped; does nothing where that is no terminal.
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    pub(super) fn start(what: &str) -> Self {
        let spinner = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(spinner) = &spinner {
            spinner.set_message(what.to_owned());
            spinner.enable_steady_tick(Duration::from_millis(120));
        }
        Self(spinner)
    }

    /// Says what is done now.
    pub(super) fn say(&self, what: &str) {
        if let Some(spinner) = &self.0 {
            spinner.set_message(what.to_owned());
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(spinner) = &self.0 {
            spinner.finish_and_clear();
        }
    }
}

//! What the demo shows while it runs: a live view in a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use plimsoll_core_types::{EngineState, SystemSnapshot};

use crate::journal::Event;
use crate::output;

/// How many events of each kind are shown before the rest is only counted.
const SHOWN: usize = 6;

/// The view. In a terminal a status stays at the bottom and events scroll above it.
#[derive(Debug)]
pub(super) struct View {
    bars: Option<Bars>,
    all_events: bool,
    shown: BTreeMap<&'static str, usize>,
    ticks: u64,
}

#[derive(Debug)]
struct Bars {
    group: MultiProgress,
    budget: ProgressBar,
    models: ProgressBar,
}

impl View {
    pub(super) fn new(all_events: bool) -> Self {
        let bars = output::is_terminal().then(Bars::new);
        Self { bars, all_events, shown: BTreeMap::new(), ticks: 0 }
    }

    pub(super) fn event(&mut self, event: &Event) {
        let key = event.kind.word();
        let shown = self.shown.entry(key).or_default();
        *shown += 1;
        if self.all_events || *shown <= SHOWN {
            self.print(&event.to_string());
        } else if *shown == SHOWN + 1 {
            let notice =
                format!("          (further {key} events are counted, not shown: --all-events)");
            self.print(&notice);
        }
    }

    pub(super) fn snapshot(&mut self, snapshot: &SystemSnapshot, answered: usize, asked: usize) {
        self.ticks += 1;
        let status = status(snapshot, answered, asked);
        match &self.bars {
            Some(bars) => bars.update(snapshot, &status),
            // Every five seconds where a tick is a tenth of one.
            None if self.ticks.is_multiple_of(50) => output::line(&status),
            None => {}
        }
    }

    pub(super) fn print(&self, text: &str) {
        match &self.bars {
            Some(bars) => {
                // A terminal that went away loses a line, nothing else.
                let _ = bars.group.println(text);
            }
            None => output::line(text),
        }
    }

    pub(super) fn finish(&self) {
        if let Some(bars) = &self.bars {
            bars.budget.finish_and_clear();
            bars.models.finish_and_clear();
        }
    }
}

impl Bars {
    fn new() -> Self {
        let group = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(10));
        let budget = group.add(ProgressBar::new(1));
        let style = "promised [{bar:40}] {msg}";
        budget.set_style(
            ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        let models = group.add(ProgressBar::new_spinner());
        models.set_style(
            ProgressStyle::with_template("{msg}").unwrap_or_else(|_| ProgressStyle::default_bar()),
        );
        Self { group, budget, models }
    }

    fn update(&self, snapshot: &SystemSnapshot, status: &str) {
        let (limit, promised) = (snapshot.pool.limit.memory(), snapshot.pool.promised.memory());
        self.budget.set_length(limit.get());
        self.budget.set_position(promised.get());
        self.budget.set_message(status.to_owned());
        let mut lines = String::new();
        for engine in &snapshot.engines {
            let (promised, used) = (engine.promised.memory(), engine.used.memory());
            let figures = if engine.state.holds_lease() {
                format!("{used} of {promised}, {} in progress", engine.in_progress)
            } else {
                format!("needs {}, {} waiting", engine.believed.memory(), engine.waiting)
            };
            let state = engine.state;
            let _ = writeln!(lines, "  {:<10} {state:<12} {figures}", engine.model);
        }
        self.models.set_message(lines);
        self.models.tick();
    }
}

fn status(snapshot: &SystemSnapshot, answered: usize, asked: usize) -> String {
    let used: plimsoll_core_types::Bytes =
        snapshot.engines.iter().map(|engine| engine.used.memory()).sum();
    let ready = snapshot.engines.iter().filter(|e| e.state == EngineState::Ready).count();
    format!(
        "{:7.2}s  promised {} of {}, measured {used}, {ready} ready, {} waiting, {answered} of \
         {asked} answered",
        snapshot.at.as_secs_f64(),
        snapshot.pool.promised.memory(),
        snapshot.pool.limit.memory(),
        snapshot.pool.waiters.len(),
    )
}

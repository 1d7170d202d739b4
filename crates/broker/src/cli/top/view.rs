//! What `top` shows, in whatever room there is.

use std::collections::{BTreeSet, VecDeque};

use plimsoll_core_types::{
    Bytes, EngineSnapshot, EngineState, ForecastHealth, IntegrationStatus, SystemSnapshot,
};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Style, Stylize as _};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, List, Paragraph, Row, Sparkline, Table};

/// Below this many columns, tables keep what matters most, and lists stand alone.
const NARROW: u16 = 72;
/// From this many rows on there is room for the past.
const TALL: u16 = 24;

/// A column of the table of models: its head, its width, and its text.
type Column = (&'static str, u16, fn(&EngineSnapshot, &SystemSnapshot) -> String);

const COLUMNS: [Column; 9] = [
    ("MODEL", 10, |engine, _| engine.model.to_string()),
    ("STATE", 9, |engine, _| engine.state.to_string()),
    ("PROMISED", 9, |engine, _| engine.promised.memory().to_string()),
    ("USED", 9, |engine, _| engine.used.memory().to_string()),
    ("CORES", 5, |engine, _| format!("{:.2}", engine.used.cpu().as_cores())),
    ("BUSY", 4, |engine, _| engine.in_progress.to_string()),
    ("WAIT", 4, |engine, _| engine.waiting.to_string()),
    ("ASKED", 6, |engine, _| engine.arrivals.to_string()),
    ("FORECAST", 8, forecast),
];
/// Those that a narrow terminal shows.
const FEW: [usize; 4] = [0, 1, 3, 7];

pub(super) fn used(snapshot: &SystemSnapshot) -> Bytes {
    snapshot.engines.iter().map(|engine| engine.used.memory()).sum()
}

/// Draws everything.
pub(super) fn draw(
    frame: &mut Frame<'_>,
    status: Option<&IntegrationStatus>,
    past: &VecDeque<u64>,
) {
    let snapshot = status.and_then(|status| status.snapshot.as_ref());
    let (Some(status), Some(snapshot)) = (status, snapshot) else {
        frame.render_widget(Line::from("the broker has seen nothing yet; q leaves"), frame.area());
        return;
    };
    let area = frame.area();
    let (narrow, chart) = (area.width < NARROW, if area.height < TALL { 0 } else { 3 });
    let lists = area.height / 3;
    let rows = [
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Length(chart),
        Constraint::Min(4),
        Constraint::Length(lists),
    ];
    let [head, amounts, chart, models, lists] = Layout::vertical(rows).areas(area);
    frame.render_widget(title(status, snapshot, narrow), head);
    quantities(frame, amounts, snapshot);
    history(frame, chart, past);
    engines(frame, models, snapshot, narrow);
    if narrow {
        let halves = [Constraint::Percentage(50); 2];
        let [upper, lower] = Layout::vertical(halves).areas(lists);
        holders(frame, upper, snapshot);
        decisions(frame, lower, status);
    } else {
        let parts = [Constraint::Percentage(40), Constraint::Percentage(60)];
        let [left, right] = Layout::horizontal(parts).areas(lists);
        holders(frame, left, snapshot);
        decisions(frame, right, status);
    }
}

fn title(status: &IntegrationStatus, snapshot: &SystemSnapshot, narrow: bool) -> Line<'static> {
    let ready = snapshot.engines.iter().filter(|e| e.state == EngineState::Ready).count();
    let (waiters, alerts) = (snapshot.pool.waiters.len(), status.alerts.len());
    let text = if narrow {
        format!("plimsoll {ready} ready {waiters} wait  q leaves")
    } else {
        let models = snapshot.engines.len();
        format!(
            "plimsoll  {ready} of {models} models ready, {waiters} wait, {alerts} alerts   q leaves"
        )
    };
    let style = if alerts > 0 { Style::new().fg(Color::Red) } else { Style::new() };
    Line::styled(text, style.bold())
}

/// The four quantities: what there is, the line, and what is promised and used below it.
fn quantities(frame: &mut Frame<'_>, area: Rect, snapshot: &SystemSnapshot) {
    let (capacity, taken) = (snapshot.capacity.memory(), snapshot.used.memory());
    let (limit, promised) = (snapshot.pool.limit.memory(), snapshot.pool.promised.memory());
    let row = |name: &str, part: Bytes, whole: Bytes, color: Color, text: String| {
        // What the name and the longest text leave, at least a few cells.
        let width = usize::from(area.width).saturating_sub(34).clamp(6, 60);
        let share = part.share_of(whole).min_one().get();
        let full = (if share.is_finite() { share } else { 0.0 } * width as f64).round() as usize;
        Line::from(vec![
            Span::raw(format!("{name:<9}")).bold(),
            Span::styled("█".repeat(full), Style::new().fg(color)),
            Span::styled("░".repeat(width - full.min(width)), Style::new().dim()),
            Span::raw(format!(" {text}")),
        ])
    };
    let lines = vec![
        row("capacity", taken, capacity, Color::Blue, format!("{taken} of {capacity}")),
        row("line", limit, capacity, Color::Magenta, format!("{limit} for models")),
        row("promised", promised, limit, Color::Yellow, format!("{promised} of {limit}")),
        row("used", used(snapshot), limit, Color::Green, format!("{} of {limit}", used(snapshot))),
    ];
    frame.render_widget(Paragraph::new(lines), area);
}

fn history(frame: &mut Frame<'_>, area: Rect, past: &VecDeque<u64>) {
    // The latest figures are the ones that there is room for.
    let skip = past.len().saturating_sub(usize::from(area.width));
    let data: Vec<u64> = past.iter().skip(skip).copied().collect();
    let block = Block::new().title("used by models over time, MiB");
    frame.render_widget(Sparkline::default().block(block).data(&data), area);
}

fn forecast(engine: &EngineSnapshot, snapshot: &SystemSnapshot) -> String {
    let model = engine.model.as_str();
    let found = snapshot.forecasts.iter().find(|f| f.key.subject.as_str() == model);
    let skilled = found.filter(|f| matches!(f.health, ForecastHealth::Skilled { .. }));
    let next = skilled.and_then(|forecast| forecast.horizons.first());
    next.map_or_else(|| "-".to_owned(), |next| format!("{:.2}/s", next.quantiles.median()))
}

/// The models that hold or want something come first: there may be more than there is room for.
fn engines(frame: &mut Frame<'_>, area: Rect, snapshot: &SystemSnapshot, narrow: bool) {
    let mut order: Vec<&EngineSnapshot> = snapshot.engines.iter().collect();
    order.sort_by_key(|e| e.state == EngineState::Stopped && e.waiting == 0);
    let all: Vec<usize> = (0..COLUMNS.len()).collect();
    let shown: &[usize] = if narrow { &FEW } else { &all };
    let columns: Vec<&Column> = shown.iter().map(|at| &COLUMNS[*at]).collect();
    let row = |engine: &&EngineSnapshot| {
        Row::new(columns.iter().map(|(_, _, text)| text(engine, snapshot)).collect::<Vec<_>>())
    };
    let room = usize::from(area.height.saturating_sub(3));
    let rows: Vec<_> = order.iter().take(room).map(row).collect();
    let hidden = order.len().saturating_sub(room);
    let title = if hidden == 0 { "models".to_owned() } else { format!("models ({hidden} more)") };
    let heads = columns.iter().map(|(head, ..)| *head);
    let widths = columns.iter().enumerate().map(|(at, (_, width, _))| {
        if at == 0 { Constraint::Min(*width) } else { Constraint::Length(*width) }
    });
    let table = Table::new(rows, widths)
        .header(Row::new(heads).style(Style::new().bold()))
        .block(Block::bordered().title(title));
    frame.render_widget(table, area);
}

/// Who waits, in order, and which other programs hold a lease.
fn holders(frame: &mut Frame<'_>, area: Rect, snapshot: &SystemSnapshot) {
    let waiters = snapshot.pool.waiters.iter().map(|waiter| {
        let lacking = waiter.lacking.map_or("its turn".to_owned(), |lacking| lacking.to_string());
        format!("{} {}: {lacking}", waiter.position, waiter.consumer)
    });
    let engines: BTreeSet<_> = snapshot.engines.iter().filter_map(|engine| engine.lease).collect();
    let others = snapshot.pool.leases.iter().filter(|lease| !engines.contains(&lease.id));
    let leases = others.map(|lease| format!("= {} holds {}", lease.consumer, lease.amount));
    let room = usize::from(area.height.saturating_sub(2));
    let list = List::new(waiters.chain(leases).take(room));
    frame.render_widget(list.block(Block::bordered().title("queue, leases")), area);
}

fn decisions(frame: &mut Frame<'_>, area: Rect, status: &IntegrationStatus) {
    let alerts = status.alerts.iter().map(|alert| {
        let text = format!("! {} {}: {}", alert.severity, alert.subject, alert.cause);
        Line::styled(text, Style::new().fg(Color::Red))
    });
    let decided = status.decisions.iter().rev().map(|decision| {
        Line::from(format!("{}: {}", decision.planned.action, decision.planned.reason))
    });
    let room = usize::from(area.height.saturating_sub(2));
    let list = List::new(alerts.chain(decided).take(room));
    frame.render_widget(list.block(Block::bordered().title("alerts, decisions")), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::Value;

    /// What a broker has answered at `/api/status`.
    fn recorded() -> IntegrationStatus {
        let answer: Value = serde_json::from_str(include_str!("status.json")).unwrap();
        serde_json::from_value(answer["status"].clone()).unwrap()
    }

    fn screen(width: u16, height: u16, status: Option<&IntegrationStatus>) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let past = (0..100).map(|at| 40 + at % 10).collect();
        terminal.draw(|frame| draw(frame, status, &past)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn a_usual_terminal_shows_it_all() {
        insta::assert_snapshot!(screen(80, 24, Some(&recorded())));
    }

    #[test]
    fn a_small_terminal_shows_what_matters() {
        insta::assert_snapshot!(screen(40, 20, Some(&recorded())));
    }

    #[test]
    fn no_size_and_no_status_breaks_it() {
        let status = recorded();
        for (width, height) in [(1, 1), (10, 3), (39, 9), (72, 12), (300, 80)] {
            screen(width, height, Some(&status));
            screen(width, height, None);
        }
        assert!(screen(60, 3, None).contains("q leaves"));
    }
}

//! The screen, drawn anew twice a second.

use std::collections::VecDeque;
use std::time::Duration;

use plimsoll_core_types::{Bytes, ForecastHealth, IntegrationStatus, SystemSnapshot};
use ratatui::Frame;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line;
use ratatui::widgets::{Block, Gauge, List, Row, Sparkline, Table};
use serde_json::Value;

use crate::client::{Client, ClientError};

/// How often the broker is asked.
const EVERY: Duration = Duration::from_millis(500);
/// How often keys are looked at.
const KEYS_EVERY: Duration = Duration::from_millis(50);
/// How many figures of the past are shown.
const PAST: usize = 240;

/// Shows the broker until somebody leaves.
pub(super) async fn show(client: &Client, first: Value) -> Result<(), ClientError> {
    let mut terminal = ratatui::init();
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
        if terminal.draw(|frame| draw(frame, parsed.as_ref(), &past)).is_err() || leaves().await {
            break Ok(());
        }
        match client.get("/api/status").await {
            Ok(next) => status = next,
            Err(error) => break Err(error),
        }
    };
    ratatui::restore();
    shown
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

fn used(snapshot: &SystemSnapshot) -> Bytes {
    snapshot.engines.iter().map(|engine| engine.used.memory()).sum()
}

fn draw(frame: &mut Frame<'_>, status: Option<&IntegrationStatus>, past: &VecDeque<u64>) {
    let snapshot = status.and_then(|status| status.snapshot.as_ref());
    let (Some(status), Some(snapshot)) = (status, snapshot) else {
        frame.render_widget(Line::from("the broker has seen nothing yet"), frame.area());
        return;
    };
    let rows = [
        Constraint::Length(1),
        Constraint::Length(4),
        Constraint::Length(5),
        Constraint::Min(5),
        Constraint::Length(8),
    ];
    let [head, gauges, chart, models, bottom] = Layout::vertical(rows).areas(frame.area());
    let title = format!(
        "plimsoll  {} ready, {} wait, {} alerts, {} ticks   q leaves",
        snapshot.engines.iter().filter(|engine| engine.ready_since.is_some()).count(),
        snapshot.pool.waiters.len(),
        status.alerts.len(),
        status.ticks,
    );
    frame.render_widget(Line::from(title).bold(), head);
    quantities(frame, gauges, snapshot);
    let data: Vec<u64> = past.iter().copied().collect();
    let block = Block::bordered().title("used by models, MiB");
    frame.render_widget(Sparkline::default().block(block).data(&data), chart);
    engines(frame, models, snapshot);
    let [queue, news] = Layout::horizontal([Constraint::Percentage(40); 2]).areas(bottom);
    let news = Rect { width: frame.area().width.saturating_sub(news.x), ..news };
    waiters(frame, queue, snapshot);
    decisions(frame, news, status);
}

/// Capacity is what there is; promised and used are shares of the line.
fn quantities(frame: &mut Frame<'_>, area: Rect, snapshot: &SystemSnapshot) {
    let limit = snapshot.pool.limit.memory();
    let [left, right] = Layout::horizontal([Constraint::Percentage(50); 2]).areas(area);
    let gauge = |what: &str, amount: Bytes| {
        let share = amount.share_of(limit).min_one().get();
        let label = format!("{amount} of {limit}");
        let block = Block::bordered().title(what.to_owned());
        Gauge::default()
            .block(block)
            .ratio(if share.is_finite() { share } else { 0.0 })
            .label(label)
    };
    let capacity = snapshot.capacity.memory();
    let promised = format!("promised, below the line (host has {capacity})");
    frame.render_widget(gauge(&promised, snapshot.pool.promised.memory()), left);
    frame.render_widget(gauge("used by models", used(snapshot)), right);
}

fn engines(frame: &mut Frame<'_>, area: Rect, snapshot: &SystemSnapshot) {
    let forecast = |model: &str| {
        let found = snapshot.forecasts.iter().find(|f| f.key.subject.as_str() == model);
        let skilled = found.filter(|f| matches!(f.health, ForecastHealth::Skilled { .. }));
        let next = skilled.and_then(|forecast| forecast.horizons.first());
        next.map_or_else(|| "-".to_owned(), |next| format!("{:.2}/s", next.quantiles.median()))
    };
    let row = |engine: &plimsoll_core_types::EngineSnapshot| {
        Row::new([
            engine.model.to_string(),
            engine.state.to_string(),
            engine.promised.memory().to_string(),
            engine.used.memory().to_string(),
            format!("{:.2}", engine.used.cpu().as_cores()),
            engine.in_progress.to_string(),
            engine.waiting.to_string(),
            engine.arrivals.to_string(),
            forecast(engine.model.as_str()),
        ])
    };
    let widths = [20, 12, 11, 11, 7, 6, 8, 9, 10].map(Constraint::Length);
    let heads =
        ["MODEL", "STATE", "PROMISED", "USED", "CORES", "BUSY", "WAITING", "REQUESTS", "FORECAST"];
    let table = Table::new(snapshot.engines.iter().map(row), widths)
        .header(Row::new(heads).style(Style::new().bold()))
        .block(Block::bordered().title("models"));
    frame.render_widget(table, area);
}

fn waiters(frame: &mut Frame<'_>, area: Rect, snapshot: &SystemSnapshot) {
    let row = |waiter: &plimsoll_core_types::WaiterStatus| {
        let lacking = waiter.lacking.map_or("its turn".to_owned(), |lacking| lacking.to_string());
        format!("{} {}: {lacking}", waiter.position, waiter.consumer)
    };
    let list = List::new(snapshot.pool.waiters.iter().map(row));
    frame.render_widget(list.block(Block::bordered().title("queue")), area);
}

fn decisions(frame: &mut Frame<'_>, area: Rect, status: &IntegrationStatus) {
    let alerts = status
        .alerts
        .iter()
        .map(|alert| format!("! {} {}: {}", alert.severity, alert.subject, alert.cause));
    let decided = status.decisions.iter().rev().map(|decision| {
        format!("{} {}: {}", decision.at, decision.planned.action, decision.planned.reason)
    });
    let list = List::new(alerts.chain(decided).take(area.height as usize));
    frame.render_widget(list.block(Block::bordered().title("alerts and decisions")), area);
}

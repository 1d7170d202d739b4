//! Tells somebody when objectives on errors and latency are being missed too fast to wait.
//!
//! An objective leaves a budget of requests that may go badly. How fast it is spent is watched over
//! several pairs of windows at once ([`BURN_RULES`]): a long one, so that nobody is woken for a
//! blip, and a short one, so that it is over soon after the incident is. An alert says how urgent it
//! is, what is wrong with the numbers, and which heading of the operational docs says what to do;
//! one that is up is told again only when its urgency changes, and when it has ended.

mod burn;
mod config;
mod latch;
mod ring;
mod sink;
#[cfg(feature = "webhook")]
mod webhook;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use plimsoll_core_types::{Alert, AlertSink, Timestamp};

use burn::Burn;
pub use config::{AlertConfig, AlertConfigError, BURN_RULES, BurnRule, Good, Objective};
pub(crate) use latch::Latch;
use ring::Count;
pub use sink::{CallbackSink, TracingSink};
#[cfg(feature = "webhook")]
pub use webhook::{
    Deliver, DeliverError, Delivery, HttpPost, HttpPostError, Webhook, WebhookConfig,
};

/// What has happened since it was last looked at.
#[derive(Debug)]
struct Counters {
    good: Good,
    counts: [AtomicU64; 2],
}

impl Counters {
    fn record(&self, latency: Duration, well: bool) {
        let good = match self.good {
            Good::Answered => well,
            Good::Within(_) if !well => return,
            Good::Within(within) => latency <= within,
        };
        self.counts[usize::from(good)].fetch_add(1, Ordering::Relaxed);
    }

    fn take(&self) -> Count {
        let [bad, good] = [0, 1].map(|at: usize| self.counts[at].swap(0, Ordering::Relaxed));
        Count { good, bad }
    }
}

/// Watches objectives, and tells sinks.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use plimsoll_core_types::{Ratio, Timestamp};
/// use plimsoll_load::alert::{AlertConfig, Alerts, Good, Objective, TracingSink};
///
/// let objective = Objective {
///     subject: "api".to_owned(),
///     good: Good::Answered,
///     target: Ratio::saturating(0.999),
/// };
/// let config = AlertConfig { objectives: vec![objective], ..AlertConfig::default() };
/// let alerts = Alerts::new(&config, vec![Arc::new(TracingSink)])?;
/// for _ in 0..100 {
///     alerts.record(Duration::from_millis(3), false);
/// }
/// let raised = alerts.observe(Timestamp::ZERO + Duration::from_secs(5));
/// assert_eq!(raised[0].name, "error_budget_burn");
/// assert_eq!(raised[0].runbook, "error-budget-burn");
/// # Ok::<(), plimsoll_load::alert::AlertConfigError>(())
/// ```
#[derive(Debug)]
pub struct Alerts {
    counters: Vec<Counters>,
    burns: Mutex<Vec<Burn>>,
    sinks: Vec<Arc<dyn AlertSink>>,
}

impl Alerts {
    /// Watches `config`'s objectives, and tells `sinks`.
    ///
    /// # Errors
    ///
    /// When the config names an objective without a budget, a rule that can't work, or too many.
    pub fn new(
        config: &AlertConfig,
        sinks: Vec<Arc<dyn AlertSink>>,
    ) -> Result<Self, AlertConfigError> {
        config.check()?;
        let counters = config.objectives.iter();
        let counters = counters
            .map(|objective| Counters { good: objective.good, counts: Default::default() })
            .collect();
        let burns = config.objectives.iter();
        let burns = burns.map(|objective| Burn::new(objective.clone(), config)).collect();
        Ok(Self { counters, burns: Mutex::new(burns), sinks })
    }

    /// A request has ended: one atomic addition for each objective, and no lock.
    pub fn record(&self, latency: Duration, well: bool) {
        for counters in &self.counters {
            counters.record(latency, well);
        }
    }

    /// Looks at what was recorded, tells the sinks of alerts that were raised, have changed their
    /// urgency or have ended, and answers with them. To be called every few seconds.
    pub fn observe(&self, now: Timestamp) -> Vec<Alert> {
        let mut burns = self.burns.lock();
        let observed = self.counters.iter().zip(burns.iter_mut());
        let news: Vec<Alert> =
            observed.filter_map(|(counters, burn)| burn.observe(counters.take(), now)).collect();
        drop(burns);
        for alert in &news {
            for sink in &self.sinks {
                sink.alert(alert);
            }
        }
        news
    }

    /// The alerts that are up.
    pub fn up(&self) -> Vec<Alert> {
        self.burns.lock().iter().filter_map(|burn| burn.up().cloned()).collect()
    }
}

//! The optimizer on beside the optimizer off, which leaves the plain rule: load what is asked for,
//! and let the least recently used model give way.

use std::time::Duration;

use plimsoll_core_types::{Better, Row};
use plimsoll_sim::generate::Recipe;
use plimsoll_sim::replay::predictor;
use plimsoll_sim::serving::{Host, HostOptions, LruByBytes, Outcome, Plimsoll, Policy, Scenario};
use plimsoll_sim::trace::Trace;
use plimsoll_testkit::{report, scale};

use super::open;

/// A gain, seen on one host after the other.
#[derive(Default)]
struct Gain {
    on: f64,
    off: f64,
    differences: Vec<f64>,
}

impl Gain {
    fn add(&mut self, on: f64, off: f64) {
        self.on += on;
        self.off += off;
        self.differences.push(on - off);
    }

    fn mean(&self) -> f64 {
        self.differences.iter().sum::<f64>() / self.differences.len() as f64
    }

    /// Two standard errors of the paired differences.
    fn noise(&self) -> f64 {
        let (count, mean) = (self.differences.len() as f64, self.mean());
        let squares: f64 = self.differences.iter().map(|d| (d - mean) * (d - mean)).sum();
        2.0 * (squares / (count - 1.0).max(1.0) / count).sqrt()
    }

    fn means(&self) -> (f64, f64) {
        let count = self.differences.len() as f64;
        (self.on / count, self.off / count)
    }
}

fn scenarios() -> Vec<(&'static str, Trace, HostOptions)> {
    let part = |budget, rate, from| HostOptions {
        span: Duration::from_mins(20),
        budget,
        rate,
        from: Duration::from_hours(from),
        ..HostOptions::default()
    };
    let (large, small) = ("servegen_m-large", "servegen_m-small");
    let real = [
        ("m-large", format!("serving/{large}_client_rates.csv.gz"), part(0.5, 0.3, 14)),
        ("m-large, tight", format!("serving/{large}_client_rates.csv.gz"), part(0.25, 1.0, 38)),
        ("m-small", format!("serving/{small}_client_rates.csv.gz"), part(0.5, 0.3, 14)),
        ("m-small, tight", format!("serving/{small}_client_rates.csv.gz"), part(0.25, 0.6, 38)),
        (
            "deepseek-r1",
            "serving/servegen_deepseek-r1_client_rates.csv.gz".to_owned(),
            part(0.5, 0.3, 10),
        ),
        ("mooncake", "serving/mooncake_conversation_lengths.csv.gz".to_owned(), part(0.5, 0.3, 0)),
        ("azure-code", "serving/azure_llm_2023_code.csv.gz".to_owned(), part(0.5, 0.3, 0)),
    ];
    let real = real.into_iter().filter_map(|(name, path, how)| Some((name, open(&path)?, how)));
    let made_up = Recipe::conversation().requests(Duration::from_mins(30), 7);
    let made_up = [
        ("made up", made_up.clone(), part(0.5, 0.3, 0)),
        ("made up, roomy", made_up, part(0.8, 0.3, 0)),
    ];
    real.chain(made_up).collect()
}

fn serve(host: &Host, policy: &mut dyn Policy) -> Outcome {
    Scenario::new(&host.engines, &host.jobs, host.config).run(policy).unwrap()
}

/// One line of the table; false where it is worse by more than noise.
#[expect(clippy::print_stdout, reason = "the table is for people")]
fn line(name: &str, what: &str, better: Better, gain: &Gain, slack: f64) -> bool {
    let (on, off) = gain.means();
    println!(
        "{name:16} {what:10} on {on:9.4}  off {off:9.4}  by {:+9.4} ± {:.4}",
        gain.mean(),
        gain.noise()
    );
    let row = Row::new(&format!("optimizer.{what}"), on, "", better).label("scenario", name);
    report(&row.peer("off", off));
    let worse = match better {
        Better::Higher => -gain.mean(),
        Better::Lower => gain.mean(),
    };
    worse <= gain.noise() + slack
}

#[test]
fn the_optimizer_is_nowhere_worse_than_the_plain_rule_beyond_noise() {
    let mut worse = Vec::new();
    for (name, trace, options) in scenarios() {
        let [mut warm, mut late, mut failed, mut wait] = std::array::from_fn(|_| Gain::default());
        for seed in 0..scale(3) as u64 {
            let host = Host::of(&trace, &HostOptions { seed, ..options });
            let forecasts = predictor(Duration::from_millis(250)).unwrap();
            let mut on = Plimsoll::new(host.config.limit, Some(forecasts)).unwrap();
            let (on, off) = (serve(&host, &mut on), serve(&host, &mut LruByBytes));
            warm.add(on.warm_hit_rate(), off.warm_hit_rate());
            let bearable = Duration::from_secs(10);
            late.add(on.late_share(bearable), off.late_share(bearable));
            failed.add(on.error_rate(), off.error_rate());
            let mean = |out: &Outcome| {
                out.waits.iter().map(Duration::as_secs_f64).sum::<f64>()
                    / out.waits.len().max(1) as f64
            };
            wait.add(mean(&on), mean(&off));
        }
        let lines = [
            line(name, "warm", Better::Higher, &warm, 0.005),
            line(name, "late", Better::Lower, &late, 0.005),
            line(name, "failed", Better::Lower, &failed, 0.001),
            line(name, "mean_wait", Better::Lower, &wait, 0.05),
        ];
        if lines.contains(&false) {
            worse.push(name);
        }
    }
    assert!(worse.is_empty(), "worse beyond noise: {worse:?}");
}

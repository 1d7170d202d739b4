//! What the files say: pure parsing, `None` for what is not as the kernel's documents have it.

use std::time::Duration;

use plimsoll_core_types::{Millicores, Ratio};

/// What a limit's file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Quota {
    Unlimited,
    Cores(Millicores),
}

/// `cpu.max`: a quota, or `max`, and the period in microseconds.
pub(crate) fn quota_v2(text: &str) -> Option<Quota> {
    let mut fields = text.split_whitespace();
    let quota = fields.next()?;
    let period = fields.next().map_or(Some(100_000), |period| period.parse::<u64>().ok())?;
    match quota {
        "max" => Some(Quota::Unlimited),
        quota => cores(quota.parse().ok()?, period),
    }
}

/// `cpu.cfs_quota_us`, -1 without a limit, beside `cpu.cfs_period_us`.
pub(crate) fn quota_v1(quota: &str, period: &str) -> Option<Quota> {
    let quota: i64 = quota.trim().parse().ok()?;
    match u64::try_from(quota) {
        Err(_) => Some(Quota::Unlimited),
        Ok(quota) => cores(quota, period.trim().parse().ok()?),
    }
}

fn cores(quota: u64, period: u64) -> Option<Quota> {
    let millicores = quota.checked_mul(1000)?.checked_div(period)?;
    Some(Quota::Cores(Millicores::new(millicores.max(1))))
}

/// The value of `key` in lines of `key value`.
pub(crate) fn value_of(text: &str, key: &str) -> Option<u64> {
    let mut lines = text.lines().filter_map(|line| line.split_once(' '));
    let (_, value) = lines.find(|(name, _)| *name == key)?;
    value.trim().parse().ok()
}

/// CPU pressure, from `/proc/pressure/cpu` or a group's `cpu.pressure`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Psi {
    /// Share of the last ten seconds in which somebody waited.
    pub(crate) some_avg10: Ratio,
    /// How long somebody has waited in all.
    pub(crate) some_total: Duration,
}

/// Source: the kernel's `Documentation/accounting/psi.rst`.
pub(crate) fn psi(text: &str) -> Option<Psi> {
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let field =
        |name: &str| line.split(' ').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
    let percent: f64 = field("avg10")?.parse().ok()?;
    Some(Psi {
        some_avg10: Ratio::new(percent / 100.0).ok()?,
        some_total: Duration::from_micros(field("total")?.parse().ok()?),
    })
}

/// Busy time of the CPUs for which `counts` holds, from `/proc/stat`, in clock ticks of a
/// hundredth of a second. Time that the hypervisor gave to others counts: nobody here can have it.
pub(crate) fn busy_ticks(text: &str, counts: impl Fn(u32) -> bool) -> Option<u64> {
    let mut sum = None;
    for line in text.lines().skip_while(|line| line.starts_with("cpu ")) {
        let Some(rest) = line.strip_prefix("cpu") else { break };
        let mut fields = rest.split_ascii_whitespace();
        let cpu: u32 = fields.next()?.parse().ok()?;
        // user nice system idle iowait irq softirq steal; guest time is within user.
        let times: Vec<u64> = fields.take(8).map_while(|field| field.parse().ok()).collect();
        let waits = times.get(3)?.saturating_add(*times.get(4).unwrap_or(&0));
        let busy = times.iter().sum::<u64>().saturating_sub(waits);
        if counts(cpu) {
            sum = Some(sum.unwrap_or(0) + busy);
        }
    }
    sum
}

/// How long tasks waited in all for the CPUs for which `counts` holds, from `/proc/schedstat`.
///
/// Source: the kernel's `Documentation/scheduler/sched-stats.rst`.
pub(crate) fn run_delay(text: &str, counts: impl Fn(u32) -> bool) -> Option<Duration> {
    let mut sum = None;
    for line in text.lines() {
        let Some(rest) = line.strip_prefix("cpu") else { continue };
        let mut fields = rest.split_ascii_whitespace();
        let cpu: u32 = fields.next()?.parse().ok()?;
        // The last three are time run, time waited, and how often.
        let delay: u64 = fields.nth(7)?.parse().ok()?;
        if counts(cpu) {
            sum = Some(sum.unwrap_or(0) + delay);
        }
    }
    sum.map(Duration::from_nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotas_of_both_versions() {
        let cores = |millicores| Some(Quota::Cores(Millicores::new(millicores)));
        assert_eq!(quota_v2("max 100000\n"), Some(Quota::Unlimited));
        assert_eq!(quota_v2("150000 100000\n"), cores(1500));
        assert_eq!(quota_v2("50000"), cores(500));
        assert_eq!(quota_v2("1 1000000"), cores(1));
        assert_eq!(quota_v2("50000 0"), None);
        assert_eq!(quota_v2(""), None);
        assert_eq!(quota_v2("-3 100000"), None);
        assert_eq!(quota_v1("-1\n", "100000\n"), Some(Quota::Unlimited));
        assert_eq!(quota_v1("400000\n", "100000\n"), cores(4000));
        assert_eq!(quota_v1("400000\n", "many"), None);
    }

    #[test]
    fn pressure() {
        let text = "some avg10=12.50 avg60=1.01 avg300=0.59 total=3507624\n\
                    full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        let read = psi(text).unwrap();
        assert_eq!(read.some_avg10, Ratio::new(0.125).unwrap());
        assert_eq!(read.some_total, Duration::from_micros(3_507_624));
        assert_eq!(psi("some avg10=x total=1"), None);
        assert_eq!(psi(""), None);
    }

    #[test]
    fn busy_time_leaves_out_idle_and_foreign_cpus() {
        let text = "cpu  10 0 10 100 5 1 1 2 0 0\ncpu0 5 1 5 50 2 1 1 2 3 0\ncpu1 5 0 5 50 3 0 0 0 0 0\nintr 5 0\n";
        assert_eq!(busy_ticks(text, |_| true), Some(25));
        assert_eq!(busy_ticks(text, |cpu| cpu == 1), Some(10));
        assert_eq!(busy_ticks(text, |cpu| cpu == 7), None);
        assert_eq!(busy_ticks("", |_| true), None);
    }

    #[test]
    fn waiting_for_a_core() {
        let text = "version 17\ntimestamp 4294\ncpu0 0 0 0 0 0 0 900 400 12\ndomain0 MC 3 0 0\ncpu1 0 0 0 0 0 0 800 50 9\n";
        assert_eq!(run_delay(text, |_| true), Some(Duration::from_nanos(450)));
        assert_eq!(run_delay("version 17\n", |_| true), None);
    }

    #[test]
    fn a_key_is_matched_whole() {
        let text = "usage_usec 17\nuser_usec 9\nnr_throttled 3\n";
        assert_eq!(value_of(text, "usage_usec"), Some(17));
        assert_eq!(value_of(text, "usage"), None);
    }
}

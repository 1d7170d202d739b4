//! Footprints on real series beside what the Kubernetes VPA recommender would say of the same.
//!
//! Each hour of a series stands for one life of a consumer, and its largest value for the peak of
//! that life. Before each life both are asked what it will need, knowing the lives before. Slack
//! is the part of the answer that the life did not need; a violation is a life that needed more.
//! Series are scaled to a mean of 4 GiB.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use flate2::read::GzDecoder;
use plimsoll_core_types::{Bytes, ConsumerId, Timestamp};
use plimsoll_memory::footprint::{FootprintConfig, Footprints, Shortage};

pub(crate) const MEAN: f64 = (4_u64 << 30) as f64;
pub(crate) const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;

/// Lives: when each began, in seconds, and its peak in bytes.
pub(crate) type Lives = Vec<(u64, f64)>;

/// What came of asking before each life.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Score {
    lives: u32,
    slack: f64,
    pub(crate) violations: u32,
}

impl Score {
    fn judge(&mut self, told: f64, needed: f64) {
        self.lives += 1;
        if needed > told {
            self.violations += 1;
        } else {
            self.slack += (told - needed) / told;
        }
    }

    pub(crate) fn slack(&self) -> f64 {
        self.slack / f64::from(self.lives)
    }

    pub(crate) fn violations(&self) -> f64 {
        f64::from(self.violations) / f64::from(self.lives)
    }
}

/// The recommender's defaults for memory: buckets of 5% from 10 MB, one sample for the peak of
/// each day, half-life of a day, the 90th percentile, 15% on top; a life that ran out counts as
/// the larger of 1.2 times and 100 MB more.
pub(crate) fn vpa(lives: &Lives) -> Score {
    const FIRST: f64 = 1e7;
    let bucket = |bytes: f64| ((bytes / FIRST).ln() / 1.05_f64.ln()).ceil().max(0.0) as i32;
    let mut score = Score::default();
    let mut days: BTreeMap<u64, f64> = BTreeMap::new();
    for (at, needed) in lives {
        let mut counts = *needed;
        if !days.is_empty() {
            let mut weights: BTreeMap<i32, f64> = BTreeMap::new();
            for (day, peak) in &days {
                *weights.entry(bucket(*peak)).or_default() += (*day as f64).exp2();
            }
            let all: f64 = weights.values().sum();
            let mut sum = 0.0;
            let found = weights.iter().find(|(_, weight)| {
                sum += **weight;
                sum >= 0.9 * all
            });
            let told = 1.15 * FIRST * 1.05_f64.powi(*found.expect("weights are there").0);
            score.judge(told, *needed);
            if *needed > told {
                counts = (needed * 1.2).max(needed + 1e8);
            }
        }
        let peak = days.entry(at / DAY - lives[0].0 / DAY).or_default();
        *peak = peak.max(counts);
    }
    score
}

pub(crate) fn plimsoll(lives: &Lives) -> Score {
    let consumer = ConsumerId::new("series").unwrap();
    let config = FootprintConfig { samples: 1, ..FootprintConfig::default() };
    let mut footprints = Footprints::new(config.checked().unwrap());
    let mut score = Score::default();
    for (at, needed) in lives {
        let now = Timestamp::ZERO + Duration::from_secs(at - lives[0].0);
        let told = footprints.believed(&consumer).map(|learned| learned.bytes.as_f64());
        if let Some(told) = told {
            score.judge(told, *needed);
            if *needed > told {
                footprints.ran_out(&consumer, Bytes::from_f64(told), Shortage::Killed, now);
            }
        }
        // Each life is a new one, whose peak shows within it.
        footprints.end_life(&consumer, now);
        footprints.observe(&consumer, Bytes::from_f64(MEAN), Bytes::from_f64(*needed), now);
    }
    score
}

/// What hindsight could do with one figure for all lives: the least that has no more violations
/// than `violations`.
pub(crate) fn clairvoyant_constant(lives: &Lives, violations: u32) -> Score {
    let mut peaks: Vec<f64> = lives.iter().map(|life| life.1).collect();
    peaks.sort_unstable_by(|a, b| b.total_cmp(a));
    let told = peaks[(violations as usize).min(peaks.len() - 1)];
    let mut score = Score::default();
    // The first life is not judged for the others either: nothing is known before it.
    for (_, needed) in &lives[1..] {
        score.judge(told, *needed);
    }
    score
}

/// The series' lives; none of a file that holds something else.
fn read(path: &Path) -> Option<Lives> {
    let name = path.file_name()?.to_str()?;
    let bytes = fs::read(path).ok()?;
    let mut text = String::new();
    if name.ends_with(".csv.gz") {
        GzDecoder::new(&bytes[..]).read_to_string(&mut text).ok()?;
    } else if path.extension()? == "csv" {
        text = String::from_utf8(bytes).ok()?;
    } else {
        return None;
    }
    let rows = text.lines().skip(1).filter_map(|line| {
        let (at, value) = line.split_once(',')?;
        Some((seconds(at)?, value.parse::<f64>().ok()?))
    });
    let rows: Vec<(u64, f64)> = rows.collect();
    let least = rows.iter().map(|row| row.1).fold(0.0, f64::min);
    let mean = rows.iter().map(|row| row.1 - least).sum::<f64>() / rows.len() as f64;
    let mut lives: BTreeMap<u64, f64> = BTreeMap::new();
    for (at, value) in rows {
        let scaled = ((value - least) / mean * MEAN).max(1.0);
        let peak = lives.entry(at / HOUR * HOUR).or_default();
        *peak = peak.max(scaled);
    }
    Some(lives.into_iter().collect())
}

/// `2014-04-10 00:04:00`, or seconds, as seconds since some day.
fn seconds(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse::<f64>() {
        return Some(seconds as u64);
    }
    let mut numbers = text.split(['-', ' ', ':']).map(|part| part.parse::<u64>().ok());
    let mut next = || numbers.next().flatten();
    let (year, month, day) = (next()?, next()?, next()?);
    let (hour, minute) = (next()?, next()?);
    // Days by the civil calendar, from March on so that leap days close the year.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = 365 * year + year / 4 - year / 100 + year / 400 + (153 * month + 2) / 5 + day;
    Some(days * DAY + hour * HOUR + minute * 60)
}

/// Mean slack, and mean share of violations, over all series.
pub(crate) type Means = (f64, f64);

/// What was compared.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Comparison {
    pub(crate) own: Means,
    pub(crate) vpa: Means,
    /// One figure for all lives of a series, chosen in hindsight at the recommender's violations.
    pub(crate) constant: Means,
    pub(crate) series: usize,
}

/// Compares over all series of `folder` that have more than a day of lives.
pub(crate) fn compare(folder: &Path) -> Comparison {
    let mut files: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let all: Vec<Lives> = files.iter().filter_map(|path| read(path)).collect();
    let long: Vec<_> = all.iter().filter(|lives| lives.len() > 24).collect();
    let vpa: Vec<_> = long.iter().map(|lives| vpa(lives)).collect();
    let own: Vec<_> = long.iter().map(|lives| plimsoll(lives)).collect();
    let constant = long.iter().zip(&vpa).map(|(l, vpa)| clairvoyant_constant(l, vpa.violations));
    let constant: Vec<_> = constant.collect();
    Comparison {
        own: means(&own),
        vpa: means(&vpa),
        constant: means(&constant),
        series: long.len(),
    }
}

fn means(scores: &[Score]) -> Means {
    let mean = |of: fn(&Score) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    (mean(Score::slack), mean(Score::violations))
}

//! A service's memory over ten days, as a control loop would see it: learn each sample, say what to
//! provide ten minutes ahead, keep the record of what that was worth, survive a restart.
//!
//! `cargo run -p plimsoll-predict --example provision`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::error::Error;
use std::time::Duration;

use plimsoll_core_types::Timestamp;
use plimsoll_predict::{Forecaster, ForecasterConfig, SavedForecaster, Sizer, SizingConfig};

/// Five minutes.
const STEP: Duration = Duration::from_mins(5);
const DAY: u64 = 288;

/// Gigabytes in use: a working day, a backup at night, noise, an outage recorded as zeros on the
/// sixth day, and one level more from the eighth day on.
fn used(step: u64) -> Option<f64> {
    let (day, of_day) = (step / DAY, step % DAY);
    if day == 6 && (100..106).contains(&of_day) {
        return Some(0.0);
    }
    // The probe is restarted once a day.
    if of_day == 200 {
        return None;
    }
    let hours = of_day as f64 / 12.0;
    let work = 6.0 * (-((hours - 14.0) / 4.0).powi(2)).exp();
    let backup = if (24..30).contains(&of_day) { 3.0 } else { 0.0 };
    let noise = (step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as f64 / f64::from(1 << 24);
    let level = if day >= 8 { 3.0 } else { 0.0 };
    Some(4.0 + level + work + backup + noise)
}

fn moment(step: u64) -> Timestamp {
    Timestamp::from_nanos((step + 1) * STEP.as_nanos() as u64)
}

fn main() -> Result<(), Box<dyn Error>> {
    let series = ForecasterConfig::new(STEP);
    let config = SizingConfig { lead: 2 * STEP, ..SizingConfig::new(series) };
    let mut sizer = Sizer::new(config)?;
    for step in 0..10 * DAY {
        sizer.observe(moment(step), used(step));
        if step % DAY == DAY - 1 {
            let day = step / DAY + 1;
            match sizer.size() {
                Ok(sizing) => println!(
                    "day {day:2}: provide {:5.2} GB ({:.2} of it headroom); so far {:4.1}% less \
                     waste than the highest use so far, {:.3}% of demand lost",
                    sizing.amount,
                    sizing.headroom,
                    100.0 * sizing.gain.waste_saved,
                    100.0 * sizing.gain.lost,
                ),
                Err(declined) => println!("day {day:2}: no advice: {declined}"),
            }
        }
        if let Some(ago) = sizer.forecaster().drifted().filter(|ago| *ago == STEP) {
            println!("        the series has changed (seen {} min ago)", ago.as_secs() / 60);
        }
    }
    say(sizer.forecaster());

    let saved = serde_json::to_string(&SavedForecaster(sizer.forecaster().clone()))?;
    let SavedForecaster(back) = serde_json::from_str(&saved)?;
    assert_eq!(back.forecast(12), sizer.forecaster().forecast(12));
    println!(
        "\n{} bytes of state survive a restart as {} of JSON",
        back.state_bytes(),
        saved.len()
    );
    Ok(())
}

fn say(forecaster: &Forecaster) {
    let health = forecaster.health();
    println!("\nhealth: {health:?}; season: {:?} steps", forecaster.season());
    println!("ahead   median     95% interval   error to last value   to a season ago   coverage");
    for skill in forecaster.skill() {
        let Some(said) = forecaster.forecast(skill.ahead) else { continue };
        println!(
            "{:5} {:8.2} {:8.2} – {:5.2} {:15.2} {:18.2} {:13.1}%",
            skill.ahead,
            said.median(),
            said.at(0.025),
            said.at(0.975),
            skill.to_naive,
            skill.to_seasonal,
            100.0 * skill.coverage95,
        );
    }
}

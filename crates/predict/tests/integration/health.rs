//! What a forecaster says of itself, of gaps, outages, shifts and bursts.

use plimsoll_core_types::ForecastHealth;
use plimsoll_predict::{Forecaster, ForecasterConfig, STATE_VERSION, SavedForecaster};

use plimsoll_predict::{Cost, Declined, Intake};

use crate::{MINUTE, minute, noise, taught, walk, wave};

#[test]
fn a_walk_falls_back_and_says_so() {
    let forecaster = taught(walk(3_000, 1));
    let ForecastHealth::FellBack { relative_error } = forecaster.health() else {
        panic!("{:?}", forecaster.health());
    };
    assert!((0.97..1.2).contains(&relative_error), "{relative_error}");
    let cost = Cost { under: 9.0, over: 1.0, lead: MINUTE };
    assert!(matches!(forecaster.recommend(&cost), Err(Declined::NoSkill { .. })));
}

#[test]
fn a_wave_has_skill_at_every_horizon_and_keeps_its_coverage() {
    let forecaster = taught(wave(4_000, 60, 100.0, 2));
    assert!(matches!(forecaster.health(), ForecastHealth::Skilled { .. }));
    assert!(forecaster.season().is_some_and(|season| season.abs_diff(60) <= 1));
    let skills: Vec<_> = forecaster.skill().collect();
    assert_eq!(skills.len(), 5);
    for skill in skills {
        assert!(skill.to_seasonal < 1.0, "{skill:?}");
        assert!(skill.to_constant < 0.5 && !skill.fell_back, "{skill:?}");
        assert!((0.90..=1.0).contains(&skill.coverage95), "{skill:?}");
        // Even noise of ±5: the median errs by 2.5 at best, of which pinball is half; the ends'
        // part is smaller.
        assert!((0.3..1.5).contains(&skill.pinball), "{skill:?}");
    }
}

#[test]
fn a_level_shift_is_said_and_followed() {
    let mut values = noise(1_500, 100.0, 20.0, 3);
    values.extend(noise(400, 200.0, 20.0, 4));
    let mut forecaster = Forecaster::new(ForecasterConfig::new(MINUTE)).unwrap();
    let (mut alarm, mut followed) = (None, None);
    for (step, value) in values.iter().enumerate() {
        forecaster.observe(minute(step), Some(*value));
        let drifting = matches!(forecaster.health(), ForecastHealth::Drifting { .. });
        assert!(!drifting || step >= 1_500, "an alarm at {step}, before anything changed");
        if drifting {
            alarm.get_or_insert(step - 1_500);
        }
        let said = forecaster.point(1).unwrap();
        if step >= 1_500 && (said - 200.0).abs() < 15.0 {
            followed.get_or_insert(step - 1_500);
        }
    }
    assert!(followed.is_some_and(|late| late <= 8), "{followed:?}");
    assert!(alarm.is_some_and(|late| late <= 80), "{alarm:?}");
    assert!(forecaster.drifted().is_some());
    assert!((forecaster.point(30).unwrap() - 200.0).abs() < 15.0);
}

#[test]
fn an_outage_recorded_as_zeros_is_left_out() {
    let mut values = wave(2_000, 60, 100.0, 5);
    let without = taught(values.clone()).point(1).unwrap();
    values[1_990..].fill(0.0);
    let mut forecaster = Forecaster::new(ForecasterConfig::new(MINUTE)).unwrap();
    let intakes: Vec<_> = values
        .iter()
        .enumerate()
        .map(|(step, value)| forecaster.observe(minute(step), Some(*value)))
        .collect();
    assert!(intakes[1_990..].iter().all(|intake| *intake == Intake::SuspectedOutage));
    let with = forecaster.point(1).unwrap();
    assert!((with - without).abs() < 15.0, "{with} after the outage, {without} without it");
}

#[test]
fn gaps_are_missing_and_the_phase_goes_on() {
    let values = wave(2_060, 60, 100.0, 6);
    let mut forecaster = taught(values[..2_000].iter().copied());
    // Half a cycle passes unseen.
    forecaster.observe(minute(2_030), Some(values[2_030]));
    for (ahead, truth) in values[2_031..2_050].iter().enumerate() {
        let said = forecaster.point(ahead + 1).unwrap();
        assert!((said - truth).abs() < 20.0, "{ahead}: {said} {truth}");
    }
}

#[test]
fn what_adapts_is_visible() {
    let forecaster = taught(walk(2_000, 7));
    for (ahead, weights) in forecaster.weights() {
        let sum: f32 = weights.iter().map(|(_, weight)| weight).sum();
        assert!((sum - 1.0).abs() < 1e-3, "{ahead}: {weights:?}");
    }
    let (_, near) = forecaster.weights().next().unwrap();
    let of = |name: &str| near.iter().find(|(known, _)| *known == name).unwrap().1;
    assert!(of("last") > of("long"), "a walk is where it was: {near:?}");
}

#[test]
fn state_goes_on_after_a_restart_as_if_there_had_been_none() {
    let values = wave(1_200, 48, 50.0, 8);
    let mut through = taught(values[..800].iter().copied());
    let text = serde_json::to_string(&SavedForecaster(through.clone())).unwrap();
    let SavedForecaster(mut back) = serde_json::from_str(&text).unwrap();
    for (step, value) in values.iter().enumerate().skip(800) {
        assert_eq!(back.observe(minute(step), Some(*value)), Intake::Learnt);
        through.observe(minute(step), Some(*value));
        assert_eq!(back.forecast(7), through.forecast(7));
    }
    let version = format!("\"version\":{STATE_VERSION}");
    let other = text.replacen(&version, "\"version\":1", 1);
    let refused = serde_json::from_str::<SavedForecaster>(&other).unwrap_err();
    assert!(refused.to_string().contains("version 1"), "{refused}");
}

//! Series files with mistakes in them, clocks that run wild, values that are none, damaged state.

use std::collections::BTreeMap;
use std::time::Duration;

use plimsoll_core_types::Timestamp;
use plimsoll_predict::evaluate::{Series, read_csv};
use plimsoll_predict::{Cost, Forecaster, ForecasterConfig, SavedForecaster, SeasonSpec};
use plimsoll_testkit::{Garble, scale, seed};
use serde_json::{Value, json};

const SERIES: [&str; 3] = [
    "timestamp,value\n2014-07-01 00:00:00,10844\n2014-07-01 00:30:00,8127\n2014-07-01 01:00:00,\n2014-07-01 01:30:00,4656\n",
    "t_s,rate_rps\n0,1.5\n600,2.25\n1200,NaN\n1800,0\n",
    "\"time\",\"cpu\",\"memory\"\n2024-02-29T12:00:00Z,0.5,7\n2024-02-29T12:05:00+02:00,0.75,8\n",
];

#[test]
fn series_are_understood_or_refused() {
    let mut garble = Garble::new(seed("predict.series", 41));
    let mut understood = 0;
    let rounds = scale(30_000);
    for round in 0..rounds {
        let text = garble.text(SERIES[round % SERIES.len()]);
        let samples = match read_csv(&text, None) {
            Ok(samples) => samples,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        if let Ok(series) = Series::from_samples(&samples) {
            understood += 1;
            assert!(!series.interval().is_zero(), "{text:?}");
            assert!(series.values().iter().flatten().all(|value| value.is_finite()), "{text:?}");
        }
    }
    assert!(understood > rounds / 50 && understood < rounds, "{understood} of {rounds}");
}

/// A moment and a value as no sane clock and sensor give them; one in so many moments is not a step
/// after the one before.
fn wild(garble: &mut Garble, at: &mut u64, interval: u64, seldom: u64) -> (Timestamp, Option<f64>) {
    const VALUES: [f64; 14] = [
        0.0,
        -0.0,
        1.0,
        1e300,
        -1e300,
        1e30,
        -1e30,
        1e-300,
        f64::MIN_POSITIVE,
        f64::MAX,
        f64::NAN,
        f64::INFINITY,
        f64::NEG_INFINITY,
        1e12,
    ];
    // One draw makes most inputs: a billion of them are to cost less than what they are fed to.
    let draw = garble.below(u64::MAX);
    *at = match draw % seldom {
        0 => at.saturating_sub(garble.below(20) * interval),
        1 => *at,
        2 => at.saturating_add(garble.below(5_000) * interval),
        3 => garble.below(u64::MAX),
        4 => at.saturating_add(garble.below(interval)),
        _ => at.saturating_add(interval),
    };
    let value = match draw >> 61 {
        0 => None,
        1 => Some(VALUES[(draw >> 32) as usize % VALUES.len()]),
        2 => Some(f64::from_bits(garble.below(u64::MAX))),
        _ => Some(((draw >> 32) % 1_000) as f64),
    };
    (Timestamp::from_nanos(*at), value)
}

/// What every answer must be.
fn sound(forecaster: &Forecaster, steps: usize, floor: Option<f64>) {
    let Some(said) = forecaster.forecast(steps) else { return };
    assert!(said.values().iter().all(|value| value.is_finite()), "{said:?}");
    assert!(said.values().windows(2).all(|pair| pair[0] <= pair[1]), "{said:?}");
    assert!(floor.is_none_or(|floor| said.values()[0] >= floor), "{said:?}");
    let beyond = forecaster.quantile(steps, 0.9999).unwrap_or_default();
    assert!(beyond.is_finite() && beyond >= said.values()[10], "{beyond} {said:?}");
}

/// A million inputs by default. A billion, on one core: `PLIMSOLL_SCALE=1000 cargo test --release -p
/// plimsoll-predict --test fuzz whatever_comes_in`.
#[test]
fn whatever_comes_in_what_comes_out_is_sound() {
    const LIFE: usize = 5_000;
    let mut garble = Garble::new(seed("predict.forecaster", 8));
    let inputs = scale(1_000_000);
    for life in 0..inputs.div_ceil(LIFE) {
        let interval = [1, 250_000_000, 60_000_000_000, 300_000_000_000][life % 4];
        let mut config = ForecasterConfig::new(Duration::from_nanos(interval));
        config.season = [SeasonSpec::Auto, SeasonSpec::Steps(7), SeasonSpec::None][life % 3];
        config.max_season = [288, 12, 48][life / 2 % 3];
        config.floor = [Some(0.0), None, Some(5.0)][life / 3 % 3];
        let mut forecaster = Forecaster::new(config).unwrap();
        let mut at = garble.below(1 << 60);
        // A jump takes as long as thousands of samples: after the first million they are rare in
        // most lives.
        let seldom = if life * LIFE < 1_000_000 || life / 4 % 4 == 0 { 40 } else { 2_000 };
        // Some lives are sane but for the values, and some are one value for ever.
        let constant = (life % 10 == 9).then(|| [0.0, 7.0, 1e300, 1e-300][life / 10 % 4]);
        for input in 0..LIFE {
            let (moment, value) = match constant {
                Some(value) => {
                    at += interval;
                    (Timestamp::from_nanos(at), Some(value))
                }
                None => wild(&mut garble, &mut at, interval, seldom),
            };
            forecaster.observe(moment, value);
            if input % 8 == 0 {
                sound(&forecaster, 1 + garble.below(4) as usize, config.floor);
                sound(&forecaster, garble.below(1 << 40) as usize, config.floor);
            }
        }
        let cost = Cost { under: 999.0, over: 1.0, lead: Duration::MAX };
        if let Ok(advice) = forecaster.recommend(&cost) {
            let parts = [advice.amount, advice.headroom, advice.expected_waste];
            assert!(parts.iter().all(|part| part.is_finite()), "{advice:?}");
        }
        let text = serde_json::to_string(&SavedForecaster(forecaster.clone())).unwrap();
        let SavedForecaster(back) = serde_json::from_str(&text).unwrap();
        assert_eq!(back.forecast(3), forecaster.forecast(3));
    }
}

#[test]
fn damaged_state_is_refused_or_sound() {
    let mut forecaster = Forecaster::new(ForecasterConfig::new(Duration::from_mins(1))).unwrap();
    for step in 1..600_u64 {
        let at = Timestamp::from_nanos(step * 60_000_000_000);
        forecaster.observe(at, Some((step % 24) as f64));
    }
    let right = serde_json::to_string(&SavedForecaster(forecaster)).unwrap();
    let mut garble = Garble::new(seed("predict.state", 3));
    let mut refused = 0;
    let rounds = scale(300);
    for _ in 0..rounds {
        let Ok(SavedForecaster(mut back)) = serde_json::from_str(&garble.text(&right)) else {
            refused += 1;
            continue;
        };
        for step in 600..700_u64 {
            let at = Timestamp::from_nanos(step * 60_000_000_000);
            back.observe(at, Some((step % 24) as f64));
            if let Some(said) = back.forecast(5) {
                assert!(said.values().iter().all(|value| value.is_finite()), "{said:?}");
            }
        }
    }
    assert!(refused > 0, "{refused} of {rounds}");
}

/// A number in state as JSON, by where it is.
fn numbers(value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Number(_) => found.push(path.to_owned()),
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                numbers(value, &format!("{path}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                numbers(value, &format!("{path}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// The innermost name of a place in JSON.
fn field(path: &str) -> &str {
    path.rsplit('/').find(|part| part.parse::<usize>().is_err()).unwrap_or_default()
}

fn daily() -> Forecaster {
    let mut forecaster = Forecaster::new(ForecasterConfig::new(Duration::from_mins(30))).unwrap();
    for step in 1..900_u64 {
        let value = 50.0 + (step % 48) as f64 + (step * 7919 % 13) as f64;
        forecaster.observe(Timestamp::from_nanos(step * 1_800_000_000_000), Some(value));
    }
    forecaster
}

/// Each number of the state in turn becomes what it can't be. What is refused is refused by name;
/// what is not goes on and says nothing that is no number.
#[test]
fn each_field_of_state_is_checked() {
    let right = serde_json::to_value(SavedForecaster(daily())).unwrap();
    let mut places = Vec::new();
    numbers(&right, "", &mut places);
    // Of long arrays a few entries are enough by default.
    let mut seen = BTreeMap::new();
    places.retain(|path| {
        let kind: String = path.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let count = seen.entry(kind).or_insert(0_usize);
        *count += 1;
        *count <= scale(6)
    });
    let mut refused: BTreeMap<String, [u32; 2]> = BTreeMap::new();
    let wild: [Value; 6] =
        [json!(-1), json!(1e37), json!(-1e37), json!(u64::MAX), json!(70_000), json!(0.3)];
    for path in &places {
        let name = field(path);
        for wrong in &wild {
            let mut state = right.clone();
            *state.pointer_mut(path).unwrap() = wrong.clone();
            let counts = refused.entry(name.to_owned()).or_default();
            counts[1] += 1;
            match serde_json::from_value::<SavedForecaster>(state) {
                Ok(SavedForecaster(back)) => goes_on(back, path, wrong),
                Err(error) => {
                    counts[0] += 1;
                    let text = error.to_string();
                    // What is not of the field's type is refused by serde, which names the types.
                    let by_type = text.contains("invalid") || text.contains("version");
                    assert!(by_type || text.contains(" is out of range"), "{path}: {text}");
                }
            }
        }
    }
    for (name, [refused, tried]) in &refused {
        assert!(*refused > 0, "{name} may be anything: {tried} tried");
    }
    assert!(refused.len() > 40, "{refused:?}");
}

fn goes_on(mut forecaster: Forecaster, path: &str, wrong: &Value) {
    let floor = forecaster.config().floor;
    for step in 900..1_000_u64 {
        let value = 50.0 + (step % 48) as f64;
        forecaster.observe(Timestamp::from_nanos(step * 1_800_000_000_000), Some(value));
        sound(&forecaster, 1 + step as usize % 60, floor);
    }
    assert!(forecaster.skill().all(|skill| skill.to_naive.is_finite()), "{path}: {wrong}");
}

#[test]
fn a_damaged_field_is_named() {
    let right = serde_json::to_value(SavedForecaster(daily())).unwrap();
    let cases = [
        ("/state/config/max_season", json!(1), "config"),
        ("/state/step", json!(7), "step"),
        ("/state/origin", json!(1e31), "origin"),
        ("/state/grid/interval", json!(1), "grid.interval"),
        ("/state/outage/run", json!(1000), "outage.run"),
        ("/state/experts/levels/holt", json!(1e36), "levels.holt"),
        ("/state/experts/seasonal/profile/3", json!(1e36), "seasonal.profile"),
        ("/state/experts/seasonal/season/phase", json!(1), "seasonal.season"),
        ("/state/finder/square", json!(-1.0), "finder.square"),
        ("/state/spread/seen/0", json!(200), "spread.seen"),
        ("/state/drift/above", json!(-1.0), "drift.above"),
        ("/state/nodes/2/reach/ahead", json!(13), "nodes.reach"),
        ("/state/nodes/0/mix/weights/0", json!(2.0), "mix.weights"),
        ("/state/nodes/1/stack/inverse/square/0/1", json!(0.5), "stack.inverse.square"),
        ("/state/nodes/1/tails/distance/0", json!(-1.0), "tails.distance"),
        ("/state/nodes/4/losses/missed", json!(1.5), "losses.missed"),
        ("/state/nodes/4/slots/0/point", json!(-1e36), "slots.point"),
        ("/state/nodes/4/oldest", json!(99), "nodes.oldest"),
    ];
    for (path, wrong, name) in cases {
        let mut state = right.clone();
        *state.pointer_mut(path).unwrap() = wrong;
        let error = serde_json::from_value::<SavedForecaster>(state.clone()).unwrap_err();
        assert!(error.to_string().contains(name), "{path}: {error}");
        // Without its version around it, too.
        let bare = serde_json::from_value::<Forecaster>(state["state"].take());
        assert!(bare.unwrap_err().to_string().contains(name), "{path}");
    }
}

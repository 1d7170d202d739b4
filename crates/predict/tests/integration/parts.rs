//! Pools split by share, and parts that begin from their whole.

use plimsoll_core_types::ConsumerId;
use plimsoll_predict::{ForecasterConfig, PoolForecaster};

use crate::{MINUTE, minute, noise, taught, wave};

fn ids(count: usize) -> Vec<ConsumerId> {
    (0..count).map(|k| ConsumerId::new(&format!("member-{k}")).unwrap()).collect()
}

#[test]
fn members_add_up_and_keep_their_coverage() {
    let ids = ids(4);
    let series: Vec<Vec<f64>> = (0..4)
        .map(|k| {
            let size = 20.0 * (k + 1) as f64;
            let noise = noise(2_500, 0.0, size, k + 10);
            wave(2_500, 60, size, k).iter().zip(noise).map(|(v, n)| (v + n).max(0.0)).collect()
        })
        .collect();
    let mut pool = PoolForecaster::new(ForecasterConfig::new(MINUTE), 4).unwrap();
    let (mut held, mut all) = (0_u32, 0_u32);
    for step in 0..2_500 {
        if step > 500 {
            for (id, values) in ids.iter().zip(&series) {
                let said = pool.forecast(id, 1).unwrap();
                let truth = values[step];
                held += u32::from(said.values()[1] <= truth && truth <= said.values()[9]);
                all += 1;
            }
        }
        pool.observe(minute(step), ids.iter().zip(&series).map(|(id, values)| (id, values[step])));
    }
    let coverage = f64::from(held) / f64::from(all);
    assert!((0.90..=0.995).contains(&coverage), "{coverage}");
    for ahead in [1, 7, 60] {
        let sum: f64 = ids.iter().map(|id| pool.forecast(id, ahead).unwrap().median()).sum();
        let total = pool.total().point(ahead).unwrap();
        assert!((sum / total - 1.0).abs() < 1e-9, "{sum} {total}");
    }
    assert!((pool.share(&ids[3]).unwrap() - 0.4).abs() < 0.05);
}

#[test]
fn a_member_is_forecast_before_it_used_anything_and_bounds_hold() {
    let ids = ids(4);
    let mut pool = PoolForecaster::new(ForecasterConfig::new(MINUTE), 3).unwrap();
    for step in 0..200 {
        pool.observe(minute(step), [(&ids[0], 60.0), (&ids[1], 20.0)]);
    }
    assert!(pool.join(&ids[2], Some(0.2)));
    assert!((pool.share(&ids[2]).unwrap() - 0.2).abs() < 1e-9);
    assert!((pool.forecast(&ids[2], 1).unwrap().median() - 16.0).abs() < 0.5);
    assert!(!pool.join(&ids[3], None), "there is room for three");
    pool.observe(minute(200), [(&ids[3], f64::NAN), (&ids[0], 60.0), (&ids[1], 20.0)]);
    assert_eq!(pool.len(), 3);
    for step in 201..500 {
        pool.observe(minute(step), [(&ids[0], 60.0), (&ids[1], 20.0), (&ids[2], 40.0)]);
    }
    assert!((pool.share(&ids[2]).unwrap() - 1.0 / 3.0).abs() < 0.02);
    assert!(pool.leave(&ids[0]) && pool.forecast(&ids[0], 1).is_none());
}

#[test]
fn a_part_begins_where_its_whole_is() {
    let values = wave(3_000, 60, 400.0, 21);
    let whole = taught(values[..2_000].iter().copied());
    let mut part = whole.part(0.25).unwrap();
    assert_eq!(part.season(), whole.season());
    assert_eq!(part.seen(), 0);
    for ahead in [1, 13, 60] {
        let (of_part, of_whole) = (part.forecast(ahead).unwrap(), whole.forecast(ahead).unwrap());
        let ratio = of_part.median() / of_whole.median();
        assert!((ratio - 0.25).abs() < 0.01, "{ahead}: {ratio}");
        let width = |said: &plimsoll_core_types::Quantiles| said.at(0.975) - said.at(0.025);
        let wider = width(&of_part) / width(&of_whole) / 0.25;
        assert!((1.7..2.3).contains(&wider), "{ahead}: {wider}");
    }
    // Beside one that begins with nothing, over the first two cycles.
    let mut fresh = taught([]);
    let (mut of_part, mut of_fresh) = (0.0, 0.0);
    for (step, value) in values.iter().enumerate().take(2_120).skip(2_000) {
        let truth = value * 0.25;
        of_part += (part.point(10).unwrap() - values[step + 9] * 0.25).abs();
        of_fresh += (fresh.point(10).unwrap_or(0.0) - values[step + 9] * 0.25).abs();
        part.observe(minute(step), Some(truth));
        fresh.observe(minute(step), Some(truth));
    }
    assert!(of_part < 0.3 * of_fresh, "{of_part} {of_fresh}");
    assert!(whole.part(0.0).is_err() && whole.part(f64::NAN).is_err() && whole.part(2.0).is_err());
}

//! Series files with mistakes in them.

use plimsoll_predict::evaluate::{Series, read_csv};
use plimsoll_testkit::{Garble, scale, seed};

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

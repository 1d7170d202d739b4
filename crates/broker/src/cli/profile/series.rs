//! What can be said of a series, and of two beside each other.

/// What somebody can wait for, as the kernel tells it.
pub(super) const PRESSURES: [&str; 3] = ["cpu", "memory", "io"];

/// Share of the last ten seconds in which somebody waited; none where the host does not tell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Pressure(pub(super) Option<f64>);

/// How long somebody has waited for each of [`PRESSURES`].
pub(super) fn pressure() -> Vec<Pressure> {
    let read = |what: &&str| {
        let text = std::fs::read_to_string(format!("/proc/pressure/{what}")).ok();
        Pressure(text.and_then(|text| ten_seconds(&text)))
    };
    PRESSURES.iter().map(read).collect()
}

/// `some avg10=1.25 avg60=…` tells percent.
fn ten_seconds(text: &str) -> Option<f64> {
    let line = text.lines().find(|line| line.starts_with("some"))?;
    let word = line.split_whitespace().find_map(|word| word.strip_prefix("avg10="))?;
    word.parse::<f64>().ok().map(|percent| percent / 100.0)
}

/// Standard deviation ÷ mean; none where the mean is zero.
pub(super) fn variation(values: &[f64]) -> Option<f64> {
    let count = values.len().max(1) as f64;
    let mean = values.iter().sum::<f64>() / count;
    if mean <= 0.0 {
        return None;
    }
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / count;
    Some(variance.sqrt() / mean)
}

/// Pearson's coefficient; none for series that do not move, or are too short to say.
pub(super) fn correlation(a: &[f64], b: &[f64]) -> Option<f64> {
    const LEAST: usize = 8;
    let count = a.len().min(b.len());
    if count < LEAST {
        return None;
    }
    let (a, b) = (&a[..count], &b[..count]);
    let mean = |values: &[f64]| values.iter().sum::<f64>() / count as f64;
    let (of_a, of_b) = (mean(a), mean(b));
    let (mut together, mut alone_a, mut alone_b) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        together += (x - of_a) * (y - of_b);
        alone_a += (x - of_a).powi(2);
        alone_b += (y - of_b).powi(2);
    }
    let scale = (alone_a * alone_b).sqrt();
    (scale > 0.0).then(|| together / scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernels_lines_are_read() {
        let text = "some avg10=12.50 avg60=3.00 avg300=1.00 total=5\nfull avg10=0.00 avg60=0 avg300=0 total=0\n";
        assert_eq!(ten_seconds(text), Some(0.125));
        assert_eq!(ten_seconds("nonsense"), None);
    }

    #[test]
    fn series_that_move_together_are_told_from_those_that_do_not() {
        let rising: Vec<f64> = (0..20).map(f64::from).collect();
        let twice: Vec<f64> = rising.iter().map(|value| value * 2.0 + 1.0).collect();
        let falling: Vec<f64> = rising.iter().map(|value| -value).collect();
        assert!(correlation(&rising, &twice).unwrap() > 0.999);
        assert!(correlation(&rising, &falling).unwrap() < -0.999);
        assert_eq!(correlation(&rising, &[1.0; 20]), None);
        assert_eq!(variation(&[2.0, 2.0, 2.0]), Some(0.0));
        assert_eq!(variation(&[0.0, 0.0]), None);
    }
}

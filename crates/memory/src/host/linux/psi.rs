//! Pressure stall information, as the kernel's `Documentation/accounting/psi.rst` describes it.

use plimsoll_core_types::Ratio;

/// The share of the last ten seconds in which somebody waited for memory: `avg10` of the line
/// `some`, which is written in percent.
pub(super) fn some_avg10(text: &[u8]) -> Option<Ratio> {
    let text = std::str::from_utf8(text).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("some "))?;
    let percent = line.split_ascii_whitespace().find_map(|field| field.strip_prefix("avg10="))?;
    let share = percent.parse::<f64>().ok()? / 100.0;
    Ratio::new(share).ok().map(Ratio::min_one)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_the_line_some() {
        let check = |text: &str, expected: Option<f64>| {
            assert_eq!(some_avg10(text.as_bytes()).map(Ratio::get), expected, "{text:?}");
        };
        check("some avg10=12.50 avg60=1.00 avg300=0.00 total=5\nfull avg10=3.00\n", Some(0.125));
        check("full avg10=3.00 avg60=0 avg300=0 total=0\n", None);
        check("some avg10=-1 avg60=0\n", None);
        check("some avg10=NaN\n", None);
        check("some avg10=1e9\n", Some(1.0));
        check("some avg60=1.0\n", None);
    }

    proptest! {
        #[test]
        fn any_text_is_answered(text: Vec<u8>) {
            let _ = some_avg10(&text);
        }
    }
}

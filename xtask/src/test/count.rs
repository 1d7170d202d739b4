//! How many tests ran, read from what they printed.

use std::collections::BTreeSet;

/// Tests by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) passed: usize,
    pub(super) failed: usize,
    pub(super) skipped: usize,
    /// The tests that said that they skip, and why.
    pub(super) skips: BTreeSet<String>,
}

impl Counts {
    /// The tests in the log of a test run.
    ///
    /// A test that lacks what it needs returns early after a line `skipped: NAME: WHY`; libtest
    /// has it as passed, this has not.
    pub(super) fn of(log: &str) -> Self {
        let mut counts = Self::default();
        for line in log.lines() {
            if let Some(said) = line.strip_prefix("skipped: ") {
                counts.skips.insert(said.to_owned());
            } else if let Some(result) = line.strip_prefix("test result: ") {
                counts.passed += number_before(result, " passed");
                counts.failed += number_before(result, " failed");
                counts.skipped += number_before(result, " ignored");
            }
        }
        counts.passed = counts.passed.saturating_sub(counts.skips.len());
        counts.skipped += counts.skips.len();
        counts
    }

    pub(super) fn add(&mut self, other: &Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }

    /// For the phase's line; empty where no test ran.
    pub(super) fn brief(&self) -> String {
        if self.passed + self.failed + self.skipped == 0 {
            return String::new();
        }
        format!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

/// The number right before `word`; zero where there is none.
fn number_before(text: &str, word: &str) -> usize {
    let Some((before, _)) = text.split_once(word) else { return 0 };
    let digits = before.rsplit(|c: char| !c.is_ascii_digit()).next();
    digits.and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_over_binaries_and_takes_out_what_skipped() {
        let log = "\
running 3 tests
skipped: replay: no trace a.csv
skipped: replay: no trace a.csv
test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out
test result: FAILED. 4 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out
";
        let counts = Counts::of(log);
        assert_eq!((counts.passed, counts.failed, counts.skipped), (6, 2, 2));
        assert_eq!(counts.brief(), "6 passed, 2 failed, 2 skipped");
        assert_eq!(Counts::of("nothing").brief(), "");
    }
}

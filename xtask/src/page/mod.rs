//! The report as a page: one file that needs no server, no script and no network.

mod bars;
mod view;

use std::path::Path;

use anyhow::{Context as _, Result};
use minijinja::{AutoEscape, Environment, context};

use crate::bench::baseline::Change;
use crate::report::Report;

const TEMPLATE: &str = include_str!("page.html");

/// Writes `index.html` into `folder`: the benches, the last test run's figures where there are any,
/// and what changed since a baseline by more than `allowed` percent.
pub(crate) fn write(folder: &Path, bench: &Report, changes: &[Change], allowed: f64) -> Result<()> {
    // A test run of another day has its own revision, and the page says which.
    let tests = Report::read(&folder.join("test.json")).ok();
    let html = render(bench, tests.as_ref(), changes, allowed)?;
    let path = folder.join("index.html");
    std::fs::write(&path, html).with_context(|| format!("writing {}", path.display()))
}

fn render(
    bench: &Report,
    tests: Option<&Report>,
    changes: &[Change],
    allowed: f64,
) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.add_template("page", TEMPLATE).context("the page's template")?;
    let page = environment.get_template("page").context("the page's template")?;
    let simulated = tests.map(|tests| view::rooms(tests, |name| !name.starts_with("test.")));
    let model = context! {
        revision => bench.revision,
        host => bench.host,
        tally => view::tally(bench),
        rooms => view::rooms(bench, |_| true),
        tests => simulated,
        tests_revision => tests.map(|tests| tests.revision.clone()),
        changes => view::changes(changes, allowed),
        compared => changes.len(),
    };
    page.render(model).context("writing the page")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::report::{Better, Row};

    #[test]
    fn a_page_holds_every_row_and_escapes_what_it_is_told() {
        let mut fast = Row::count("pool.get", 12, "ns", Better::Lower);
        fast.goal = Some(10.0);
        fast.peers.insert("floor".to_owned(), 5.0);
        fast.peers.insert("<b>rival</b>".to_owned(), 200.0);
        let many = (0..12).map(|n| {
            let mut row = Row::count("cache.hit_ratio", n, "%", Better::Higher);
            row.labels.insert("capacity".to_owned(), format!("{n}%"));
            row
        });
        let rows = many.chain([fast]).collect();
        let report = Report { revision: "abc".to_owned(), host: BTreeMap::new(), rows };
        let change = Change { id: "pool.get".to_owned(), before: 1.0, now: 1.5, worse_by: 50.0 };
        let html = render(&report, None, &[change], 10.0).unwrap();
        assert!(html.contains("pool.get") && html.contains("missed"), "{html}");
        assert!(html.contains("&lt;b&gt;rival") && !html.contains("<b>rival"), "{html}");
        assert_eq!(html.matches("<svg").count(), 1, "twelve alike rows are a table");
        assert!(html.contains("worse"), "{html}");
    }
}

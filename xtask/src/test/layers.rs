//! The arrows between crates that the architecture allows.

use std::collections::BTreeMap;

use crate::cargo::Metadata;

/// Packages that hold one domain each and know nothing of one another.
const ROOMS: [&str; 6] = ["cache", "cpu", "load", "memory", "pool", "predict"];

/// Packages that everybody but the runner may stand on, and that stand on nothing themselves.
const FOUNDATIONS: [&str; 2] = ["brief", "core-types"];

/// The forbidden arrows there are, each as a line; empty where there is none.
pub(super) fn check(metadata: &Metadata) -> Vec<String> {
    let mut arrows = BTreeMap::new();
    for package in &metadata.packages {
        let Some(from) = room(&package.name) else { continue };
        for dependency in &package.dependencies {
            let Some(to) = room(&dependency.name) else { continue };
            let test_only = dependency.kind.as_deref() == Some("dev");
            // An arrow that is there for production counts, whatever tests add to it.
            let known = arrows.entry((from, to)).or_insert(test_only);
            *known = *known && test_only;
        }
    }
    let forbidden = |((from, to), test_only): ((&str, &str), bool)| {
        let why = objection(from, to, test_only)?;
        let kind = if test_only { "in its tests" } else { "" };
        Some(format!("{from} must not depend on {to} {kind}: {why}"))
    };
    arrows.into_iter().filter_map(forbidden).collect()
}

/// What is wrong with an arrow; none where nothing is.
fn objection(from: &str, to: &str, test_only: bool) -> Option<&'static str> {
    let is_room = |name: &str| ROOMS.contains(&name);
    if FOUNDATIONS.contains(&to) && from != "xtask" && !FOUNDATIONS.contains(&from) {
        return None;
    }
    if to == "testkit" {
        let measures = from.starts_with("bench");
        return (!test_only && !measures).then_some("testkit is for tests and benches");
    }
    match from {
        "xtask" => Some("xtask must run when nothing else builds"),
        "testkit" | "brief" | "core-types" => Some("foundations stand on nothing"),
        _ if from.starts_with("bench") => None,
        _ if is_room(from) && is_room(to) => Some("sibling rooms meet only in core-types' types"),
        _ if is_room(from) => Some("rooms lie below what composes them"),
        "integration" if test_only && to != "sim" && to != "broker" => None,
        "integration" => (!is_room(to)).then_some("integration lies below sim and broker"),
        "sim" => (!is_room(to) && to != "integration").then_some("sim lies beside the broker"),
        "broker" => (!is_room(to) && !["integration", "sim", "weights"].contains(&to))
            .then_some("the broker composes the crates"),
        "weights" => Some("weights know nothing but amounts"),
        _ => Some("the architecture does not know this crate"),
    }
}

/// A package's room: its name without the project's prefix; none for a foreign package.
fn room(package: &str) -> Option<&str> {
    if package == "xtask" {
        return Some(package);
    }
    package.strip_prefix("plimsoll-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_only_point_down() {
        let check = |from, to, test_only, allowed: bool| {
            assert_eq!(objection(from, to, test_only).is_none(), allowed, "{from} -> {to}");
        };
        check("pool", "core-types", false, true);
        check("load", "brief", false, true);
        check("brief", "core-types", false, false);
        check("pool", "memory", false, false);
        check("pool", "memory", true, false);
        check("cache", "sim", true, false);
        check("cache", "testkit", true, true);
        check("cache", "testkit", false, false);
        check("bench-memory", "testkit", false, true);
        check("integration", "cache", false, true);
        check("integration", "pool", true, true);
        check("integration", "sim", true, false);
        check("sim", "integration", false, true);
        check("sim", "broker", false, false);
        check("broker", "sim", false, true);
        check("bench-pool", "pool", false, true);
        check("xtask", "core-types", false, false);
        check("core-types", "pool", true, false);
        check("unheard-of", "pool", false, false);
    }

    #[test]
    fn this_workspace_holds_to_them() {
        let metadata = Metadata::read().unwrap();
        assert_eq!(check(&metadata), Vec::<String>::new());
    }
}

//! Models that come and go together, and those of which one is loaded at a time.

use std::collections::BTreeSet;

use rustix::process::Signal;

use crate::harness::{Broker, output, plimsoll};

const MODELS: &str = r#"
[host]
memory = "256Mi"
reserve = "1Mi"
[server]
within = "20s"
[models]
small = { embedded = "8Mi" }
large = { embedded = "16Mi" }
draft = { embedded = "8Mi" }
"#;

const ONE_OF: &str = "[groups.sizes]\nkind = \"one-of\"\nmembers = [\"small\", \"large\"]\n";
const TOGETHER: &str = "[groups.pair]\nkind = \"together\"\nmembers = [\"large\", \"draft\"]\n";

/// The models that hold a lease.
fn loaded(broker: &Broker) -> BTreeSet<String> {
    let running = broker.running().into_iter();
    running.filter(|(_, state)| state != "waiting").map(|(model, _)| model).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn told(broker: &Broker, model: &str) -> String {
    broker.get(&format!("/api/why/{model}")).text
}

#[test]
fn one_of_a_group_is_loaded_at_a_time_though_there_is_room() {
    let broker = Broker::start(&format!("{MODELS}{ONE_OF}"));
    assert_eq!(broker.embed("small").status, 200);
    assert_eq!(broker.embed("large").status, 200);
    assert_eq!(loaded(&broker), names(&["large"]));
    let (small, large) = (told(&broker, "small"), told(&broker, "large"));
    assert!(small.contains("gave way to large"), "{small}");
    assert!(large.contains("waits for small to go: only one of both is loaded"), "{large}");
    // Nobody is turned away when both are asked for at once, and they are never there at once.
    std::thread::scope(|scope| {
        let asks = ["small", "large", "small", "large"];
        let asking = asks.map(|model| scope.spawn(|| broker.embed(model).status));
        while !asking.iter().all(std::thread::ScopedJoinHandle::is_finished) {
            assert!(loaded(&broker).len() <= 1, "{:?}", broker.running());
        }
        for asked in asking {
            assert_eq!(asked.join().unwrap(), 200);
        }
    });
    assert_eq!(broker.embed("draft").status, 200);
    assert_eq!(loaded(&broker).len(), 2, "draft is in no group with them");
}

#[test]
fn those_that_belong_together_come_and_go_together() {
    let broker = Broker::start(&format!("{MODELS}{TOGETHER}"));
    assert_eq!(broker.embed("small").status, 200);
    assert_eq!(loaded(&broker), names(&["small"]));
    assert_eq!(broker.embed("large").status, 200);
    assert_eq!(loaded(&broker), names(&["draft", "large", "small"]));
    let ready = broker.running().iter().all(|(_, state)| state == "ready");
    assert!(ready, "{:?}", broker.running());
    let unloaded = broker.post("/api/models/unload/draft", "").json();
    assert_eq!(unloaded["unloaded"].as_array().unwrap().len(), 2, "{unloaded}");
    assert_eq!(loaded(&broker), names(&["small"]));
    assert_eq!(broker.post("/api/models/load/draft", "").status, 202);
    broker.eventually("both are there", loaded, |loaded| loaded.len() == 3);
}

#[test]
fn a_group_is_idle_when_all_of_it_is_and_goes_whole() {
    let models = MODELS.replace("large = {", "large = { keep_alive = \"300ms\",");
    let broker = Broker::start(&format!("{models}{TOGETHER}"));
    assert_eq!(broker.embed("large").status, 200);
    broker.eventually("both have gone", loaded, BTreeSet::is_empty);
    let draft = told(&broker, "draft");
    assert!(draft.contains("idle for"), "{draft}");
}

#[test]
fn a_new_config_groups_models_anew() {
    let broker = Broker::start(MODELS);
    assert_eq!(broker.embed("small").status, 200);
    assert_eq!(broker.embed("large").status, 200);
    assert_eq!(loaded(&broker).len(), 2);
    std::fs::write(broker.path("plimsoll.toml"), format!("{MODELS}{ONE_OF}")).unwrap();
    broker.signal(Signal::HUP);
    broker.until(&["the config was read anew"]);
    // Nobody is chased away, and who comes next minds the group.
    assert_eq!(loaded(&broker).len(), 2);
    assert_eq!(broker.post("/api/models/unload/small", "").status, 200);
    assert_eq!(broker.embed("small").status, 200);
    assert_eq!(loaded(&broker), names(&["small"]));
}

#[test]
fn check_tells_what_is_wrong_with_groups() {
    let folder = tempfile::tempdir().unwrap();
    let check = |text: &str| {
        std::fs::write(folder.path().join("plimsoll.toml"), text).unwrap();
        output(plimsoll(&["check"]).current_dir(folder.path()))
    };
    let large = MODELS.replace("\"16Mi\"", "\"250Mi\"");
    let (code, out, _) = check(&format!("{large}{TOGETHER}"));
    assert_eq!(code, Some(0), "{out}");
    assert!(out.contains("groups.pair can never load whole: memory asks"), "{out}");
    let (code, _, errors) = check(&format!("{MODELS}{}", ONE_OF.replace("\"small\"", "\"smal\"")));
    assert_ne!(code, Some(0));
    assert!(errors.contains("line 13: groups.sizes.members: there is no model smal"), "{errors}");
}

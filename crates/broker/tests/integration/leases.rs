//! Leases over HTTP, and what becomes of them.

use std::io::BufRead as _;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::harness::{Answer, Broker, output, plimsoll};

const SMALL: &str =
    "[host]\nmemory = \"100Mi\"\n[server]\nstate = \"state\"\n[models.a]\nembedded = \"24Mi\"\n";

fn take(broker: &Broker, body: &Value) -> Answer {
    broker.post("/v1/leases", &body.to_string())
}

fn promised(broker: &Broker) -> u64 {
    broker.get("/v1/leases").json()["promised"]["memory"].as_u64().unwrap_or(0)
}

const fn mib(count: u64) -> u64 {
    count << 20
}

#[test]
fn a_lease_is_taken_renewed_listed_and_given_back_once() {
    let broker = Broker::start(SMALL);
    let given = take(&broker, &json!({ "name": "job", "memory": "60Mi", "ttl_seconds": 30 }));
    assert_eq!(given.status, 201, "{given:?}");
    let lease = given.json();
    let id = lease["id"].as_str().unwrap();
    assert_eq!(lease["memory_bytes"], mib(60));
    let list = broker.get("/v1/leases").json();
    assert_eq!(
        (list["leases"][0]["id"].as_str(), list["leases"][0]["name"].as_str()),
        (Some(id), Some("job"))
    );
    assert_eq!(broker.post(&format!("/v1/leases/{id}/renew"), "").status, 200);
    let none = take(&broker, &json!({ "name": "other", "memory": "60Mi" }));
    assert_eq!(none.status, 503, "{none:?}");
    assert!(none.header("retry-after").is_some());
    let never = take(&broker, &json!({ "name": "other", "memory": "1Gi", "wait_seconds": 60 }));
    assert_eq!((never.status, never.json()["error"]["code"].as_str()), (422, Some("never_fits")));
    let wrong = take(&broker, &json!({ "name": "other", "memory": "4Gx" }));
    assert_eq!((wrong.status, wrong.json()["error"]["param"].as_str()), (400, Some("memory")));
    assert_eq!(broker.ask("DELETE", &format!("/v1/leases/{id}"), &[], "").status, 200);
    assert_eq!(promised(&broker), 0);
    let why = broker.get("/api/why/job").json();
    let kinds: Vec<_> = why["events"].as_array().unwrap().iter().map(|e| &e["kind"]).collect();
    assert_eq!(kinds, ["leased", "released"]);
}

/// The numbers of the leases of a page.
fn numbers(page: &Value) -> Vec<u64> {
    page["leases"].as_array().unwrap().iter().map(|row| row["lease"].as_u64().unwrap()).collect()
}

#[test]
fn leases_come_in_pages_and_none_is_left_out() {
    let broker = Broker::start(SMALL);
    for number in 0..5 {
        let name = format!("job-{number}");
        assert_eq!(take(&broker, &json!({ "name": name, "memory": "1Mi" })).status, 201);
    }
    let whole = broker.get("/v1/leases").json();
    assert_eq!((whole["total"].as_u64(), &whole["next"]), (Some(5), &Value::Null));
    let (mut seen, mut path) = (Vec::new(), "/v1/leases?limit=2".to_owned());
    loop {
        let page = broker.get(&path).json();
        assert!(page["total"] == 5 && page["leases"].as_array().unwrap().len() <= 2, "{page}");
        seen.append(&mut numbers(&page));
        let Some(next) = page["next"].as_u64() else { break };
        assert_eq!(Some(&next), seen.last());
        path = format!("/v1/leases?limit=2&after={next}");
    }
    assert_eq!(seen, numbers(&whole));
    assert!(numbers(&broker.get("/v1/leases?after=999999").json()).is_empty());
    for (query, field) in [("limit=0", "limit"), ("limit=5000", "limit"), ("after=-1", "after")] {
        let wrong = broker.get(&format!("/v1/leases?{query}"));
        let error = wrong.json()["error"].clone();
        assert_eq!((wrong.status, error["param"].as_str()), (400, Some(field)), "{error}");
    }
    assert_eq!(broker.get("/v1/leases?page=2").status, 400);
}

/// More than a status lists: nothing is missing in the books, and `ps` shows all.
#[test]
fn more_leases_than_a_page_holds_break_no_books() {
    const COUNT: u64 = 4200;
    let broker = Broker::start("[host]\nmemory = \"100Mi\"\n[models.a]\nembedded = \"8Mi\"\n");
    std::thread::scope(|scope| {
        for from in 0..4 {
            let broker = &broker;
            scope.spawn(move || {
                for number in (from..COUNT).step_by(4) {
                    let name = format!("job-{number}");
                    let ask = json!({ "name": name, "memory": "1Ki", "ttl_seconds": 600 });
                    assert_eq!(take(broker, &ask).status, 201);
                }
            });
        }
    });
    // An engine, whose lease has a number above those that a status lists.
    assert_eq!(broker.embed("a").status, 200);
    let status = |broker: &Broker| broker.get("/api/status").json();
    let ticks = |status: &Value| status["status"]["ticks"].as_u64().unwrap();
    let before = ticks(&status(&broker));
    broker.eventually("it has looked again", status, |now| ticks(now) > before + 3);
    assert_eq!(status(&broker)["invariants_broken"], 0);
    let url = format!("http://{}", broker.address);
    let (code, out, errors) = output(&mut plimsoll(&["ps", "--json", "--url", &url]));
    assert_eq!(code, Some(0), "{errors}");
    let told: Value = serde_json::from_str(&out).unwrap();
    let held = numbers(&told["leases"]);
    assert_eq!(held.len() as u64, COUNT + 1);
    assert!(held.is_sorted() && told["leases"]["total"] == COUNT + 1);
}

#[test]
fn a_double_release_is_subtracted_once() {
    let broker = Broker::start(SMALL);
    let first = take(&broker, &json!({ "name": "one", "memory": "30Mi" })).json();
    take(&broker, &json!({ "name": "two", "memory": "30Mi" }));
    let path = format!("/v1/leases/{}", first["id"].as_str().unwrap());
    assert_eq!(broker.ask("DELETE", &path, &[], "").status, 200);
    let again = broker.ask("DELETE", &path, &[], "");
    assert_eq!(again.status, 404, "{again:?}");
    assert_eq!(promised(&broker), mib(30), "the other lease is still whole");
}

#[test]
fn renew_after_expiry_revives_nothing() {
    let broker = Broker::start(SMALL);
    let lease =
        take(&broker, &json!({ "name": "late", "memory": "30Mi", "ttl_seconds": 0.3 })).json();
    broker.eventually("it has expired", promised, |promised| *promised == 0);
    let path = format!("/v1/leases/{}/renew", lease["id"].as_str().unwrap());
    let renewed = broker.post(&path, "");
    assert_eq!(
        (renewed.status, renewed.json()["error"]["code"].as_str()),
        (409, Some("lease_ended"))
    );
    assert_eq!(promised(&broker), 0);
}

/// A stale heartbeat: whoever has not renewed for too long has nothing any more, though it lives.
/// Its room goes to the next in line, and its late renewal overcommits nothing.
#[test]
fn a_stale_heartbeat_gives_its_room_to_the_next_in_line() {
    let broker = Broker::start(SMALL);
    let own = std::process::id();
    let stale = json!({ "name": "stale", "memory": "80Mi", "ttl_seconds": 1, "pid": own });
    let stale = take(&broker, &stale).json();
    let next = json!({ "name": "next", "memory": "80Mi", "ttl_seconds": 60, "wait_seconds": 20 });
    assert_eq!(take(&broker, &next).status, 201, "it need not wait for the end of the process");
    let renew = format!("/v1/leases/{}/renew", stale["id"].as_str().unwrap());
    assert_eq!(broker.post(&renew, "").status, 409);
    assert_eq!(promised(&broker), mib(80));
    assert_eq!(broker.get("/api/status").json()["invariants_broken"], 0);
}

#[test]
fn a_lease_ends_with_the_process_that_it_is_for() {
    let broker = Broker::start(SMALL);
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let body = json!({ "name": "child", "memory": "30Mi", "ttl_seconds": 600, "pid": child.id() });
    assert_eq!(take(&broker, &body).status, 201);
    assert_eq!(promised(&broker), mib(30));
    child.kill().unwrap();
    child.wait().unwrap();
    broker.eventually("its lease is gone", promised, |promised| *promised == 0);
}

#[test]
fn a_lease_that_waits_has_a_model_evicted_for_it() {
    let broker = Broker::start(SMALL);
    assert_eq!(broker.embed("a").status, 200);
    let given = take(&broker, &json!({ "name": "job", "memory": "80Mi", "wait_seconds": 20 }));
    assert_eq!(given.status, 201, "{given:?}");
    assert!(broker.running().is_empty());
    let why = broker.get("/api/why/a").text;
    assert!(why.contains("gave way to job"), "{why}");
}

#[test]
fn whoever_watches_is_told_of_every_grant() {
    let broker = Broker::start(SMALL);
    let mut reader = std::io::BufReader::new(broker.send("GET", "/v1/leases/watch", &[], ""));
    crate::harness::head(&mut reader);
    take(&broker, &json!({ "name": "seen", "memory": "30Mi" }));
    let line = reader.lines().map_while(Result::ok).find(|line| line.contains("seen"));
    assert!(line.unwrap().contains("Granted"));
}

#[test]
fn leases_outlive_a_broker_that_is_killed_and_dead_holders_do_not() {
    let broker = Broker::start(SMALL);
    let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut ends = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
    let for_pid = |name: &str, pid: u32| json!({ "name": name, "memory": "20Mi", "ttl_seconds": 600, "pid": pid });
    let kept = take(&broker, &for_pid("kept", child.id())).json();
    take(&broker, &for_pid("ends", ends.id()));
    assert_eq!(promised(&broker), mib(40));
    ends.kill().unwrap();
    ends.wait().unwrap();
    let broker = broker.kill_and_restart();
    assert_eq!(promised(&broker), mib(20), "counted once, and only who lives");
    let renew = format!("/v1/leases/{}/renew", kept["id"].as_str().unwrap());
    assert_eq!(broker.post(&renew, "").status, 200, "its holder knows it by the same name");
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn two_brokers_do_not_share_one_state() {
    let broker = Broker::start(SMALL);
    let mut second = crate::harness::plimsoll(&["serve", "--listen", "127.0.0.1:0"]);
    let (code, _, err) = crate::harness::output(second.current_dir(broker.folder.path()));
    assert_eq!(code, Some(2), "{err}");
    assert!(err.contains("another broker keeps its state there"), "{err}");
}

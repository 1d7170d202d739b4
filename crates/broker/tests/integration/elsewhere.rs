//! Models of servers that somebody else runs on this host.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use serde_json::Value;

use crate::harness::{Broker, output, plimsoll};

/// A server that the broker has not started. Killed when it is dropped.
struct Elsewhere {
    child: Child,
    url: String,
}

impl Elsewhere {
    fn start(weights: &str) -> Self {
        let mut engine = plimsoll(&["engine", "--model", "x", "--weights", weights]);
        let mut child = engine.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let said: Value = serde_json::from_str(&line).unwrap();
        Self { child, url: format!("http://127.0.0.1:{}", said["port"]) }
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn what_a_server_of_this_host_holds_is_counted_without_being_declared() {
    let there = Elsewhere::start("48Mi");
    let url = &there.url;
    let broker = Broker::start(&format!(
        "[host]\nmemory = \"120Mi\"\nreserve = \"0\"\n\
         [models.there]\nurl = \"{url}\"\n[models.own]\nembedded = \"100Mi\"\n"
    ));
    assert_eq!(broker.embed("there").status, 200);
    let row = |broker: &Broker| broker.get("/running").json()["running"][0].clone();
    let row = broker.eventually("it is measured and promised for", row, |row| {
        row["memory_promised_bytes"].as_u64() > Some(48 << 20)
    });
    assert!(row["memory_used_bytes"].as_u64() > Some(48 << 20), "{row}");
    // There is no verb that would free it: nobody is told that it would make room for them.
    let late = broker.ask(
        "POST",
        "/v1/embeddings",
        &[("x-plimsoll-wait", "3")],
        r#"{"model":"own","input":"noon"}"#,
    );
    assert_eq!(late.status, 503, "{late:?}");
    assert_eq!(broker.embed("there").header("x-plimsoll-source"), Some("warm"));
}

#[test]
fn what_cant_be_measured_is_said_to_need_a_declaration() {
    let there = Elsewhere::start("8Mi");
    let url = &there.url;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plimsoll.toml");
    let check = |models: &str| {
        std::fs::write(&path, models).unwrap();
        let (code, said, errors) = output(plimsoll(&["check", "--config"]).arg(&path));
        assert_eq!(code, Some(0), "{errors}");
        said
    };
    let measured = check(&format!("[models.a]\nurl = \"{url}\"\n"));
    assert!(!measured.contains("declare it"), "{measured}");
    let two =
        format!("[models.a]\nurl = \"{url}\"\n[models.b]\nurl = \"{url}\"\nmemory = \"1Gi\"\n");
    let shared = check(&two);
    assert!(shared.contains("models.a.memory: auto counts nothing"), "{shared}");
    assert!(shared.contains("several models share") && !shared.contains("models.b"), "{shared}");
    let nobody = check("[models.a]\nurl = \"http://192.0.2.1:80\"\n");
    assert!(nobody.contains("models.a.memory") && nobody.contains("declare it"), "{nobody}");
}

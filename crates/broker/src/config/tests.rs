use std::time::Duration;

use plimsoll_core_types::{ModelId, Priority};

use super::*;

fn parse(text: &str) -> Result<Config, Vec<Mistake>> {
    Config::parse(text, &Overrides::default())
}

const WHOLE: &str = r#"
[host]
memory = "80%"
cpu = 2
reserve = "128Mi"

[server]
listen = "127.0.0.1:9000"
within = "30s"

[tenants.batch]
weight = 3
limit = "25%"

[models.llama]
command = ["llama-server", "-m", "llama.gguf", "--port", "{port}", "--threads", "{threads}"]
memory = "auto"
cpu = "500m"
slots = 4
keep_alive = "10m"
pin = true
priority = "high"
fallback = "small"

[models.small]
url = "http://127.0.0.1:8081"
memory = "2Gi"

[models.toy]
embedded = "64Mi"
"#;

#[test]
fn a_whole_config_means_what_it_says() {
    let config = parse(WHOLE).unwrap();
    assert_eq!(config.host.cpu, AmountOrShare::Amount(Millicores::from_cores(2)));
    assert_eq!(config.host.reserve, Bytes::from_mib(128));
    assert_eq!(config.server.within, Duration::from_secs(30));
    assert_eq!(config.tenants[&TenantId::new("batch").unwrap()].weight, 3);
    let llama = config.models.iter().find(|model| model.id.as_str() == "llama").unwrap();
    assert_eq!((llama.slots, llama.pin, llama.priority), (4, true, Priority::High));
    assert_eq!(llama.memory, Footprint::Auto);
    assert_eq!(llama.keep_alive, Some(Duration::from_mins(10)));
    assert_eq!(llama.fallback, Some(ModelId::new("small").unwrap()));
    let small = config.models.iter().find(|model| model.id.as_str() == "small").unwrap();
    assert!(matches!(&small.engine, EngineConfig::Url { .. }), "{small:?}");
}

#[test]
fn an_empty_config_is_the_default() {
    let config = parse("").unwrap();
    assert_eq!(config.host, HostConfig::default());
    assert_eq!(config.server.listen, LISTEN);
    assert!(config.models.is_empty());
}

#[test]
fn every_mistake_is_named_with_its_line_and_key() {
    let text = r#"
[host]
memory = "4Gx"
cpus = 2

[server]
listen = "0.0.0.0:80"

[models.a]
memory = "1Gi"

[models.b]
url = "http://127.0.0.1:1"
embedded = "64Mi"
slots = 0
priority = "urgent"
fallback = "nobody"
"#;
    let mistakes = parse(text).unwrap_err();
    let lines: Vec<_> = mistakes.iter().map(ToString::to_string).collect();
    let check = |line: usize, key: &str, part: &str| {
        let found = lines
            .iter()
            .any(|text| text.starts_with(&format!("line {line}: {key}: ")) && text.contains(part));
        assert!(found, "line {line} {key} {part}: {lines:#?}");
    };
    check(3, "host.memory", "4Gx");
    check(4, "host.cpus", "did you mean cpu?; known are accelerators, cpu, memory, reserve");
    check(7, "server.listen", "set a token");
    check(9, "models.a.engine", "one of command, url, embedded");
    check(12, "models.b.engine", "only one of command, url, embedded");
    check(15, "models.b.slots", "from 1 to");
    check(16, "models.b.priority", "urgent");
    check(17, "models.b.fallback", "there is no model nobody");
    assert_eq!(lines.len(), 8, "{lines:#?}");
}

#[test]
fn the_environment_and_flags_win_over_the_file() {
    let overrides = Overrides {
        listen: Some("0.0.0.0:80".parse().unwrap()),
        token: Some("secret".to_owned()),
        memory: Some("50%".parse().unwrap()),
        ..Overrides::default()
    };
    let config = Config::parse(WHOLE, &overrides).unwrap();
    assert_eq!(config.server.listen, "0.0.0.0:80".parse().unwrap());
    assert_eq!(config.host.memory, "50%".parse().unwrap());
    assert_eq!(config.host.cpu, AmountOrShare::Amount(Millicores::from_cores(2)));
    let open = Overrides { token: None, ..overrides };
    let mistakes = Config::parse(WHOLE, &open).unwrap_err();
    assert!(mistakes[0].to_string().contains("set a token"), "{mistakes:?}");
}

#[test]
fn what_means_nothing_for_an_engine_is_complained_of() {
    let text =
        "[models.a]\nurl = \"http://127.0.0.1:1\"\nport = 9\n\n[models.b]\nurl = \"https://x\"\n";
    let mistakes: Vec<_> = parse(text).unwrap_err().iter().map(ToString::to_string).collect();
    assert!(mistakes[0].starts_with("line 3: models.a.port: "), "{mistakes:?}");
    assert!(mistakes[1].starts_with("line 6: models.b.url: "), "{mistakes:?}");
}

/// What is known stands in the complaint of what is not.
#[test]
fn the_schema_knows_what_the_reader_knows() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let properties = &schema["properties"];
    let check = |text: &str, schema: &serde_json::Value| {
        let mistakes = parse(text).unwrap_err();
        let unknown = mistakes.iter().find(|mistake| mistake.what.starts_with("unknown key"));
        let known = unknown.unwrap().what.rsplit_once("known are ").unwrap().1;
        let known: std::collections::BTreeSet<_> = known.split(", ").collect();
        let keys = schema["properties"].as_object().unwrap().keys();
        assert_eq!(known, keys.map(String::as_str).collect(), "{text}");
    };
    check("zzzzzz = 1", &schema);
    check("[host]\nzzzzzz = 1", &properties["host"]);
    check("[server]\nzzzzzz = 1", &properties["server"]);
    check("[tenants.a]\nzzzzzz = 1", &properties["tenants"]["additionalProperties"]);
    check("[groups.a]\nzzzzzz = 1", &properties["groups"]["additionalProperties"]);
    let model = &properties["models"]["additionalProperties"];
    check("[models.a]\nembedded = \"8Mi\"\nzzzzzz = 1", model);
}

#[test]
fn what_is_no_toml_is_told_with_its_line() {
    let mistakes = parse("[host]\nmemory = \n").unwrap_err();
    assert_eq!(mistakes[0].line, 2, "{mistakes:?}");
}

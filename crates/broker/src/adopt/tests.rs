//! Against fakes that speak each engine's verbs as its docs have them.

use std::collections::BTreeMap;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use parking_lot::Mutex;
use serde_json::json;

use super::*;

/// An engine that answers from a table, and writes down what it was told.
#[derive(Debug, Default)]
struct Fake {
    answers: BTreeMap<&'static str, Value>,
    told: Mutex<Vec<String>>,
}

async fn start(answers: &[(&'static str, Value)]) -> (Arc<Fake>, Arc<Target>) {
    let fake =
        Arc::new(Fake { answers: answers.iter().cloned().collect(), told: Mutex::default() });
    let shared = Arc::clone(&fake);
    let answer = move |request: Request| {
        let fake = Arc::clone(&shared);
        async move {
            let place = request.uri().path_and_query().unwrap().to_string();
            let key = format!("{} {place}", request.method());
            let body = axum::body::to_bytes(request.into_body(), 1 << 16).await.unwrap();
            fake.told
                .lock()
                .push(format!("{key} {}", String::from_utf8_lossy(&body)).trim().to_owned());
            match fake.answers.get(key.as_str()) {
                Some(answer) => (StatusCode::OK, answer.to_string()),
                None => (StatusCode::NOT_FOUND, String::new()),
            }
        }
    };
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let target = Arc::new(Target::new(listener.local_addr().unwrap()));
    let router = Router::new().fallback(answer);
    tokio::spawn(async move { axum::serve(listener, router).await });
    (fake, target)
}

/// Finds the engine, reads its models, has it free `model`, and gives what it was told by that.
async fn check(
    answers: &[(&'static str, Value)],
    kind: Kind,
    expected: Known,
    verb: &str,
) -> Engine {
    let (fake, target) = start(answers).await;
    let engine = Engine::find(target).await.unwrap_or_else(|| panic!("{kind} was not found"));
    assert_eq!(engine.kind, kind);
    assert!(engine.models().await.unwrap().contains(&expected), "{:?}", engine.models().await);
    engine.free(&expected.name).await.unwrap();
    assert_eq!(fake.told.lock().last().map(String::as_str), Some(verb));
    engine
}

fn known(name: &str, memory: Option<u64>, accelerator: Option<u64>) -> Known {
    let (memory, accelerator) = (memory.map(Bytes::new), accelerator.map(Bytes::new));
    Known { name: name.to_owned(), loaded: true, memory, accelerator }
}

#[tokio::test]
async fn ollama_is_counted_and_freed() {
    let answers = [
        ("GET /api/version", json!({ "version": "0.9.0" })),
        ("GET /api/ps", json!({ "models": [{ "name": "q:1b", "size": 900, "size_vram": 600 }] })),
        ("GET /api/tags", json!({ "models": [{ "name": "q:1b" }, { "name": "other" }] })),
        ("POST /api/generate", json!({ "done_reason": "unload" })),
    ];
    let verb = r#"POST /api/generate {"keep_alive":0,"model":"q:1b"}"#;
    check(&answers, Kind::Ollama, known("q:1b", Some(300), Some(600)), verb).await;
}

#[tokio::test]
async fn llama_cpp_is_counted_and_freed() {
    let list = json!({ "data": [
        { "id": "a", "owned_by": "llamacpp", "status": { "value": "loaded" }, "meta": { "size": 77 } },
        { "id": "b", "owned_by": "llamacpp", "status": { "value": "unloaded" } },
    ] });
    let answers = [
        ("GET /v1/models", list.clone()),
        ("GET /models", list),
        ("POST /models/unload", json!({ "success": true })),
    ];
    let verb = r#"POST /models/unload {"model":"a"}"#;
    let engine = check(&answers, Kind::LlamaCpp, known("a", Some(77), None), verb).await;
    assert!(!engine.models().await.unwrap()[1].loaded);
}

#[tokio::test]
async fn vllm_sleeps_and_wakes_up() {
    let answers = [
        ("GET /version", json!({ "version": "0.11.0" })),
        ("GET /v1/models", json!({ "data": [{ "id": "m", "owned_by": "vllm" }] })),
        ("GET /is_sleeping", json!({ "is_sleeping": false })),
        ("POST /sleep?level=2", json!({})),
    ];
    check(&answers, Kind::Vllm, known("m", None, None), "POST /sleep?level=2").await;
    let asleep = [
        ("GET /version", json!({ "version": "0.11.0" })),
        ("GET /v1/models", json!({ "data": [{ "id": "m", "owned_by": "vllm" }] })),
        ("GET /is_sleeping", json!({ "is_sleeping": true })),
        ("POST /wake_up", json!({})),
    ];
    let (fake, target) = start(&asleep).await;
    let engine = Engine::find(target).await.unwrap();
    assert!(!engine.models().await.unwrap()[0].loaded);
    engine.take_back().await.unwrap();
    assert_eq!(fake.told.lock().last().map(String::as_str), Some("POST /wake_up"));
}

#[tokio::test]
async fn localai_is_counted_and_freed() {
    let answers = [
        ("GET /system", json!({ "backends": ["llama-cpp"], "loaded_models": [{ "id": "m" }] })),
        ("GET /v1/models", json!({ "data": [{ "id": "m" }, { "id": "n" }] })),
        ("GET /backend/monitor?model=m", json!({ "state": 2, "memory": { "total": 55 } })),
        ("POST /backend/shutdown", json!({})),
    ];
    let verb = r#"POST /backend/shutdown {"model":"m"}"#;
    check(&answers, Kind::LocalAi, known("m", Some(55), None), verb).await;
}

#[tokio::test]
async fn triton_is_counted_and_freed() {
    let answers = [
        ("GET /v2", json!({ "name": "triton", "version": "2.60.0" })),
        ("POST /v2/repository/index", json!([{ "name": "m", "version": "1", "state": "READY" }])),
        ("POST /v2/repository/models/m/unload", json!({})),
    ];
    let verb = "POST /v2/repository/models/m/unload {}";
    check(&answers, Kind::Triton, known("m", None, None), verb).await;
}

#[tokio::test]
async fn comfyui_is_counted_and_freed() {
    let stats = json!({
        "system": { "comfyui_version": "0.3.60" },
        "devices": [{ "torch_vram_total": 1000, "torch_vram_free": 400 }],
    });
    let answers = [("GET /system_stats", stats), ("POST /free", json!({}))];
    let verb = r#"POST /free {"free_memory":true,"unload_models":true}"#;
    check(&answers, Kind::ComfyUi, known("comfyui", None, Some(600)), verb).await;
}

#[tokio::test]
async fn nobody_and_strangers_are_not_adopted_and_a_refusal_is_told() {
    assert!(Engine::find(Arc::new(Target::loopback(1))).await.is_none());
    let (_, target) = start(&[]).await;
    assert!(Engine::find(Arc::clone(&target)).await.is_none());
    let engine = Engine { kind: Kind::LlamaCpp, target };
    let error = engine.free("m").await.unwrap_err().to_string();
    assert!(error.contains("answered 404 Not Found to POST /models/unload"), "{error}");
}

//! llama.cpp's `llama-server`: `GET /props`; as a router `GET /models` and `POST /models/unload`.
//! Source: its `tools/server/README.md`.

use serde_json::json;

use super::{AdoptError, Engine, Known, bytes, rows, text};

pub(super) async fn is(engine: &Engine) -> Result<bool, AdoptError> {
    let (status, list) = engine.get("/v1/models").await?;
    let owned = rows(&list["data"]).iter().any(|row| row["owned_by"] == "llamacpp");
    if status.is_success() && owned {
        return Ok(true);
    }
    let (status, props) = engine.get("/props").await?;
    Ok(status.is_success() && !props["default_generation_settings"].is_null())
}

pub(super) async fn models(engine: &Engine) -> Result<Vec<Known>, AdoptError> {
    let (status, list) = engine.get("/models").await?;
    let list = if status.is_success() { list } else { engine.get("/v1/models").await?.1 };
    let known = |row: &serde_json::Value| {
        let status = row["status"]["value"].as_str();
        // A server of one model has it loaded, and says nothing of a status.
        let loaded = status.is_none_or(|status| status == "loaded");
        let memory = bytes(&row["meta"]["size"]).filter(|_| loaded);
        Known { name: text(&row["id"]), loaded, memory, accelerator: None }
    };
    Ok(rows(&list["data"]).iter().map(known).collect())
}

pub(super) async fn free(engine: &Engine, model: &str) -> Result<(), AdoptError> {
    engine.post("/models/unload", Some(json!({ "model": model }))).await.map(|_| ())
}

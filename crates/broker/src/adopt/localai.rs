//! `LocalAI`: `GET /system`, `/v1/models`, `/backend/monitor`; `POST /backend/shutdown`. Source: its
//! docs, *Backend Monitor*.

use serde_json::json;

use super::{AdoptError, Engine, Known, bytes, rows, text};

pub(super) async fn is(engine: &Engine) -> Result<bool, AdoptError> {
    let (status, system) = engine.get("/system").await?;
    Ok(status.is_success() && system["backends"].is_array())
}

pub(super) async fn models(engine: &Engine) -> Result<Vec<Known>, AdoptError> {
    let (_, system) = engine.get("/system").await?;
    let (_, list) = engine.get("/v1/models").await?;
    let loaded = rows(&system["loaded_models"]);
    let mut found = Vec::new();
    for row in rows(&list["data"]) {
        let name = text(&row["id"]);
        let runs = loaded.iter().any(|model| model["id"] == row["id"]);
        let memory = if runs { held(engine, &name).await? } else { None };
        found.push(Known { name, loaded: runs, memory, accelerator: None });
    }
    Ok(found)
}

async fn held(
    engine: &Engine,
    model: &str,
) -> Result<Option<plimsoll_core_types::Bytes>, AdoptError> {
    let (_, state) = engine.get(&format!("/backend/monitor?model={model}")).await?;
    Ok(bytes(&state["memory"]["total"]).or_else(|| bytes(&state["memory_info"]["rss"])))
}

pub(super) async fn free(engine: &Engine, model: &str) -> Result<(), AdoptError> {
    engine.post("/backend/shutdown", Some(json!({ "model": model }))).await.map(|_| ())
}

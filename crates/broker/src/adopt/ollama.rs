//! Ollama: `GET /api/version`, `/api/tags`, `/api/ps`; `POST /api/generate` with `keep_alive: 0`.
//! Source: its `docs/api.md`.

use serde_json::json;

use super::{AdoptError, Engine, Known, bytes, rows, text};

pub(super) async fn is(engine: &Engine) -> Result<bool, AdoptError> {
    let (status, version) = engine.get("/api/version").await?;
    Ok(status.is_success() && version["version"].is_string())
}

pub(super) async fn models(engine: &Engine) -> Result<Vec<Known>, AdoptError> {
    let (_, running) = engine.get("/api/ps").await?;
    let (_, tags) = engine.get("/api/tags").await?;
    let running = rows(&running["models"]);
    let known = |row: &serde_json::Value| {
        let name = text(&row["name"]);
        let runs = running.iter().find(|model| model["name"] == row["name"]);
        let vram = runs.and_then(|model| bytes(&model["size_vram"]));
        let size = runs.and_then(|model| bytes(&model["size"]));
        let memory = size.map(|size| size.saturating_sub(vram.unwrap_or_default()));
        Known { name, loaded: runs.is_some(), memory, accelerator: vram }
    };
    let tags = rows(&tags["models"]);
    let untagged = running.iter().filter(|row| tags.iter().all(|tag| tag["name"] != row["name"]));
    Ok(tags.iter().chain(untagged).map(known).collect())
}

pub(super) async fn free(engine: &Engine, model: &str) -> Result<(), AdoptError> {
    let body = json!({ "model": model, "keep_alive": 0 });
    engine.post("/api/generate", Some(body)).await.map(|_| ())
}

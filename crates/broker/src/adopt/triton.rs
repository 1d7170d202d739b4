//! Triton: `GET /v2`, `POST /v2/repository/index` and `…/models/NAME/unload`, which it answers where
//! it was started with `--model-control-mode=explicit`. Source: its docs, *Model Repository
//! Extension*.

use super::{AdoptError, Engine, Known, rows, text};

pub(super) async fn is(engine: &Engine) -> Result<bool, AdoptError> {
    let (status, server) = engine.get("/v2").await?;
    Ok(status.is_success() && server["name"] == "triton")
}

pub(super) async fn models(engine: &Engine) -> Result<Vec<Known>, AdoptError> {
    let index = engine.post("/v2/repository/index", Some(serde_json::json!({}))).await?;
    let known = |row: &serde_json::Value| Known {
        name: text(&row["name"]),
        loaded: row["state"] == "READY",
        memory: None,
        accelerator: None,
    };
    Ok(rows(&index).iter().map(known).collect())
}

pub(super) async fn free(engine: &Engine, model: &str) -> Result<(), AdoptError> {
    let path = format!("/v2/repository/models/{model}/unload");
    engine.post(&path, Some(serde_json::json!({}))).await.map(|_| ())
}

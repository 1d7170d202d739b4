//! `ComfyUI`: `GET /system_stats`, `POST /free`. Source: its docs, *Server routes*.
//!
//! It does not tell which models it has loaded: everything that its devices hold counts as one.

use plimsoll_core_types::Bytes;
use serde_json::json;

use super::{AdoptError, Engine, Known, bytes, rows};

pub(super) async fn is(engine: &Engine) -> Result<bool, AdoptError> {
    let (status, stats) = engine.get("/system_stats").await?;
    Ok(status.is_success() && stats["system"]["comfyui_version"].is_string())
}

pub(super) async fn models(engine: &Engine) -> Result<Vec<Known>, AdoptError> {
    let (_, stats) = engine.get("/system_stats").await?;
    let held = |device: &serde_json::Value| {
        let (total, free) =
            (bytes(&device["torch_vram_total"])?, bytes(&device["torch_vram_free"])?);
        Some(total.saturating_sub(free))
    };
    let held: Bytes = rows(&stats["devices"]).iter().filter_map(held).sum();
    let loaded = !held.is_zero();
    Ok(vec![Known { name: "comfyui".to_owned(), loaded, memory: None, accelerator: Some(held) }])
}

/// Done when its queue goes round next; nothing that runs is broken off.
pub(super) async fn free(engine: &Engine) -> Result<(), AdoptError> {
    let body = json!({ "unload_models": true, "free_memory": true });
    engine.post("/free", Some(body)).await.map(|_| ())
}

//! vLLM: `GET /version`, `/v1/models`, `/is_sleeping`; `POST /sleep` and `/wake_up`, which it answers
//! where it was started with `--enable-sleep-mode` in development mode. Source: its docs, *Sleep
//! Mode*.

use super::{AdoptError, Engine, Known, rows, text};

pub(super) async fn is(engine: &Engine) -> Result<bool, AdoptError> {
    let (status, version) = engine.get("/version").await?;
    if !status.is_success() || !version["version"].is_string() {
        return Ok(false);
    }
    let (_, list) = engine.get("/v1/models").await?;
    Ok(rows(&list["data"]).iter().any(|row| row["owned_by"] == "vllm"))
}

async fn sleeps(engine: &Engine) -> Result<bool, AdoptError> {
    let (_, state) = engine.get("/is_sleeping").await?;
    Ok(state["is_sleeping"] == true)
}

pub(super) async fn models(engine: &Engine) -> Result<Vec<Known>, AdoptError> {
    let loaded = !sleeps(engine).await?;
    let (_, list) = engine.get("/v1/models").await?;
    let known = |row: &serde_json::Value| Known {
        name: text(&row["id"]),
        loaded,
        memory: None,
        accelerator: None,
    };
    Ok(rows(&list["data"]).iter().map(known).collect())
}

/// Level 1 moves the weights to the host's memory, level 2 drops them: that frees both.
pub(super) async fn free(engine: &Engine) -> Result<(), AdoptError> {
    engine.post("/sleep?level=2", None).await.map(|_| ())
}

pub(super) async fn take_back(engine: &Engine) -> Result<(), AdoptError> {
    if sleeps(engine).await? {
        engine.post("/wake_up", None).await?;
    }
    Ok(())
}

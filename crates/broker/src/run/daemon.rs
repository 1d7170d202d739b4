//! A lease of a running broker.

use std::time::Duration;

use hyper::{Method, StatusCode};
use plimsoll_core_types::{Bytes, ConsumerId, ResourceVector};
use serde_json::{Value, json};

use super::{RunError, Told, Want};
use crate::client::{Client, ClientError};

/// How long the lease lasts unless renewed, and how often it is.
const TTL: Duration = Duration::from_mins(1);
const RENEW_EVERY: Duration = Duration::from_secs(20);
/// How long one wait at the broker may take; then it is begun anew.
const WAIT_AT_MOST: Duration = Duration::from_hours(1);
/// How often it is asked how the wait goes.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A lease of a running broker.
#[derive(Debug)]
pub(super) struct DaemonLease {
    client: Client,
    id: String,
    amount: ResourceVector,
}

impl DaemonLease {
    pub(super) async fn take(client: Client, want: &Want) -> Result<Self, RunError> {
        let wait = want.wait.unwrap_or(WAIT_AT_MOST).min(WAIT_AT_MOST);
        let body = json!({
            "name": want.name,
            "memory": want.memory.map_or_else(|| json!("auto"), |bytes| json!(bytes.get())),
            "cpu": format!("{}m", want.rest.cpu().get()),
            "priority": want.priority.to_string(),
            "ttl_seconds": TTL.as_secs(),
            "wait_seconds": wait.as_secs_f64(),
            "pid": std::process::id(),
            "accelerator": accelerator(&want.rest).map(|(_, bytes)| bytes),
            "device": accelerator(&want.rest).map_or(0, |(device, _)| device),
        });
        let within = wait + Duration::from_secs(10);
        let ask = client.call(Method::POST, "/v1/leases", Some(&body), within);
        let granted = tokio::select! {
            granted = ask => granted,
            never = tell_of_the_wait(&client, &want.name) => match never {},
        };
        match granted {
            Ok(lease) => Self::read(client, &lease),
            Err(error) => Err(refused(error)),
        }
    }

    fn read(client: Client, lease: &Value) -> Result<Self, RunError> {
        let unreadable =
            |cause: &dyn std::fmt::Display| RunError::internal("reading the lease", cause);
        let id = lease["id"].as_str().ok_or_else(|| unreadable(&"it has no id"))?.to_owned();
        let amount = serde_json::from_value(lease["amount"].clone()).map_err(|e| unreadable(&e))?;
        Ok(Self { client, id, amount })
    }

    pub(super) const fn amount(&self) -> ResourceVector {
        self.amount
    }

    /// Renews it for as long as it is polled; ends when that fails for good.
    pub(super) async fn keep(&self) {
        let path = format!("/v1/leases/{}/renew", self.id);
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            let renewed = self.client.call(Method::POST, &path, None, TTL / 3).await;
            // A broker that is being started anew is asked again; it grants the lease again.
            if let Err(ClientError::Refused { status, message, .. }) = renewed
                && status == StatusCode::CONFLICT
            {
                crate::output::aside(&format!("the lease is lost, the command goes on: {message}"));
                std::future::pending::<()>().await;
            }
        }
    }

    pub(super) async fn release(self, peak: Option<Bytes>) {
        let within = Duration::from_secs(5);
        if let Some(peak) = peak {
            let (path, body) =
                (format!("/v1/leases/{}/measured", self.id), json!({ "peak_bytes": peak }));
            if let Err(error) = self.client.call(Method::POST, &path, Some(&body), within).await {
                tracing::warn!(%error, "what was measured could not be told");
            }
        }
        let path = format!("/v1/leases/{}", self.id);
        // A broker that is gone releases the lease by itself, since this process has ended.
        if let Err(error) = self.client.call(Method::DELETE, &path, None, within).await {
            tracing::debug!(%error, "release");
        }
    }
}

fn accelerator(rest: &ResourceVector) -> Option<(u8, u64)> {
    let devices = plimsoll_core_types::DeviceIndex::all();
    devices
        .map(|device| (device.get(), rest.accelerator(device).get()))
        .find(|(_, bytes)| *bytes > 0)
}

fn refused(error: ClientError) -> RunError {
    match error {
        ClientError::Refused { status: StatusCode::UNPROCESSABLE_ENTITY, message, .. } => {
            RunError::Never(message)
        }
        ClientError::Refused { status: StatusCode::BAD_REQUEST, message, .. } => {
            RunError::Usage(message)
        }
        ClientError::Refused { status, message, .. }
            if status == StatusCode::SERVICE_UNAVAILABLE
                || status == StatusCode::TOO_MANY_REQUESTS =>
        {
            RunError::NoRoom(message)
        }
        other => RunError::internal("asking the broker", &other),
    }
}

/// Says now and then at which position `name` waits, and for what.
async fn tell_of_the_wait(client: &Client, name: &ConsumerId) -> std::convert::Infallible {
    let mut told = Told::default();
    loop {
        tokio::time::sleep(ASK_EVERY).await;
        let Ok(list) = client.get("/v1/leases?limit=1").await else { continue };
        let waiters = list["waiters"].as_array().cloned().unwrap_or_default();
        let Some(own) = waiters.iter().find(|waiter| waiter["name"] == json!(name)) else {
            continue;
        };
        let lacking =
            serde_json::from_value::<plimsoll_core_types::Lacking>(own["lacking"].clone());
        let lacking = lacking.map_or_else(|_| "its turn".to_owned(), |lacking| lacking.to_string());
        told.tell(format!("waits at position {}: {lacking}", own["position"]));
    }
}

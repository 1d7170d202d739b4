//! What a program asks for.

use std::time::Duration;

use plimsoll_core_types::{
    Bytes, ConsumerId, DeviceIndex, Millicores, Priority, ResourceVector, TenantId,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// How long a lease lasts unless renewed, where nothing is said.
const TTL: Duration = Duration::from_mins(1);
/// The longest time to live, and the longest wait.
const LONGEST: Duration = Duration::from_hours(24);

/// The body of `POST /v1/leases`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LeaseBody {
    /// Who will hold it.
    pub(crate) name: String,
    /// A quantity, a number of bytes, or `auto`: what this name was measured to need.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) memory: Option<Value>,
    /// Cores: a quantity or a number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cpu: Option<Value>,
    /// Memory of an accelerator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) accelerator: Option<Value>,
    /// Which accelerator.
    #[serde(default)]
    pub(crate) device: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tenant: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) priority: Option<String>,
    /// Seconds that the lease lasts unless renewed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ttl_seconds: Option<f64>,
    /// Seconds to wait for room; 0 refuses at once.
    #[serde(default)]
    pub(crate) wait_seconds: f64,
    /// The process that uses it: the lease ends with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) pid: Option<u32>,
}

/// What a program asks for, checked.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct LeaseAsk {
    pub(crate) name: ConsumerId,
    /// None asks for what the name was measured to need.
    pub(crate) memory: Option<Bytes>,
    /// Everything but memory.
    pub(crate) rest: ResourceVector,
    pub(crate) tenant: TenantId,
    pub(crate) priority: Priority,
    pub(crate) ttl: Duration,
    pub(crate) wait: Duration,
    pub(crate) pid: Option<u32>,
}

/// A field that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub(crate) struct FieldError {
    pub(crate) field: &'static str,
    pub(crate) what: String,
}

fn wrong(field: &'static str) -> impl Fn(&dyn std::fmt::Display) -> FieldError {
    move |what| FieldError { field, what: what.to_string() }
}

impl LeaseBody {
    /// What it means, on behalf of `tenant` at most at `most` where it does not say otherwise.
    pub(crate) fn checked(self, tenant: TenantId, most: Priority) -> Result<LeaseAsk, FieldError> {
        let name = ConsumerId::new(&self.name).map_err(|error| wrong("name")(&error))?;
        let memory = match text(self.memory.as_ref(), "memory")?.as_deref() {
            Some("auto") => None,
            Some(text) => Some(text.parse().map_err(|error| wrong("memory")(&error))?),
            None => Some(Bytes::ZERO),
        };
        let cpu: Millicores = match text(self.cpu.as_ref(), "cpu")? {
            Some(text) => text.parse().map_err(|error| wrong("cpu")(&error))?,
            None => Millicores::ZERO,
        };
        let mut rest = ResourceVector::new().with_cpu(cpu);
        if let Some(text) = text(self.accelerator.as_ref(), "accelerator")? {
            let bytes = text.parse().map_err(|error| wrong("accelerator")(&error))?;
            let device = DeviceIndex::new(self.device).map_err(|error| wrong("device")(&error))?;
            rest = rest.with_accelerator(device, bytes);
        }
        let tenant = match self.tenant {
            Some(name) => TenantId::new(&name).map_err(|error| wrong("tenant")(&error))?,
            None => tenant,
        };
        let priority = match self.priority {
            Some(text) => text.parse().map_err(|error| wrong("priority")(&error))?,
            None => Priority::default(),
        };
        let ttl = match self.ttl_seconds {
            Some(seconds) => time("ttl_seconds", seconds)?,
            None => TTL,
        };
        if ttl.is_zero() {
            return Err(wrong("ttl_seconds")(&"it must be above 0"));
        }
        let wait = time("wait_seconds", self.wait_seconds)?;
        if memory == Some(Bytes::ZERO) && rest.is_zero() {
            return Err(wrong("memory")(&"ask for something: memory, cpu or accelerator"));
        }
        let (priority, pid) = (priority.min(most), self.pid);
        Ok(LeaseAsk { name, memory, rest, tenant, priority, ttl, wait, pid })
    }
}

/// A quantity as it was written, with quotes or without.
fn text(value: Option<&Value>, field: &'static str) -> Result<Option<String>, FieldError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(Value::Number(number)) => Ok(Some(number.to_string())),
        Some(_) => Err(wrong(field)(&"it must be a quantity such as \"4Gi\", or a number")),
    }
}

/// So many seconds, at most a day.
pub(crate) fn time(field: &'static str, seconds: f64) -> Result<Duration, FieldError> {
    let what = "it must be a number of seconds from 0 to 86400";
    let time = Duration::try_from_secs_f64(seconds).map_err(|_| wrong(field)(&what))?;
    if time > LONGEST { Err(wrong(field)(&what)) } else { Ok(time) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn ask(body: Value) -> Result<LeaseAsk, FieldError> {
        let body: LeaseBody = serde_json::from_value(body).unwrap();
        body.checked(TenantId::DEFAULT, Priority::High)
    }

    #[test]
    fn quantities_may_be_texts_or_numbers() {
        let body = json!({ "name": "job", "memory": "2Gi", "cpu": 1.5, "wait_seconds": 3, "priority": "critical" });
        let asked = ask(body).unwrap();
        assert_eq!(asked.memory, Some(Bytes::from_gib(2)));
        assert_eq!(asked.rest.cpu(), Millicores::new(1500));
        assert_eq!((asked.ttl, asked.wait), (TTL, Duration::from_secs(3)));
        assert_eq!(asked.priority, Priority::High, "no more than the asker may");
        assert_eq!(ask(json!({ "name": "job", "memory": "auto" })).unwrap().memory, None);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let check = |body: Value, field: &str| {
            assert_eq!(ask(body.clone()).unwrap_err().field, field, "{body}");
        };
        check(json!({ "name": "" }), "name");
        check(json!({ "name": "j", "memory": "4Gx" }), "memory");
        check(json!({ "name": "j", "memory": [1] }), "memory");
        check(json!({ "name": "j" }), "memory");
        check(json!({ "name": "j", "cpu": 1, "ttl_seconds": 0 }), "ttl_seconds");
        check(json!({ "name": "j", "cpu": 1, "ttl_seconds": -1 }), "ttl_seconds");
        check(json!({ "name": "j", "cpu": 1, "wait_seconds": 1e9 }), "wait_seconds");
        check(json!({ "name": "j", "accelerator": "1Gi", "device": 16 }), "device");
    }
}

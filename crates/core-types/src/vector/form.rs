//! How a vector is serialized.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{DeviceIndex, ResourceVector};
use crate::units::{Bytes, Millicores, Slots};

/// A vector with its dimensions by name.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Form {
    #[serde(default, skip_serializing_if = "is_default")]
    cpu: Millicores,
    #[serde(default, skip_serializing_if = "is_default")]
    memory: Bytes,
    #[serde(default, skip_serializing_if = "is_default")]
    slots: Slots,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    accelerators: BTreeMap<DeviceIndex, Bytes>,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl From<Form> for ResourceVector {
    fn from(form: Form) -> Self {
        let base = Self::new().with_cpu(form.cpu).with_memory(form.memory).with_slots(form.slots);
        let devices = form.accelerators.into_iter();
        devices.fold(base, |vector, (device, memory)| vector.with_accelerator(device, memory))
    }
}

impl From<ResourceVector> for Form {
    fn from(vector: ResourceVector) -> Self {
        let devices = DeviceIndex::all().map(|device| (device, vector.accelerator(device)));
        Self {
            cpu: vector.cpu(),
            memory: vector.memory(),
            slots: vector.slots(),
            accelerators: devices.filter(|(_, memory)| !memory.is_zero()).collect(),
        }
    }
}

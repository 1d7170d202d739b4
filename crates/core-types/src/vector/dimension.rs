//! What is counted: CPU, memory, slots, and the memory of each accelerator.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::DEVICES;
use crate::units::{Bytes, Millicores, Slots};

/// An accelerator's number on its host, 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct DeviceIndex(u8);

impl DeviceIndex {
    /// Device number `index`.
    ///
    /// # Errors
    ///
    /// When `index` is above 15.
    pub const fn new(index: u8) -> Result<Self, DeviceIndexError> {
        if (index as usize) < DEVICES { Ok(Self(index)) } else { Err(DeviceIndexError { index }) }
    }

    /// The number.
    pub const fn get(self) -> u8 {
        self.0
    }

    /// Every device there can be, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..DEVICES as u8).map(Self)
    }
}

impl TryFrom<u8> for DeviceIndex {
    type Error = DeviceIndexError;

    fn try_from(index: u8) -> Result<Self, Self::Error> {
        Self::new(index)
    }
}

impl From<DeviceIndex> for u8 {
    fn from(device: DeviceIndex) -> Self {
        device.0
    }
}

impl fmt::Display for DeviceIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A device number that no host has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("accelerator {index} is out of range; a host has devices 0 to {}", DEVICES - 1)]
pub struct DeviceIndexError {
    index: u8,
}

/// One coordinate of a [`ResourceVector`](super::ResourceVector).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dimension {
    /// CPU, in thousandths of a core.
    Cpu,
    /// Host memory, in bytes.
    Memory,
    /// Places, as counted by whoever hands them out.
    Slots,
    /// Memory of one accelerator, in bytes.
    Accelerator(DeviceIndex),
}

impl Dimension {
    /// Every dimension, in the order in which vectors compare and print them.
    pub fn all() -> impl Iterator<Item = Self> {
        [Self::Cpu, Self::Memory, Self::Slots]
            .into_iter()
            .chain(DeviceIndex::all().map(Self::Accelerator))
    }

    pub(super) const fn index(self) -> usize {
        match self {
            Self::Cpu => 0,
            Self::Memory => 1,
            Self::Slots => 2,
            Self::Accelerator(device) => 3 + device.0 as usize,
        }
    }

    pub(super) fn at(index: usize) -> Self {
        match index {
            0 => Self::Cpu,
            1 => Self::Memory,
            2 => Self::Slots,
            _ => Self::Accelerator(DeviceIndex((index - 3) as u8)),
        }
    }

    /// `count` of this dimension, with its unit, for people.
    pub fn format(self, count: u64) -> String {
        match self {
            Self::Cpu => Millicores::new(count).to_string(),
            Self::Slots => Slots::new(count).to_string(),
            Self::Memory | Self::Accelerator(_) => Bytes::new(count).to_string(),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::Memory => f.write_str("memory"),
            Self::Slots => f.write_str("slots"),
            Self::Accelerator(device) => write!(f, "accelerator {device}"),
        }
    }
}

//! Sets of dimensions, as bits.

use plimsoll_core_types::{Dimension, ResourceVector};

/// A set of dimensions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DimensionSet(u32);

impl DimensionSet {
    /// The dimensions of which `amount` has more than `room`.
    pub(super) fn exceeding(amount: &ResourceVector, room: &ResourceVector) -> Self {
        let over = amount.iter().filter(|(dimension, count)| *count > room.get(*dimension));
        Self(over.fold(0, |bits, (dimension, _)| bits | bit(dimension)))
    }

    /// The dimensions that `amount` has something of.
    pub(super) fn of(amount: &ResourceVector) -> Self {
        Self(amount.iter().fold(0, |bits, (dimension, _)| bits | bit(dimension)))
    }

    pub(super) const fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(super) const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(super) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

const fn bit(dimension: Dimension) -> u32 {
    match dimension {
        Dimension::Cpu => 1,
        Dimension::Memory => 1 << 1,
        Dimension::Slots => 1 << 2,
        Dimension::Accelerator(device) => 1 << (3 + device.get() as u32),
    }
}

//! What many amounts come to, added up in place: an amount is long, and a thousand of them are summed
//! at every round.

use plimsoll_core_types::{Dimension, ResourceVector, VectorError};

/// The sum in every dimension, at most 2^64 − 1.
pub(crate) fn saturating<'a>(amounts: impl Iterator<Item = &'a ResourceVector>) -> ResourceVector {
    let (mut sum, endless) = (ResourceVector::ZERO, endless());
    for amount in amounts {
        if !sum.grow_within(amount, &endless) {
            sum = sum.saturating_add(amount);
        }
    }
    sum
}

/// The sum in every dimension.
///
/// # Errors
///
/// When it passes 2^64 − 1 in one.
pub(crate) fn checked<'a>(
    mut amounts: impl Iterator<Item = &'a ResourceVector>,
) -> Result<ResourceVector, VectorError> {
    let (mut sum, endless) = (ResourceVector::ZERO, endless());
    amounts.try_for_each(|amount| {
        if !sum.grow_within(amount, &endless) {
            sum = sum.checked_add(amount)?;
        }
        Ok(())
    })?;
    Ok(sum)
}

fn endless() -> ResourceVector {
    Dimension::all().fold(ResourceVector::ZERO, |all, dimension| all.with(dimension, u64::MAX))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use plimsoll_core_types::{Bytes, DeviceIndex, Millicores};
    use proptest::prelude::*;

    use super::*;

    fn amount() -> impl Strategy<Value = ResourceVector> {
        let word = || prop_oneof![4 => Just(0), 4 => 0..1_000_u64, 1 => any::<u64>()];
        (word(), word(), word()).prop_map(|(cpu, memory, device)| {
            ResourceVector::new()
                .with_cpu(Millicores::new(cpu))
                .with_memory(Bytes::new(memory))
                .with_accelerator(DeviceIndex::new(3).unwrap(), Bytes::new(device))
        })
    }

    proptest! {
        #[test]
        fn sums_are_what_adding_one_by_one_gives(
            amounts in prop::collection::vec(amount(), 0..6)
        ) {
            let one_by_one = amounts.iter().try_fold(ResourceVector::ZERO, |sum, amount| {
                sum.checked_add(amount)
            });
            prop_assert_eq!(checked(amounts.iter()), one_by_one);
            let most = amounts.iter().fold(ResourceVector::ZERO, |sum, amount| {
                sum.saturating_add(amount)
            });
            prop_assert_eq!(saturating(amounts.iter()), most);
        }
    }
}

use super::*;
use proptest::prelude::*;

fn any_vector() -> impl Strategy<Value = ResourceVector> {
    let amount = prop_oneof![Just(0), 0..1000_u64, any::<u64>()];
    prop::collection::vec(amount, DIMENSIONS).prop_map(|amounts| {
        let mut vector = ResourceVector::ZERO;
        vector.amounts.copy_from_slice(&amounts);
        vector
    })
}

#[test]
fn errors_name_the_dimension_and_the_numbers() {
    let small = ResourceVector::new().with_memory(Bytes::new(5));
    let large = ResourceVector::new().with_memory(Bytes::new(7));
    assert_eq!(small.checked_sub(&large).unwrap_err().to_string(), "memory: 5 - 7 is below zero");
    let most = ResourceVector::new().with_slots(Slots::MAX);
    let error = most.checked_add(&most).unwrap_err();
    assert!(error.to_string().starts_with("slots: "), "{error}");
}

#[test]
fn changes_in_place_are_exact_at_the_edges() {
    const TOP: u64 = 1 << 63;
    let edges = [0, 1, 2, TOP - 1, TOP, TOP + 1, u64::MAX - 1, u64::MAX];
    let last = DeviceIndex::new(15).unwrap();
    for dimension in [Dimension::Slots, Dimension::Accelerator(last)] {
        changes_in_place(&edges, |count| ResourceVector::new().with(dimension, count));
    }
}

fn changes_in_place(edges: &[u64], of: impl Fn(u64) -> ResourceVector) {
    for (own, other) in edges.iter().flat_map(|own| edges.iter().map(|other| (*own, *other))) {
        for limit in edges.iter().copied() {
            let sum = own.checked_add(other).filter(|sum| other == 0 || *sum <= limit);
            let mut grown = of(own);
            assert_eq!(grown.grow_within(&of(other), &of(limit)), sum.is_some());
            assert_eq!(grown, of(sum.unwrap_or(own)), "{own} + {other} within {limit}");
        }
        let rest = own.checked_sub(other);
        let mut shrunk = of(own);
        assert_eq!(shrunk.shrink_by(&of(other)), rest.is_some());
        assert_eq!(shrunk, of(rest.unwrap_or(own)), "{own} - {other}");
    }
}

#[test]
fn dominant_share_is_the_largest() {
    let whole = ResourceVector::new().with_cpu(Millicores::new(1000)).with_memory(Bytes::new(100));
    let part = ResourceVector::new().with_cpu(Millicores::new(250)).with_memory(Bytes::new(50));
    assert_eq!(part.dominant_share(&whole), Some((Dimension::Memory, Ratio::new(0.5).unwrap())));
    assert_eq!(ResourceVector::ZERO.dominant_share(&whole), None);
    let foreign = ResourceVector::new().with_slots(Slots::new(1));
    let (dimension, share) = foreign.dominant_share(&whole).unwrap();
    assert!(dimension == Dimension::Slots && share > Ratio::ONE);
}

#[test]
fn prints_only_what_is_there() {
    let device = DeviceIndex::new(1).unwrap();
    let vector = ResourceVector::new()
        .with_cpu(Millicores::new(500))
        .with_memory(Bytes::from_gib(2))
        .with_accelerator(device, Bytes::from_gib(8));
    assert_eq!(vector.to_string(), "0.5 cores, 2 GiB memory, 8 GiB accelerator 1");
    assert_eq!(ResourceVector::ZERO.to_string(), "nothing");
    assert!(DeviceIndex::new(16).unwrap_err().to_string().contains("0 to 15"));
}

#[test]
fn the_serialized_form_rejects_what_it_does_not_know() {
    let read = serde_json::from_str::<ResourceVector>;
    assert!(read(r#"{"gpu": 1}"#).is_err());
    assert!(read(r#"{"accelerators": {"16": 1}}"#).is_err());
    let vector = read(r#"{"cpu": "2", "accelerators": {"3": "1Gi"}}"#).unwrap();
    assert_eq!(vector.cpu(), Millicores::from_cores(2));
}

proptest! {
    #[test]
    fn what_is_added_can_be_taken_away(a in any_vector(), b in any_vector()) {
        match a.checked_add(&b) {
            Ok(sum) => {
                prop_assert_eq!(sum.checked_sub(&b), Ok(a));
                prop_assert!(a.fits_in(&sum) && b.fits_in(&sum));
            }
            Err(VectorError::Overflow { dimension, left, right }) => {
                prop_assert!(left.checked_add(right).is_none());
                prop_assert_eq!(left, a.get(dimension));
            }
            Err(error) => prop_assert!(false, "{}", error),
        }
    }

    #[test]
    fn changes_in_place_are_those_by_comparison(
        a in any_vector(), b in any_vector(), limit in any_vector(),
    ) {
        let room = limit.saturating_sub(&a);
        let sum = a.checked_add(&b).ok().filter(|_| b.fits_in(&room));
        let mut grown = a;
        prop_assert_eq!(grown.grow_within(&b, &limit), sum.is_some());
        prop_assert_eq!(grown, sum.unwrap_or(a));
        let mut shrunk = a;
        prop_assert_eq!(shrunk.shrink_by(&b), b.fits_in(&a));
        prop_assert_eq!(shrunk, a.checked_sub(&b).unwrap_or(a));
    }

    #[test]
    fn a_difference_exists_exactly_where_it_fits(a in any_vector(), b in any_vector()) {
        prop_assert_eq!(a.checked_sub(&b).is_ok(), b.fits_in(&a));
        prop_assert_eq!(b.first_exceeding(&a).is_none(), b.fits_in(&a));
    }

    #[test]
    fn the_serialized_form_is_the_whole_vector(a in any_vector()) {
        let json = serde_json::to_string(&a).unwrap();
        prop_assert_eq!(serde_json::from_str::<ResourceVector>(&json).unwrap(), a);
    }
}

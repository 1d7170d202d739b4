//! Lists, ghosts, and what a use moves.

use super::*;

fn keys(table: &Table<()>, list: ListId) -> Vec<u64> {
    table.places(list).map(|place| table.key(place)).collect()
}

fn filled() -> Table<()> {
    let mut table = Table::new(100);
    for key in 1..=4 {
        table.push_front(0, key, key as u32, 1, ());
    }
    table
}

#[test]
fn lists_keep_order_length_and_weight() {
    let mut table = filled();
    assert_eq!(keys(&table, 0), [4, 3, 2, 1]);
    let place = table.find(2).unwrap();
    table.move_to_front(0, place);
    assert_eq!(keys(&table, 0), [2, 4, 3, 1]);
    let place = table.find(4).unwrap();
    table.move_to_front(1, place);
    assert_eq!((keys(&table, 0), keys(&table, 1)), (vec![2, 3, 1], vec![4]));
    assert_eq!((table.list_weight(0), table.list_weight(1), table.list_len(0)), (6, 4, 3));
    assert_eq!(table.pop_back(0), Some(1));
    table.push_front(0, 7, 1, 1, ());
    assert_eq!(keys(&table, 0), [7, 2, 3]);
    assert!(table.find(1).is_none());
    assert_eq!((table.resident_len(), table.resident_weight()), (4, 10));
}

#[test]
fn the_last_of_a_list_becomes_its_first() {
    let mut table = filled();
    let before = |table: &Table<()>, key| {
        let place = table.find(key).and_then(|place| table.toward_front(place));
        place.map(|place| table.key(place))
    };
    for expected in [[1, 4, 3, 2], [2, 1, 4, 3]] {
        let last = table.back(0).unwrap();
        table.move_to_front(0, last);
        assert_eq!(keys(&table, 0), expected);
        assert_eq!((before(&table, expected[0]), before(&table, 4)), (None, Some(1)));
    }
    let last = table.back(0).unwrap();
    table.move_to_front(3, last);
    table.move_to_front(3, last);
    assert_eq!((keys(&table, 0), keys(&table, 3)), (vec![2, 1, 4], vec![3]));
    assert_eq!((table.pop_back(3), table.pop_back(3), table.list_len(3)), (Some(3), None, 0));
    table.push_front(3, 9, 1, 1, ());
    assert_eq!((keys(&table, 3), table.list_weight(3)), (vec![9], 1));
}

#[test]
fn ghosts_are_remembered_but_weigh_nothing() {
    let mut table = filled();
    let place = table.find(3).unwrap();
    table.evict_to(2, place);
    assert_eq!((table.resident_len(), table.resident_weight()), (3, 7));
    assert_eq!(table.payload(place), None);
    assert_eq!((keys(&table, 2), table.list_weight(2)), (vec![3], 3));
    assert_eq!(table.evicted.take(), (Some(()), vec![]));
    let (entries, ghosts) = table.take_lists();
    let keys = |places: &[Place]| places.iter().map(|at| table.key(*at)).collect::<Vec<_>>();
    assert_eq!((keys(&entries), keys(&ghosts)), (vec![1, 2, 4], vec![3]));
}

#[test]
fn a_use_near_the_front_moves_nothing() {
    let mut table = Table::new(1000);
    for key in 0..160 {
        table.tick();
        table.push_front(0, key, 1, 1, ());
    }
    table.tick();
    table.refresh(0, table.find(155).unwrap());
    assert_eq!(keys(&table, 0)[0], 159);
    table.refresh(0, table.find(100).unwrap());
    assert_eq!(keys(&table, 0)[0], 100);
}

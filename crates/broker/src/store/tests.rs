use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;
use plimsoll_core_types::{ConsumerId, Priority, ResourceVector, TenantId};

use super::disk::Batch;
use super::*;

fn given(id: &str) -> Given {
    Given {
        id: id.to_owned(),
        name: ConsumerId::new("job").unwrap(),
        tenant: TenantId::DEFAULT,
        priority: Priority::Normal,
        amount: ResourceVector::ZERO,
        ttl: Duration::from_mins(1),
        process: None,
    }
}

/// A disk that holds what it is given, and may be full or slow.
#[derive(Clone, Debug, Default)]
struct Fake {
    held: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    full: Arc<AtomicBool>,
    writes: Arc<AtomicUsize>,
    /// While true, nothing comes back from it.
    slow: Arc<AtomicBool>,
}

impl Disk for Fake {
    fn write(&mut self, batch: &Batch) -> Result<(), String> {
        while self.slow.load(Ordering::SeqCst) {
            std::thread::yield_now();
        }
        self.writes.fetch_add(1, Ordering::SeqCst);
        if self.full.load(Ordering::SeqCst) {
            return Err("no space left on device".to_owned());
        }
        let mut held = self.held.lock();
        for ((_, key), value) in batch {
            match value {
                Some(value) => drop(held.insert(key.clone(), value.clone())),
                None => drop(held.remove(key)),
            }
        }
        Ok(())
    }
}

#[tokio::test]
async fn what_is_kept_is_there_after_a_restart_and_nobody_else_may_open_it() {
    let folder = tempfile::tempdir().unwrap();
    let (store, kept) = Store::open(folder.path()).unwrap();
    assert!(kept.leases.is_empty());
    assert!(store.keep_lease(&given("a")).await);
    assert!(store.keep_lease(&given("b")).await);
    assert!(store.forget_lease("a").await);
    store.keep_load("m", Duration::from_millis(1500));
    let error = Store::open(folder.path()).unwrap_err();
    assert!(error.to_string().contains("another broker"), "{error}");
    drop(store);
    let (_store, kept) = Store::open(folder.path()).unwrap();
    assert_eq!(kept.leases, [given("b")]);
    assert_eq!(kept.loads["m"], Duration::from_millis(1500));
}

#[tokio::test]
async fn what_comes_while_the_disk_works_is_written_at_once_with_all_the_rest() {
    let disk = Fake::default();
    disk.slow.store(true, Ordering::SeqCst);
    let store = Arc::new(Store::over(Box::new(disk.clone())).unwrap());
    let mut waiting = tokio::task::JoinSet::new();
    for number in 0..500 {
        let store = Arc::clone(&store);
        waiting.spawn(async move { store.keep_lease(&given(&number.to_string())).await });
    }
    for _ in 0..1000 {
        tokio::task::yield_now().await;
    }
    assert!(disk.held.lock().is_empty(), "nobody is told before it is written");
    assert_eq!(waiting.try_join_next().map(Result::unwrap), None);
    disk.slow.store(false, Ordering::SeqCst);
    while let Some(durable) = waiting.join_next().await {
        assert!(durable.unwrap());
    }
    assert_eq!(disk.held.lock().len(), 500);
    let writes = disk.writes.load(Ordering::SeqCst);
    assert!(writes <= 2, "{writes} writes for 500 leases");
}

#[tokio::test]
async fn a_full_disk_is_told_and_what_it_refused_is_written_when_there_is_room() {
    let disk = Fake::default();
    let store = Store::over(Box::new(disk.clone())).unwrap();
    assert!(store.keep_lease(&given("before")).await);
    disk.full.store(true, Ordering::SeqCst);
    assert!(!store.keep_lease(&given("during")).await, "it is not certain, and said so");
    assert!(!store.forget_lease("before").await);
    assert!(store.trouble().unwrap().contains("no space left"));
    disk.full.store(false, Ordering::SeqCst);
    assert!(store.keep_lease(&given("after")).await);
    assert_eq!(store.trouble(), None);
    let keys: Vec<_> = disk.held.lock().keys().cloned().collect();
    assert_eq!(keys, ["after", "during"]);
}

#[tokio::test]
async fn what_nobody_waits_for_is_written_before_the_end() {
    let disk = Fake::default();
    let store = Store::over(Box::new(disk.clone())).unwrap();
    for number in 0..100 {
        store.keep_load(&number.to_string(), Duration::from_secs(number));
    }
    drop(store);
    assert_eq!(disk.held.lock().len(), 100);
}

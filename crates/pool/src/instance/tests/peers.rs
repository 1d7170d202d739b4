//! Defects that were found in other pools, each under the name of the pool that had it.

use super::*;

/// deadpool 0.13: after `new(10); resize(3)`, before anything was made, ten could be had. (The
/// other half, growth while ten are out, is in
/// [`a_shrink_and_growth_while_all_are_out_never_passes_the_line`](super).)
#[tokio::test]
async fn deadpool_hands_out_more_than_its_size_after_a_shrink() {
    let pool = pool(10);
    pool.resize(3);
    let mut held = Vec::new();
    while let Ok(got) = tokio::time::timeout(Duration::from_millis(1), pool.get()).await {
        held.push(got.unwrap());
    }
    assert_eq!(held.len(), 3);
    assert_eq!(pool.manager().most_alive.load(Ordering::SeqCst), 3);
}

/// deadpool 0.13: with ten out, `resize(3); resize(10)` ended at seventeen objects.
#[tokio::test]
async fn deadpool_makes_objects_for_a_debt_that_is_still_out() {
    let pool = pool(10);
    let mut held = Vec::new();
    for _ in 0..10 {
        held.push(pool.get().await.unwrap());
    }
    for (size, debt) in [(3, 7), (10, 0), (3, 7), (20, -10), (10, 0)] {
        pool.resize(size);
        assert_eq!(pool.status().debt(), debt);
    }
    held.clear();
    for _ in 0..10 {
        held.push(pool.get().await.unwrap());
    }
    assert!(pool.try_get().is_none());
    assert_eq!(pool.manager().made.load(Ordering::SeqCst), 10);
    assert_eq!(pool.manager().most_alive.load(Ordering::SeqCst), 10);
}

/// mobc 0.9: `set_max_open_conns` never touched what lets requests through, so that growth let
/// nobody in and a shrink kept nobody out.
#[tokio::test]
async fn mobc_does_not_let_in_as_many_as_it_was_resized_to() {
    let pool = pool(2);
    let held = [pool.get().await.unwrap(), pool.get().await.unwrap()];
    let third = queued(&pool).await;
    pool.resize(4);
    let third = third.await.unwrap().unwrap();
    let fourth = pool.get().await.unwrap();
    pool.resize(1);
    drop((held, third, fourth));
    let only = pool.get().await.unwrap();
    assert!(pool.try_get().is_none());
    assert_eq!(pool.status().size, 1);
    drop(only);
}

/// bb8 0.9: what came back was up for grabs, and whoever had just given one back won.
#[tokio::test]
async fn bb8_lets_the_borrower_barge_past_those_who_wait() {
    let pool = pool(1);
    let mut turns = Vec::new();
    let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
    for task in 0..4 {
        let (pool, tell) = (pool.clone(), tell.clone());
        tokio::spawn(async move {
            for _ in 0..50 {
                let held = pool.get().await.unwrap();
                tell.send(task).unwrap();
                tokio::task::yield_now().await;
                drop(held);
            }
        });
    }
    drop(tell);
    while let Some(task) = told.recv().await {
        turns.push(task);
    }
    let longest = turns.windows(2).filter(|pair| pair[0] == pair[1]).count();
    assert_eq!(longest, 0, "nobody had two turns in a row: {turns:?}");
}

/// bb8 0.9: about 38 panics in create and recycle took ten of sixteen places away for good.
#[tokio::test]
async fn bb8_loses_places_to_panics() {
    let pool = pool(16);
    for _ in 0..40 {
        pool.manager().panic.store(1, Ordering::SeqCst);
        assert_eq!(pool.get().await.unwrap_err(), GetError::CreateBroken);
        drop(pool.get().await.unwrap());
        pool.manager().recycle_panic.store(1, Ordering::SeqCst);
        let asking = pool.clone();
        assert!(tokio::spawn(async move { asking.get().await.map(drop) }).await.is_err());
    }
    let mut held = Vec::new();
    for _ in 0..16 {
        held.push(pool.get().await.unwrap());
    }
    assert_eq!(pool.status().size, 16);
    assert!(pool.try_get().is_none());
}

/// qp: a wake-up that went to a request that had just gone away was lost, and the others waited
/// for ever.
#[tokio::test]
async fn qp_loses_the_wake_up_of_one_that_went_away() {
    let pool = pool(1);
    for _ in 0..100 {
        let held = pool.get().await.unwrap();
        let gone = queued(&pool).await;
        let left = queued(&pool).await;
        // The object is the first one's, which never looks.
        drop(held);
        gone.abort();
        drop(left.await.unwrap().unwrap());
        assert!(gone.await.unwrap_err().is_cancelled());
    }
    assert_eq!((pool.status().idle, pool.status().waiting), (1, 0));
}

/// qp, the same for the right to make one: the object is discarded, and who is woken to have
/// another one made goes away.
#[tokio::test]
async fn qp_loses_the_right_to_make_one_with_who_went_away() {
    let pool = pool(1);
    for _ in 0..100 {
        let held = pool.get().await.unwrap();
        let gone = queued(&pool).await;
        let left = queued(&pool).await;
        held.discard();
        gone.abort();
        drop(left.await.unwrap().unwrap());
    }
    assert_eq!(pool.status().waiting, 0);
}

/// fastpool 1.1 and bb8 0.9: with no hold time, two of 64 tasks took both workers, since a loan
/// took nothing of the task's cooperative budget.
#[test]
fn fastpool_lets_a_task_that_never_waits_keep_its_worker() {
    // Tasks that have used up their budget are queued again in reverse, one batch at a time, and
    // 61 of 64 in a batch would leave the same six out every other time: 0.977 at best.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.event_interval(1).build().unwrap();
    let counts: Arc<[AtomicUsize; 64]> = Arc::new(std::array::from_fn(|_| AtomicUsize::new(0)));
    runtime.block_on(async {
        let pool = pool(8);
        drop(pool.get().await.unwrap());
        for task in 0..64 {
            let (pool, counts) = (pool.clone(), Arc::clone(&counts));
            tokio::spawn(async move {
                loop {
                    drop(pool.get().await.unwrap());
                    counts[task].fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let lent = || counts.iter().map(|count| count.load(Ordering::Relaxed)).sum::<usize>();
        while lent() < 500_000 {
            tokio::task::yield_now().await;
        }
    });
    let counts: Vec<f64> =
        counts.iter().map(|count| count.load(Ordering::Relaxed) as f64).collect();
    let (sum, squares) = (counts.iter().sum::<f64>(), counts.iter().map(|c| c * c).sum::<f64>());
    let jain = sum * sum / (counts.len() as f64 * squares);
    // Two of 64 is 0.03.
    assert!(jain >= 0.99, "{jain}: {counts:?}");
}

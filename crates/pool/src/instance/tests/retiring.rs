//! What becomes of a place whose object has retired.

use std::sync::Mutex;

use super::*;

/// Asks for an object while another one is on its way out.
#[derive(Default)]
struct Asks {
    pool: Mutex<Option<Pool<Objects>>>,
    /// What was being made at that moment.
    creating: Mutex<Vec<usize>>,
}

impl Hooks<Object> for Arc<Asks> {
    fn on_retire(&self, _: &mut Object, _: Retired) {
        let pool = self.pool.lock().unwrap();
        let Some(pool) = &*pool else { return };
        let mut asks = std::pin::pin!(pool.get());
        let context = &mut std::task::Context::from_waker(std::task::Waker::noop());
        assert!(asks.as_mut().poll(context).is_pending());
        self.creating.lock().unwrap().push(pool.status().creating);
    }
}

#[tokio::test]
async fn none_is_made_in_place_of_one_that_is_not_gone() {
    let asks = Arc::new(Asks::default());
    let builder = Pool::builder(Objects::default(), PoolConfig::new(1));
    let pool = builder.hooks(Arc::clone(&asks)).build().unwrap();
    let held = pool.get().await.unwrap();
    *asks.pool.lock().unwrap() = Some(pool.clone());
    held.discard();
    assert_eq!(*asks.creating.lock().unwrap(), [0], "two would exist at once");
    // Now it is gone.
    drop(pool.get().await.unwrap());
    assert_eq!(pool.status().counts.created, 2);
    *asks.pool.lock().unwrap() = None;
}

//! Hooks see each step of an object's life.

use std::sync::Mutex;

use super::*;

#[derive(Debug, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }
}

impl Hooks<Object> for Log {
    fn before_create(&self) {
        self.say("before create");
    }
    fn after_create(&self, object: &mut Object) {
        self.say(format!("after create {}", object.0));
    }
    fn before_recycle(&self, object: &mut Object) {
        self.say(format!("before recycle {}", object.0));
    }
    fn on_checkout(&self, object: &mut Object) {
        self.say(format!("checkout {}", object.0));
    }
    fn on_return(&self, object: &mut Object) {
        self.say(format!("return {}", object.0));
    }
    fn on_retire(&self, object: &mut Object, why: Retired) {
        self.say(format!("retire {}: {why:?}", object.0));
    }
}

#[tokio::test]
async fn hooks_see_every_step() {
    let log = Log::default();
    let said = Arc::clone(&log.0);
    let pool = Pool::builder(Objects::default(), PoolConfig::new(1)).hooks(log).build().unwrap();
    drop(pool.get().await.unwrap());
    pool.get().await.unwrap().discard();
    drop(pool.get().await.unwrap());
    pool.close();
    let said = said.lock().unwrap().clone();
    let made = |n| [format!("after create {n}"), format!("checkout {n}")];
    let expected = [
        vec!["before create".to_owned()],
        made(0).to_vec(),
        vec!["return 0".into(), "before recycle 0".into(), "checkout 0".into()],
        vec!["retire 0: Unfit".into(), "before create".into()],
        made(1).to_vec(),
        vec!["return 1".into(), "retire 1: Surplus".into()],
    ]
    .concat();
    assert_eq!(said, expected);
}

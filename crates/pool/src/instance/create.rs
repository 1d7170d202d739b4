//! The making of objects, in tasks of their own.

use std::sync::Arc;

use super::wait::Within;
use super::{GetError, Manager, Shared};

/// The right to make an object, held while it is made. Dropping it hands the right back, and tells
/// whoever is next in line why it got none.
struct Making<M: Manager> {
    shared: Arc<Shared<M>>,
    /// In place of an old one, and not for whoever waits.
    replaces: bool,
    /// What there is to tell; none once the object is made.
    failure: Option<Box<GetError<M::Error>>>,
    /// An attempt has begun, and its end has not been counted.
    under_way: bool,
}

impl<M: Manager> Shared<M> {
    /// Has `count` objects made for whoever waits, for which the core has made room.
    pub(super) fn spawn_creations(self: &Arc<Self>, count: usize) {
        for _ in 0..count {
            self.spawn_creation(false);
        }
    }

    /// Has an object made for which the core has made room.
    pub(super) fn spawn_creation(self: &Arc<Self>, replaces: bool) {
        let failure = Some(Box::new(GetError::CreateBroken));
        let making = Making { shared: Arc::clone(self), replaces, failure, under_way: false };
        tokio::spawn(making.run());
    }
}

impl<M: Manager> Making<M> {
    /// Tries until it is made, or has been tried as often as the config says.
    async fn run(mut self) {
        let retry = self.shared.config.retry;
        for attempt in 1..=retry.attempts {
            let Some(failure) = self.attempt().await else { return };
            self.failure = Some(Box::new(failure));
            if attempt < retry.attempts {
                let pause = self.shared.jitter.up_to(retry.ceiling(attempt));
                tokio::time::sleep(pause).await;
            }
        }
    }

    /// Makes the object and puts it into the pool; none where that worked.
    async fn attempt(&mut self) -> Option<GetError<M::Error>> {
        self.under_way = true;
        if let Some(hooks) = &self.shared.hooks {
            hooks.before_create();
        }
        let (begun, limit) = (self.shared.now(), self.shared.config.create_within);
        let made = Within::new(self.shared.manager.create(), limit).await;
        let failure = match made {
            Some(Ok(object)) => {
                self.made(object, begun);
                return None;
            }
            Some(Err(error)) => GetError::Create(error),
            None => GetError::CreateTimedOut { within: limit.unwrap_or_default() },
        };
        self.under_way = false;
        self.shared.core.note_create_failure();
        Some(failure)
    }

    fn made(&mut self, mut object: M::Object, begun: plimsoll_core_types::Timestamp) {
        let shared = Arc::clone(&self.shared);
        if let Some(hooks) = &shared.hooks {
            hooks.after_create(&mut object);
        }
        let now = shared.now();
        shared.sense.lock().note_create(now.saturating_since(begun));
        let expires = shared.expires(now);
        (self.under_way, self.failure) = (false, None);
        let anchor = Arc::clone(&shared);
        let after = shared.core.created(object, expires, self.replaces, anchor, || now);
        shared.finish(after);
    }
}

impl<M: Manager> Drop for Making<M> {
    fn drop(&mut self) {
        let Some(failure) = self.failure.take() else { return };
        if self.under_way {
            self.shared.core.note_create_failure();
        }
        let told = (!self.replaces).then_some(failure);
        let after = self.shared.core.not_created(told, self.replaces, || self.shared.now());
        self.shared.finish(after);
    }
}

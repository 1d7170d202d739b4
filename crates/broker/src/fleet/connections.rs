//! Warm connections to an engine: as many as it has slots, each lent to one request at a time.

use std::sync::Arc;

use plimsoll_pool::{Manager, Pool, PoolConfig};

use crate::http::{CallError, Connection, Target};

/// Connections to one engine. Whoever has one has a slot of the engine.
pub(crate) type ConnectionPool = Pool<Connections>;

/// Opens connections, and keeps those that can still be used.
#[derive(Debug)]
pub(crate) struct Connections {
    target: Arc<Target>,
}

/// The error of a connection that the engine has closed while nobody used it.
fn closed(target: &Target) -> CallError {
    let address = target.address;
    CallError::Broken { address, cause: "it closed an idle connection".to_owned() }
}

impl Manager for Connections {
    type Object = Connection;
    type Error = CallError;

    async fn create(&self) -> Result<Connection, CallError> {
        Connection::open(&self.target).await
    }

    async fn recycle(&self, connection: &mut Connection) -> Result<(), CallError> {
        if connection.is_open() { Ok(()) } else { Err(closed(&self.target)) }
    }

    fn keep(&self, connection: &mut Connection) -> bool {
        connection.is_open()
    }
}

/// A pool of `slots` connections (at least one) to `target`, none of them open yet.
pub(super) fn connection_pool(target: &Arc<Target>, slots: usize) -> ConnectionPool {
    Pool::new(Connections { target: Arc::clone(target) }, PoolConfig::new(slots.max(1)))
        .expect("a pool of at least one is well formed")
}

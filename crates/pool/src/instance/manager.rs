//! Who makes the objects.

use std::fmt;

/// Makes objects for a [`Pool`](super::Pool), and says whether they can be used again.
pub trait Manager: Send + Sync + 'static {
    /// What is pooled.
    type Object: Send + 'static;
    /// Why none can be made, or one can't be used again.
    type Error: fmt::Display + Send + 'static;

    /// Makes an object. Runs in a task of its own, which goes on when whoever asked goes away.
    ///
    /// # Errors
    ///
    /// When it can't. Whoever is next in line is told, unless the config says to try again.
    fn create(&self) -> impl Future<Output = Result<Self::Object, Self::Error>> + Send;

    /// Says whether an idle object can be lent again, and makes it so. By default it can.
    ///
    /// The future becomes part of that of [`Pool::get`](super::Pool::get): a large one makes that
    /// large.
    ///
    /// # Errors
    ///
    /// When it can't; it is retired, and another one is lent or made.
    fn recycle(
        &self,
        object: &mut Self::Object,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send {
        let _ = object;
        async { Ok(()) }
    }

    /// Says at once whether an object that comes back is worth keeping. Called in `Drop`: it must
    /// not block. By default it is.
    fn keep(&self, object: &mut Self::Object) -> bool {
        let _ = object;
        true
    }
}

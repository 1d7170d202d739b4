//! Names and numbers of things.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// The longest name, in bytes.
const LONGEST: usize = 128;

/// Why a text can't be a name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// It has no characters.
    #[error("{what} is empty; it must have 1 to {LONGEST} bytes")]
    Empty {
        /// Which name.
        what: &'static str,
    },
    /// It is longer than 128 bytes.
    #[error("{what} has {bytes} bytes; it must have 1 to {LONGEST}")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// How long it is.
        bytes: usize,
    },
    /// It holds a control character, which would garble logs and tables.
    #[error("{what} {name:?} holds a control character; printable characters only")]
    Control {
        /// Which name.
        what: &'static str,
        /// The name.
        name: String,
    },
}

/// A shared text; the well-known ones are static, so that cloning them touches no shared line.
#[derive(Clone)]
enum Text {
    Static(&'static str),
    Shared(Arc<str>),
}

impl Text {
    fn as_str(&self) -> &str {
        match self {
            Self::Static(text) => text,
            Self::Shared(text) => text,
        }
    }
}

fn checked(what: &'static str, name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        Err(NameError::Empty { what })
    } else if name.len() > LONGEST {
        Err(NameError::TooLong { what, bytes: name.len() })
    } else if name.chars().any(char::is_control) {
        Err(NameError::Control { what, name: name.to_owned() })
    } else {
        Ok(())
    }
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        ///
        /// 1 to 128 bytes of printable text. Cloning is cheap.
        #[derive(Clone, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Text);

        impl $name {
            /// The name `name`.
            ///
            /// # Errors
            ///
            /// When it is empty, longer than 128 bytes, or holds a control character.
            pub fn new(name: &str) -> Result<Self, NameError> {
                checked($what, name)?;
                Ok(Self(Text::Shared(Arc::from(name))))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                self.0.as_str()
            }
        }

        impl FromStr for $name {
            type Err = NameError;

            fn from_str(name: &str) -> Result<Self, Self::Err> {
                Self::new(name)
            }
        }

        impl TryFrom<String> for $name {
            type Error = NameError;

            fn try_from(name: String) -> Result<Self, Self::Error> {
                Self::new(&name)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.as_str().to_owned()
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq for $name {
            fn eq(&self, other: &Self) -> bool {
                // Clones share their text, which then need not be read.
                std::ptr::eq(self.as_str(), other.as_str()) || self.as_str() == other.as_str()
            }
        }

        impl Eq for $name {}

        impl PartialOrd for $name {
            fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
                Some(self.cmp(other))
            }
        }

        impl Ord for $name {
            fn cmp(&self, other: &Self) -> std::cmp::Ordering {
                self.as_str().cmp(other.as_str())
            }
        }

        impl std::hash::Hash for $name {
            fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
                self.as_str().hash(state);
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_str().fmt(f)
            }
        }
    };
}

name! {
    /// A model that requests can ask for, whether it is loaded or not.
    ModelId, "model name"
}

name! {
    /// Whoever consumes resources: a model's engine, a cache, a job, a program of somebody else's.
    ConsumerId, "consumer name"
}

name! {
    /// On whose behalf: the unit of fairness and quota.
    TenantId, "tenant name"
}

name! {
    /// A cache among several.
    CacheId, "cache name"
}

impl TenantId {
    /// The tenant of whoever names none.
    pub const DEFAULT: Self = Self(Text::Static("default"));
}

impl TenantId {
    /// Whether it is the tenant of whoever names none.
    #[inline]
    pub fn is_default(&self) -> bool {
        // The only static name is the default one.
        matches!(self.0, Text::Static(_)) || *self == Self::DEFAULT
    }
}

impl Default for TenantId {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl From<&ModelId> for ConsumerId {
    fn from(model: &ModelId) -> Self {
        Self(model.0.clone())
    }
}

impl From<&CacheId> for ConsumerId {
    fn from(cache: &CacheId) -> Self {
        Self(cache.0.clone())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        pub struct $name(u64);

        impl $name {
            /// Number `number`.
            pub const fn new(number: u64) -> Self {
                Self(number)
            }

            /// The number.
            pub const fn get(self) -> u64 {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&format!(concat!($prefix, "{}"), self.0))
            }
        }
    };
}

number! {
    /// A lease that a pool has granted; never used twice by one pool.
    LeaseId, "lease-"
}

number! {
    /// A place in a pool's line of waiters; never used twice by one pool.
    TicketId, "ticket-"
}

number! {
    /// One of the engines that serve a model, or one backend of a balancer.
    ReplicaId, "replica-"
}

number! {
    /// A worker thread, or a shard of work.
    WorkerId, "worker-"
}

number! {
    /// A unit of work that CPU time is accounted to.
    TaskId, "task-"
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn names_are_checked() {
        let check = |name: &str, expected: &str| {
            assert_eq!(ModelId::new(name).unwrap_err().to_string(), expected);
        };
        check("", "model name is empty; it must have 1 to 128 bytes");
        check(&"x".repeat(129), "model name has 129 bytes; it must have 1 to 128");
        check("a\nb", "model name \"a\\nb\" holds a control character; printable characters only");
        assert!(serde_json::from_str::<ModelId>("\"\"").is_err());
    }

    #[test]
    fn static_and_shared_names_are_equal() {
        let shared = TenantId::new("default").unwrap();
        assert_eq!(shared, TenantId::DEFAULT);
        let map = HashMap::from([(TenantId::DEFAULT, 1)]);
        assert_eq!(map.get(&shared), Some(&1));
        assert_eq!(map.get("default"), Some(&1));
        assert!(shared.is_default() && TenantId::DEFAULT.is_default());
        assert!(!TenantId::new("other").unwrap().is_default());
    }
}

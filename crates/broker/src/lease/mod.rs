//! Leases for other programs: anybody on this host can take a part of its memory and CPU.

pub(crate) mod alive;
pub(crate) mod api;
mod ask;
mod book;
pub(crate) mod list;

pub(crate) use book::{Book, BookError, Given, Taken};

//! A broker under what nobody would do to it on purpose: killed again and again, and worked for
//! long. It is looked at from outside, through `/proc` and what it answers.

#![cfg(target_os = "linux")]

#[path = "../common/mod.rs"]
#[expect(dead_code, reason = "shared with the integration tests, which use all of it")]
mod common;
mod kill9;
mod outside;
mod soak;

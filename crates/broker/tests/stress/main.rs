//! A broker under what nobody would do to it on purpose: killed again and again, and worked for
//! long. It is looked at from outside, through `/proc` and what it answers.

#![cfg(target_os = "linux")]

mod kill9;
mod outside;
mod soak;

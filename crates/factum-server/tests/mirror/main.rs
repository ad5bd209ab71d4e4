//! `factum mirror` between two servers: everything that was committed is there, once, at its
//! offset, whatever is killed meanwhile; and comparing finds what is not equal.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(clippy::cast_possible_truncation, reason = "numbers of a test are small")]
#![allow(clippy::cast_possible_wrap, reason = "numbers of a test are small")]
#![allow(clippy::cast_sign_loss, reason = "numbers of a test are not negative")]
#![allow(clippy::print_stdout, reason = "a seed is for who reads the test")]
#![allow(unreachable_pub, reason = "`pub` marks what a module of the test offers")]

#[path = "../common/mod.rs"]
mod common;

mod compare;
mod copy;
mod follow;
mod kill;
mod world;

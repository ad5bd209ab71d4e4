//! Tests of the log through its public interface: on the real disk and on the simulated one.

#![expect(clippy::unwrap_used, reason = "a test may fail where it stands")]

mod damage;
mod exhaustive;
mod real_disk;
mod regions;
mod retention;
mod sample;

mod stalls;
mod stepped;
mod support;
mod threads;
mod verify;
mod verify_segments;
mod waiting;

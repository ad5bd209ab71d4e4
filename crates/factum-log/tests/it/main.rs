//! Tests of the log through its public interface: on the real disk and on the simulated one.

mod damage;
mod real_disk;
mod simulation;
mod support;
mod waiting;

//! What the tests of the binary share: the server as a process, and a client that speaks the
//! protocol by hand.

#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod certificates;
pub mod client;
pub mod login;
pub mod server;
pub mod work;

use std::time::Duration;

/// How long an event that must come may take before a test fails.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// A sequence of numbers that a seed rules (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The dice of the environment variable `FACTUM_SEED`, or of a fresh seed; both are printed.
    pub fn from_environment(test: &str) -> Self {
        let given = std::env::var("FACTUM_SEED").ok();
        let given = given.map(|seed| seed.parse().expect("FACTUM_SEED is a number"));
        let seed = given.unwrap_or_else(|| uuid::Uuid::now_v7().as_u64_pair().1);
        println!("{test}: FACTUM_SEED={seed}");
        Self::new(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit
    }

    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.roll().to_be_bytes()[0]).collect()
    }
}

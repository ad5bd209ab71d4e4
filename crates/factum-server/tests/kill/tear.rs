//! Torn ends of the journal, made and counted.

use std::path::PathBuf;

use crate::common::Dice;
use crate::common::server::{Home, Server};

const PAGE: usize = 4096;

/// Leaves behind the last journal's end what a crash of the machine may leave there: a group of
/// which only a part was written. A killed process alone seldom does, because the page cache
/// outlives it.
pub fn tear(home: &Home, dice: &mut Dice) {
    let journal = last_journal(home);
    let mut bytes = std::fs::read(&journal).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    bytes.truncate(end.next_multiple_of(PAGE));
    bytes.resize(end.next_multiple_of(PAGE), 0);
    let length = 1 + dice.below(3000) as usize;
    bytes.extend(dice.bytes(length).into_iter().map(|byte| byte | 1));
    std::fs::write(&journal, bytes).unwrap();
}

fn last_journal(home: &Home) -> PathBuf {
    let journals = std::fs::read_dir(home.data().join("journal")).unwrap();
    let journals = journals.map(|entry| entry.unwrap().path());
    let journals = journals.filter(|path| path.extension().is_some_and(|end| end == "journal"));
    journals.max().expect("there is a journal")
}

/// Tails that recovery cut off, and their bytes.
#[derive(Default)]
pub struct Torn {
    pub tails: u64,
    pub bytes: u64,
}

impl Torn {
    /// Whether this life began with cutting off a tail.
    pub fn note(&mut self, server: &Server) -> bool {
        let Some(bytes) = server.recovery["truncated"]["bytes"].as_u64() else { return false };
        self.tails += 1;
        self.bytes += bytes;
        true
    }
}

//! What has happened: a digest of all of it, and the last of it in words.

use std::collections::VecDeque;

use factum_event::batch::crc32c;
use factum_log::disk::sim::Random;

/// How much of it is kept in words.
const KEPT_LINES: usize = 60;

#[derive(Debug, Default)]
pub(crate) struct History {
    digest: u64,
    last: VecDeque<String>,
}

impl History {
    /// Takes what has happened next.
    pub(crate) fn note(&mut self, line: String) {
        self.mix(u64::from(crc32c(line.as_bytes())));
        if self.last.len() == KEPT_LINES {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }

    /// Takes a number that stands for something that has happened.
    pub(crate) fn mix(&mut self, number: u64) {
        self.digest = Random::new(self.digest ^ number).next();
    }

    pub(crate) const fn digest(&self) -> u64 {
        self.digest
    }

    /// The last lines, the oldest first.
    pub(crate) fn into_last(self) -> Vec<String> {
        self.last.into()
    }
}

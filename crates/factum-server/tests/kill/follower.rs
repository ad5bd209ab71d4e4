//! Readers that follow a whole topic through all lives and remember what they have seen: none of
//! it may go or change, and no offset may come again with other content.

use std::io;
use std::ops::Range;

use factum_event::batch::BatchRecord;

use super::reading::{fetch_many, fingerprint, read_ranges, read_whole};
use super::world::{Actor, Life, Tally, World};
use crate::common::Dice;
use crate::common::client::Client;

/// Records before the end of each partition that are read again in each life.
const READ_AGAIN: i64 = 5;
/// Records of one partition, from anywhere, that are read again in each life.
const READ_AGAIN_ANYWHERE: i64 = 300;
/// Most partitions of one fetch.
const AT_ONCE: usize = 100;
/// How long a fetch waits for records, in milliseconds.
const WAIT_MS: i32 = 50;

/// Follows one topic.
pub struct Follower {
    topic: &'static str,
    /// What was at each offset of each partition.
    seen: Vec<Vec<u64>>,
    dice: Dice,
}

impl Follower {
    pub fn new(topic: &'static str, partitions: i32, dice: Dice) -> Self {
        Self { topic, seen: vec![Vec::new(); partitions as usize], dice }
    }

    /// Reads some of what was seen in lives before this one again.
    fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let newest = |(partition, seen): (i32, &Vec<u64>)| {
            let end = seen.len() as i64;
            (partition, (end - READ_AGAIN).max(0)..end)
        };
        self.compare(client, (0..).zip(&self.seen).map(newest).collect())?;
        let chosen = self.dice.below(self.seen.len() as u64) as usize;
        let end = self.seen[chosen].len() as i64;
        let from = self.dice.below(end.unsigned_abs() + 1) as i64;
        let anywhere = from..(from + READ_AGAIN_ANYWHERE).min(end);
        self.compare(client, vec![(chosen as i32, anywhere)])
    }

    fn compare(&self, client: &mut Client, ranges: Vec<(i32, Range<i64>)>) -> io::Result<()> {
        read_ranges(client, self.topic, ranges, |partition, record| {
            let seen = self.seen[partition as usize][record.offset.get() as usize];
            self.assert_same(partition, record, seen);
        })
    }

    fn assert_same(&self, partition: i32, record: &BatchRecord, seen: u64) {
        let place = format!("{}-{partition} at {}", self.topic, record.offset.get());
        assert_eq!(fingerprint(&record.record), seen, "{place}: another record was there");
    }

    fn follow(&mut self, client: &mut Client, some: Range<usize>) -> io::Result<()> {
        let asked = some.map(|partition| (partition as i32, self.seen[partition].len() as i64));
        let asked: Vec<_> = asked.collect();
        for found in fetch_many(client, self.topic, &asked, WAIT_MS)? {
            let seen = &mut self.seen[found.partition as usize];
            for record in found.records {
                let place = format!("{}-{}: the next offset", self.topic, found.partition);
                assert_eq!(record.offset.get(), seen.len() as i64, "{place}");
                seen.push(fingerprint(&record.record));
            }
        }
        Ok(())
    }
}

impl Actor for Follower {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.verify(client)?;
        loop {
            for first in (0..self.seen.len()).step_by(AT_ONCE) {
                if world.is_over() {
                    return Ok(());
                }
                self.follow(client, first..(first + AT_ONCE).min(self.seen.len()))?;
            }
        }
    }

    fn check(&mut self, life: &Life) -> Tally {
        let client = &mut life.connect().unwrap();
        let mut found = 0;
        read_whole(client, self.topic, 0..self.seen.len() as i32, |partition, record| {
            let seen = &self.seen[partition as usize];
            if let Some(seen) = seen.get(record.offset.get() as usize) {
                self.assert_same(partition, record, *seen);
                found += 1;
            }
        });
        let acknowledged = self.seen.iter().map(|seen| seen.len() as u64).sum();
        assert_eq!(found, acknowledged, "{}: found, seen before", self.topic);
        let what = format!("records of {} that a reader saw, unchanged", self.topic);
        Tally { what, acknowledged, found }
    }
}

//! What was acknowledged to a writer that is not idempotent: each record is there at least once,
//! at the offset that the acknowledgement said, and the writer's records first come in order.

use std::collections::BTreeSet;
use std::io;

use super::reading::{read_ranges, read_whole, writer_of};
use super::world::Tally;
use crate::common::client::Client;

/// The acknowledgements of one writer, by partition.
pub struct Ledger {
    topic: &'static str,
    writer: u64,
    partitions: Vec<OfPartition>,
}

#[derive(Clone, Default)]
struct OfPartition {
    /// Offset and number of each acknowledged record, both growing.
    acknowledged: Vec<(i64, i64)>,
    /// How many of them were read back in a life after the one that acknowledged them.
    verified: usize,
}

impl Ledger {
    pub fn new(topic: &'static str, writer: u64, partitions: i32) -> Self {
        Self { topic, writer, partitions: vec![OfPartition::default(); partitions as usize] }
    }

    /// A record was acknowledged.
    pub fn note(&mut self, partition: i32, offset: i64, number: i64) {
        let of = &mut self.partitions[partition as usize].acknowledged;
        let last = of.last().copied().unwrap_or((-1, -1));
        let place = format!("{}-{partition}: {number} at {offset} after {last:?}", self.topic);
        assert!(offset > last.0 && number > last.1, "{place}: acknowledged out of order");
        of.push((offset, number));
    }

    /// Reads back what lives before this one have acknowledged.
    pub fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let mut expected: Vec<_> = self.partitions.iter().map(OfPartition::unverified).collect();
        let range = |records: &&[(i64, i64)]| match records {
            [(first, _), .., (last, _)] | [(first @ last, _)] => *first..*last + 1,
            [] => 0..0,
        };
        let ranges = (0..).zip(expected.iter().map(range)).collect();
        read_ranges(client, self.topic, ranges, |partition, record| {
            let expected = &mut expected[partition as usize];
            let Some(((offset, number), rest)) = expected.split_first() else { return };
            if *offset == record.offset.get() {
                let found = writer_of(&record.record);
                assert_eq!(found, (self.writer, *number), "{}-{partition} at {offset}", self.topic);
                *expected = rest;
            }
        })?;
        assert!(expected.iter().all(|left| left.is_empty()), "{}: {expected:?}", self.topic);
        self.partitions.iter_mut().for_each(|of| of.verified = of.acknowledged.len());
        Ok(())
    }

    /// Looks for all of them: how many were acknowledged, and what was found.
    pub fn check(&mut self, client: &mut Client) -> Tally {
        self.partitions.iter_mut().for_each(|of| of.verified = 0);
        self.verify(client).expect("the server is not killed now");
        let mut seen: Vec<BTreeSet<i64>> = vec![BTreeSet::new(); self.partitions.len()];
        let mut repeated = 0;
        read_whole(client, self.topic, 0..seen.len() as i32, |partition, record| {
            let (writer, number) = writer_of(&record.record);
            let seen = &mut seen[partition as usize];
            if writer == self.writer && !seen.contains(&number) {
                let newest = seen.last().copied().unwrap_or(-1);
                assert!(number > newest, "{}-{partition}: {number} after {newest}", self.topic);
                seen.insert(number);
            } else if writer == self.writer {
                repeated += 1;
            }
        });
        let found = seen.iter().map(|seen| seen.len() as u64).sum();
        let acknowledged = self.partitions.iter().map(|of| of.acknowledged.len() as u64).sum();
        // What was sent again was acknowledged in the end.
        assert_eq!(found, acknowledged, "{}: found, acknowledged", self.topic);
        let what =
            format!("records of writer {}, in order; {repeated} more than once", self.writer);
        Tally { what, acknowledged, found }
    }
}

impl OfPartition {
    fn unverified(&self) -> &[(i64, i64)] {
        &self.acknowledged[self.verified..]
    }
}

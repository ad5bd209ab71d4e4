//! One half of a lane: reads partitions from their leader, and passes on what is to be appended.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread;
use std::time::Duration;

use factum_event::batch::Batch;
use factum_wire::messages::{
    FetchPartition, FetchRequest, FetchResponse, FetchTopic, PartitionData,
};
use factum_wire::{ErrorCode, Records, Str};

use super::cluster::CLIENT_ID;
use super::committed::committed;
use super::copies::{CopyError, copies, fill};
use super::lane::Life;
use super::slot::{Again, Slot};
use crate::kafka_client::{ClientError, Connection, check, code_name};

/// How long a leader may wait for something new.
const MAX_WAIT_MS: i32 = 500;
/// The most bytes of one partition in an answer, but for one larger batch.
const PARTITION_BYTES: i32 = 4 << 20;
/// Between two looks, where there is nothing to ask for.
const PAUSE: Duration = Duration::from_millis(50);
/// Only what was committed.
const READ_COMMITTED: i8 = 1;

/// What one answer brought: batches by the number of their partition in the lane.
pub type Round = Vec<(usize, Vec<Batch>)>;

/// Where copying a partition goes on.
#[derive(Debug, Clone)]
pub struct Start {
    /// The partition.
    pub slot: Arc<Slot>,
    /// The target's end.
    pub end: i64,
    /// Where the source is read from: further on, where it has nothing more of what is before.
    pub from: i64,
    /// Whether nothing will come before that: the source is empty up to where it is read from.
    pub is_empty: bool,
}

/// Reads from a leader.
pub struct Fetching {
    leader: String,
    life: Life,
    partitions: Vec<Start>,
    /// Their numbers by topic.
    topics: Vec<(Str, Vec<usize>)>,
    /// Their numbers by topic and partition.
    places: HashMap<Str, HashMap<i32, usize>>,
    /// Which topic and partition is asked for first: the limit of bytes leaves out the last ones.
    turn: usize,
    max_bytes: i32,
}

impl Fetching {
    /// Nothing is asked yet.
    pub fn new(leader: String, life: Life, partitions: Vec<Start>, max_bytes: i32) -> Self {
        let mut places: HashMap<Str, HashMap<i32, usize>> = HashMap::new();
        for (index, start) in partitions.iter().enumerate() {
            let place = &start.slot.source;
            let of_topic = places.entry(Str::from(place.topic.as_str())).or_default();
            of_topic.insert(place.partition, index);
        }
        let numbers = |of: &HashMap<i32, usize>| of.values().copied().collect();
        let topics = places.iter().map(|(topic, of)| (topic.clone(), numbers(of))).collect();
        Self { leader, life, partitions, topics, places, turn: 0, max_bytes }
    }

    /// Reads until it is to stop, or nobody takes what it reads.
    pub fn run(mut self, rounds: &SyncSender<Round>) -> Result<(), ClientError> {
        let mut connection = Connection::open(&self.leader, CLIENT_ID)?;
        let round = self.first_gaps();
        if !round.is_empty() && rounds.send(round).is_err() {
            return Ok(());
        }
        while !self.life.is_over() {
            let request = self.request();
            if request.topics.is_empty() {
                thread::park_timeout(PAUSE);
                continue;
            }
            let answer = connection.call(&request)?;
            check("to fetch", answer.error_code, None)?;
            let round = self.take(answer);
            if !round.is_empty() && rounds.send(round).is_err() {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Gaps where the source has no record, and will have none.
    fn first_gaps(&mut self) -> Round {
        let mut round = Round::new();
        for (index, start) in self.partitions.iter_mut().enumerate() {
            let mut gap = Vec::new();
            if !start.is_empty || start.from <= start.end {
                continue;
            }
            match fill(start.end, start.from, &mut gap) {
                Ok(()) => {
                    start.end = start.from;
                    round.push((index, gap));
                }
                Err(error) => {
                    let why = Some(error.to_string());
                    self.life.shared.suspend(&start.slot, Again::Later, why);
                }
            }
        }
        round
    }

    fn request(&mut self) -> FetchRequest {
        let turn = self.turn;
        self.turn = turn.wrapping_add(1);
        let topics = turned(&self.topics, turn).filter_map(|(topic, numbers)| {
            let partitions: Vec<_> = turned(numbers, within(&self.topics, turn))
                .map(|number| &self.partitions[*number])
                .filter(|start| !start.slot.is_suspended())
                .map(|start| FetchPartition {
                    partition: start.slot.source.partition,
                    fetch_offset: start.from,
                    partition_max_bytes: PARTITION_BYTES.min(self.max_bytes),
                    ..FetchPartition::default()
                })
                .collect();
            let topic = topic.clone();
            (!partitions.is_empty()).then(|| FetchTopic {
                topic,
                partitions,
                ..FetchTopic::default()
            })
        });
        FetchRequest {
            max_wait_ms: MAX_WAIT_MS,
            min_bytes: 1,
            max_bytes: self.max_bytes,
            isolation_level: READ_COMMITTED,
            topics: topics.collect(),
            ..FetchRequest::default()
        }
    }

    fn take(&mut self, answer: FetchResponse) -> Round {
        let mut round = Round::new();
        for topic in answer.responses {
            for partition in topic.partitions {
                let of = self.places.get(&topic.topic);
                let index = of.and_then(|of| of.get(&partition.partition_index)).copied();
                let Some(index) = index else { continue };
                if let Some(batches) = self.take_partition(index, partition) {
                    round.push((index, batches));
                }
            }
        }
        round
    }

    /// What is to be appended of what came of a partition.
    fn take_partition(&mut self, index: usize, data: PartitionData) -> Option<Vec<Batch>> {
        let start = &mut self.partitions[index];
        if start.slot.is_suspended() {
            return None;
        }
        if data.error_code != 0 {
            let (again, why) = refusal(data.error_code);
            self.life.shared.suspend(&start.slot, again, why);
            return None;
        }
        let known = data.last_stable_offset >= 0;
        let stable = if known { data.last_stable_offset } else { data.high_watermark };
        start.slot.has_committed(stable);
        let aborted = data.aborted_transactions.unwrap_or_default();
        let bytes = data.records.map(Records::into_bytes).unwrap_or_default();
        let copied =
            committed(start.from, bytes, &aborted).map_err(CopyError::from).and_then(|found| {
                // Nothing came: what lies before the source's start is no gap yet.
                let nothing = found.next == start.from;
                let batches = if nothing { Vec::new() } else { copies(start.end, &found)? };
                Ok((found.next, batches))
            });
        match copied {
            Ok((_, batches)) if batches.is_empty() => None,
            Ok((next, batches)) => {
                start.from = next;
                start.end = next;
                Some(batches)
            }
            Err(error) => {
                let what = format!("cannot be copied from offset {} on: {error}", start.from);
                self.life.shared.suspend(&start.slot, Again::Later, Some(what));
                None
            }
        }
    }
}

/// All of them, at each turn from the next one on.
fn turned<T>(all: &[T], turn: usize) -> impl Iterator<Item = &T> {
    let first = turn.checked_rem(all.len()).unwrap_or(0);
    all[first..].iter().chain(&all[..first])
}

/// The turn of the partitions within their topics: the next one once each topic was first. With
/// the turn of the topics, a partition could be the first of its topic only where that is not.
const fn within<T>(topics: &[T], turn: usize) -> usize {
    match turn.checked_div(topics.len()) {
        Some(turn) => turn,
        None => 0,
    }
}

/// What follows from a partition's error: not worth telling is that a leader has changed, or that
/// records are gone.
fn refusal(code: i16) -> (Again, Option<String>) {
    let passing = [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::LeaderNotAvailable,
        ErrorCode::ReplicaNotAvailable,
        ErrorCode::FencedLeaderEpoch,
        ErrorCode::UnknownLeaderEpoch,
        ErrorCode::OffsetNotAvailable,
        ErrorCode::OffsetOutOfRange,
    ];
    // It may have been deleted, or the broker has not heard of it yet: its cluster knows.
    let unknown = [ErrorCode::UnknownTopicOrPartition, ErrorCode::UnknownTopicId];
    let is = |some: &[ErrorCode]| some.iter().any(|known| known.code() == code);
    let again = if is(&passing) || is(&unknown) { Again::Soon } else { Again::Later };
    let why = || format!("cannot be read: the source says {}", code_name(code));
    (again, (!is(&passing)).then(why))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_partition_of_every_topic_is_asked_for_first_in_its_turn() {
        for [topics, partitions] in [[1, 1], [1, 4], [2, 2], [3, 2], [4, 6]] {
            let all: Vec<(usize, Vec<usize>)> =
                (0..topics).map(|topic| (topic, (0..partitions).collect())).collect();
            let first = |turn| {
                let (topic, numbers) = turned(&all, turn).next().unwrap();
                (*topic, *turned(numbers, within(&all, turn)).next().unwrap())
            };
            // In any row of turns, also in one that does not begin with the first.
            for begin in [0, 5] {
                let turns = begin..begin + topics * partitions;
                let firsts: BTreeSet<_> = turns.map(first).collect();
                assert_eq!(firsts.len(), topics * partitions, "{topics} topics, {partitions} each");
            }
            let asked: Vec<_> = turned(&all, 1).map(|(topic, _)| *topic).collect();
            assert_eq!(asked.len(), topics, "none is left out");
        }
        assert_eq!(turned::<u8>(&[], 7).count() + within::<u8>(&[], 7), 0);
    }

    #[test]
    fn a_partition_that_the_source_does_not_know_is_told_of_and_asked_for_again() {
        let unknown = ErrorCode::UnknownTopicOrPartition;
        let (again, why) = refusal(unknown.code());
        assert_eq!(again, Again::Soon);
        assert!(why.unwrap().contains(unknown.name()));
        assert_eq!(refusal(ErrorCode::NotLeaderOrFollower.code()), (Again::Soon, None));
        let (again, why) = refusal(ErrorCode::TopicAuthorizationFailed.code());
        assert!(again == Again::Later && why.is_some());
    }
}

//! Idempotent producers: what a partition remembers of who wrote to it (KIP-98).
//!
//! For every producer the last five batches are kept, as many as a client may have in flight.
//! A batch that is among them is a repetition and gets its old offset; a batch that does not
//! follow the last one is refused. The state is a fold over the partition's batch headers.

use std::collections::{HashMap, VecDeque};

use bytes::{Buf, BufMut};
use factum_event::batch::BatchHeader;
use factum_event::{Offset, Timestamp};
use factum_log::BatchEntry;
use thiserror::Error;

/// Batches of a producer that are recognised; clients have at most this many in flight.
const RECOGNISED_BATCHES: usize = 5;

/// Batches remembered for each producer: as many again as may not be durable yet, so that a
/// checkpoint, which leaves these out, has all that are to be recognised.
const REMEMBERED_BATCHES: usize = 2 * RECOGNISED_BATCHES;

/// Producers remembered for each partition; beyond it those that were silent longest are
/// forgotten, a quarter at a time.
const MAX_PRODUCERS: usize = 8_192;

/// The producers of one partition.
#[derive(Debug, Default)]
pub(crate) struct ProducerStates {
    producers: HashMap<i64, ProducerState>,
}

#[derive(Debug)]
struct ProducerState {
    last_seen: Timestamp,
    /// Some. Those of an earlier epoch count again where a crash un-happens the later ones.
    batches: VecDeque<Remembered>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Remembered {
    epoch: i16,
    first_sequence: i32,
    last_sequence: i32,
    base_offset: Offset,
    last_offset: Offset,
}

/// Who writes to a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ActiveProducer {
    /// The producer id.
    pub id: i64,
    /// The newest epoch seen.
    pub epoch: i16,
    /// The sequence of its last record; none where it has not written in this epoch.
    pub last_sequence: Option<i32>,
    /// When it wrote last.
    pub last_seen: Timestamp,
    /// Where its open transaction begins.
    pub transaction: Option<Offset>,
}

/// What is to be done with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is new: append it.
    Append,
    /// It was appended before, and got these offsets.
    Duplicate { base_offset: Offset, last_offset: Offset },
}

/// Why a batch of an idempotent producer is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SequenceError {
    /// A batch before it is missing, or it comes too late.
    #[error("producer {producer_id}: sequence {expected} was expected, {came} came")]
    OutOfOrder {
        /// The producer.
        producer_id: i64,
        /// The sequence that would have followed.
        expected: i32,
        /// The sequence that came.
        came: i32,
    },
    /// A newer instance of the producer has written since.
    #[error(
        "producer {producer_id}: epoch {came} is older than {current}, which has written since"
    )]
    StaleEpoch {
        /// The producer.
        producer_id: i64,
        /// The newest epoch seen.
        current: i16,
        /// The epoch that came.
        came: i16,
    },
}

impl ProducerStates {
    /// Judges a batch before it gets an offset.
    /// Where the producer is not known, its first sequence may have to be 0.
    pub(crate) fn judge(
        &self,
        batch: &BatchHeader,
        first_is_zero: bool,
    ) -> Result<Verdict, SequenceError> {
        if batch.producer_id < 0 {
            return Ok(Verdict::Append);
        }
        let Some(state) = self.producers.get(&batch.producer_id) else {
            // Forgotten or never seen: Kafka takes any first sequence, but for the newer rules of
            // transactions, in which every one begins anew.
            return if first_is_zero { follows(batch, 0) } else { Ok(Verdict::Append) };
        };
        let current = state.epoch();
        if batch.producer_epoch < current {
            return Err(SequenceError::StaleEpoch {
                producer_id: batch.producer_id,
                current,
                came: batch.producer_epoch,
            });
        }
        if batch.producer_epoch > current {
            return follows(batch, 0);
        }
        if let Some(same) = state.repeated(batch) {
            let Remembered { base_offset, last_offset, .. } = same;
            return Ok(Verdict::Duplicate { base_offset, last_offset });
        }
        let last = state.batches.back().map_or(-1, |batch| batch.last_sequence);
        follows(batch, sequence_after(last, 1))
    }

    /// Remembers a batch that got its offset.
    pub(crate) fn appended(&mut self, batch: &BatchHeader, base_offset: Offset, now: Timestamp) {
        let last_offset = base_offset.plus(batch.last_offset_delta.unsigned_abs());
        self.remember(
            (batch.producer_id, batch.producer_epoch, batch.base_sequence),
            (base_offset, last_offset),
            now,
        );
    }

    /// Remembers a batch that was found in the log.
    pub(crate) fn replay(&mut self, entry: &BatchEntry) {
        self.remember(
            (entry.producer_id, entry.producer_epoch, entry.base_sequence),
            (entry.base_offset, entry.last_offset),
            entry.appended_at,
        );
    }

    fn remember(
        &mut self,
        (producer_id, epoch, first_sequence): (i64, i16, i32),
        (base_offset, last_offset): (Offset, Offset),
        now: Timestamp,
    ) {
        if producer_id < 0 {
            return;
        }
        if self.producers.len() >= MAX_PRODUCERS && !self.producers.contains_key(&producer_id) {
            self.forget_silent();
        }
        // A marker belongs to no sequence. One with a newer epoch fences off the older ones, and
        // what follows it begins at 0.
        let is_marker = first_sequence < 0;
        let known = self.producers.get(&producer_id).map(ProducerState::epoch);
        if is_marker && known.is_none_or(|known| known >= epoch) {
            return;
        }
        let unknown = || ProducerState { last_seen: now, batches: VecDeque::new() };
        let state = self.producers.entry(producer_id).or_insert_with(unknown);
        if state.batches.len() == REMEMBERED_BATCHES {
            state.batches.pop_front();
        }
        state.last_seen = now;
        let steps = last_offset.get() - base_offset.get();
        let last_sequence =
            if is_marker { i32::MAX } else { sequence_after(first_sequence, steps) };
        state.batches.push_back(Remembered {
            epoch,
            first_sequence,
            last_sequence,
            base_offset,
            last_offset,
        });
    }

    /// The producers that are known, by id; not whether they have something open.
    pub(crate) fn list(&self) -> Vec<ActiveProducer> {
        let active = |(&id, state): (&i64, &ProducerState)| ActiveProducer {
            id,
            epoch: state.epoch(),
            last_sequence: state.last_sequence(),
            last_seen: state.last_seen,
            transaction: None,
        };
        let mut list: Vec<_> = self.producers.iter().map(active).collect();
        list.sort_unstable_by_key(|producer| producer.id);
        list
    }

    /// What is known of batches before `end`.
    pub(crate) fn before(&self, end: Offset) -> Self {
        let known = self.producers.iter().filter_map(|(id, state)| {
            let batches: VecDeque<_> =
                state.batches.iter().filter(|batch| batch.last_offset < end).copied().collect();
            let last_seen = state.last_seen;
            (!batches.is_empty()).then_some((*id, ProducerState { last_seen, batches }))
        });
        Self { producers: known.collect() }
    }

    /// For every producer the offset of the oldest batch that its sequences hang on, also when a
    /// crash un-happens what is not before `end`.
    pub(crate) fn oldest_batches(&self, end: Offset) -> HashMap<i64, Offset> {
        let oldest = |state: &ProducerState| {
            let durable = state.batches.iter().rev().filter(|batch| batch.last_offset < end);
            durable.take(RECOGNISED_BATCHES).last().map(|batch| batch.last_offset)
        };
        self.producers.iter().filter_map(|(id, state)| Some((*id, oldest(state)?))).collect()
    }

    /// Writes what a checkpoint has of them.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        out.put_u32(u32::try_from(self.producers.len()).unwrap_or(u32::MAX));
        let mut ids: Vec<_> = self.producers.keys().copied().collect();
        ids.sort_unstable();
        for id in ids {
            let state = &self.producers[&id];
            let current = || state.batches.iter().filter(|batch| batch.epoch == state.epoch());
            out.put_i64(id);
            out.put_i16(state.epoch());
            out.put_i64(state.last_seen.as_millis());
            out.put_u8(u8::try_from(current().count()).unwrap_or(u8::MAX));
            for batch in current() {
                out.put_i32(batch.first_sequence);
                out.put_i64(batch.base_offset.get());
                out.put_i64(batch.last_offset.get());
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote of batches before `end`; none if it ends too
    /// early, or has a batch that cannot be.
    pub(crate) fn decode(rest: &mut &[u8], end: Offset) -> Option<Self> {
        let count = rest.try_get_u32().ok()?;
        let mut producers = HashMap::new();
        for _ in 0..count {
            let id = rest.try_get_i64().ok()?;
            let epoch = rest.try_get_i16().ok()?;
            let last_seen = Timestamp::from_millis(rest.try_get_i64().ok()?);
            let mut batches = VecDeque::new();
            for _ in 0..rest.try_get_u8().ok()? {
                let first_sequence = rest.try_get_i32().ok()?;
                let base_offset = Offset::new(rest.try_get_i64().ok()?)?;
                let last_offset = Offset::new(rest.try_get_i64().ok()?)?;
                let steps = last_offset.get() - base_offset.get();
                if !(0..=i64::from(i32::MAX)).contains(&steps) || last_offset >= end {
                    return None;
                }
                let last_sequence = sequence_after(first_sequence, steps);
                batches.push_back(Remembered {
                    epoch,
                    first_sequence,
                    last_sequence,
                    base_offset,
                    last_offset,
                });
            }
            producers.insert(id, ProducerState { last_seen, batches });
        }
        Some(Self { producers })
    }

    fn forget_silent(&mut self) {
        let mut seen: Vec<_> = self.producers.values().map(|state| state.last_seen).collect();
        let quarter = seen.len() / 4;
        let (_, &mut oldest, _) = seen.select_nth_unstable(quarter);
        let mut left = quarter.max(1);
        self.producers.retain(|_, state| {
            let forget = left > 0 && state.last_seen <= oldest;
            left -= usize::from(forget);
            !forget
        });
    }
}

impl ProducerState {
    fn last_sequence(&self) -> Option<i32> {
        let last = self.batches.back().filter(|batch| batch.first_sequence >= 0);
        last.map(|batch| batch.last_sequence)
    }

    /// The newest epoch seen.
    fn epoch(&self) -> i16 {
        self.batches.back().map_or(-1, |batch| batch.epoch)
    }

    fn repeated(&self, batch: &BatchHeader) -> Option<Remembered> {
        let last = sequence_after(batch.base_sequence, i64::from(batch.last_offset_delta));
        let same = |known: &&Remembered| {
            (known.epoch, known.first_sequence, known.last_sequence)
                == (batch.producer_epoch, batch.base_sequence, last)
        };
        self.batches.iter().rev().take(RECOGNISED_BATCHES).find(same).copied()
    }
}

fn follows(batch: &BatchHeader, expected: i32) -> Result<Verdict, SequenceError> {
    if batch.base_sequence == expected {
        return Ok(Verdict::Append);
    }
    let (producer_id, came) = (batch.producer_id, batch.base_sequence);
    Err(SequenceError::OutOfOrder { producer_id, expected, came })
}

/// The sequence `steps` later; after 2^31-1 comes 0.
fn sequence_after(sequence: i32, steps: i64) -> i32 {
    let wrapped = (i64::from(sequence) + steps).rem_euclid(i64::from(i32::MAX) + 1);
    i32::try_from(wrapped).expect("a remainder of 2^31 fits")
}

#[cfg(test)]
mod tests {
    use super::*;
    use factum_event::batch::Attributes;

    fn batch(epoch: i16, sequence: i32, records: i32) -> BatchHeader {
        BatchHeader {
            base_offset: 0,
            attributes: Attributes::default(),
            last_offset_delta: records - 1,
            base_timestamp: Timestamp::from_millis(0),
            max_timestamp: Timestamp::from_millis(0),
            producer_id: 7,
            producer_epoch: epoch,
            base_sequence: sequence,
            record_count: records,
        }
    }

    /// Appends what is judged new at `offset`, and returns the verdict.
    fn send(
        states: &mut ProducerStates,
        offset: i64,
        batch: &BatchHeader,
    ) -> Result<Verdict, SequenceError> {
        let verdict = states.judge(batch, false)?;
        if verdict == Verdict::Append {
            let at = Offset::new(offset).unwrap();
            states.appended(batch, at, Timestamp::from_millis(offset));
        }
        Ok(verdict)
    }

    #[test]
    fn the_last_five_batches_are_recognised_and_the_sixth_is_out_of_order() {
        let mut states = ProducerStates::default();
        for index in 0..6 {
            assert_eq!(
                send(&mut states, index * 2, &batch(0, i32::try_from(index).unwrap() * 2, 2)),
                Ok(Verdict::Append)
            );
        }
        for index in 1..6 {
            let verdict = send(&mut states, 99, &batch(0, i32::try_from(index).unwrap() * 2, 2));
            let base_offset = Offset::new(index * 2).unwrap();
            assert_eq!(
                verdict,
                Ok(Verdict::Duplicate { base_offset, last_offset: base_offset.next() })
            );
        }
        assert_eq!(
            send(&mut states, 99, &batch(0, 0, 2)),
            Err(SequenceError::OutOfOrder { producer_id: 7, expected: 12, came: 0 })
        );
    }

    #[test]
    fn a_gap_is_refused_and_what_follows_is_taken() {
        let mut states = ProducerStates::default();
        send(&mut states, 0, &batch(0, 0, 3)).unwrap();
        assert!(send(&mut states, 3, &batch(0, 4, 1)).is_err());
        assert_eq!(send(&mut states, 3, &batch(0, 3, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn a_repetition_with_another_length_is_no_repetition() {
        let mut states = ProducerStates::default();
        send(&mut states, 0, &batch(0, 0, 3)).unwrap();
        assert!(send(&mut states, 3, &batch(0, 0, 2)).is_err());
    }

    #[test]
    fn sequences_wrap_to_zero_after_the_largest() {
        let mut states = ProducerStates::default();
        send(&mut states, 0, &batch(0, i32::MAX - 1, 2)).unwrap();
        assert_eq!(send(&mut states, 2, &batch(0, 0, 1)), Ok(Verdict::Append));
        let mut across = ProducerStates::default();
        send(&mut across, 0, &batch(0, i32::MAX, 2)).unwrap();
        assert_eq!(send(&mut across, 2, &batch(0, 1, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn a_new_epoch_starts_at_zero_and_an_old_one_is_fenced() {
        let mut states = ProducerStates::default();
        send(&mut states, 0, &batch(0, 0, 3)).unwrap();
        assert!(send(&mut states, 3, &batch(1, 3, 1)).is_err());
        assert_eq!(send(&mut states, 3, &batch(1, 0, 1)), Ok(Verdict::Append));
        assert_eq!(
            send(&mut states, 4, &batch(0, 3, 1)),
            Err(SequenceError::StaleEpoch { producer_id: 7, current: 1, came: 0 })
        );
    }

    #[test]
    fn an_epoch_that_a_crash_may_unhappen_does_not_push_the_last_one_out() {
        let mut states = ProducerStates::default();
        for index in 0..4 {
            send(&mut states, index, &batch(0, i32::try_from(index).unwrap(), 1)).unwrap();
        }
        send(&mut states, 4, &batch(1, 0, 1)).unwrap();
        let end = Offset::new(4).unwrap();
        // The fifth batch is not durable: a checkpoint has the others, and so has compaction.
        let mut bytes = Vec::new();
        states.before(end).encode(&mut bytes);
        let durable = ProducerStates::decode(&mut &bytes[..], end).unwrap();
        assert!(matches!(durable.judge(&batch(0, 3, 1), false), Ok(Verdict::Duplicate { .. })));
        assert_eq!(durable.judge(&batch(0, 4, 1), false), Ok(Verdict::Append));
        assert_eq!(states.oldest_batches(end), HashMap::from([(7, Offset::ZERO)]));
        assert!(matches!(states.judge(&batch(1, 0, 1), false), Ok(Verdict::Duplicate { .. })));
        assert!(states.judge(&batch(0, 3, 1), false).is_err(), "the epoch is old");
    }

    #[test]
    fn a_producer_that_was_never_seen_may_start_anywhere() {
        let mut states = ProducerStates::default();
        assert_eq!(send(&mut states, 0, &batch(3, 100, 1)), Ok(Verdict::Append));
    }

    #[test]
    fn producers_are_limited_and_the_most_recent_stay() {
        let mut states = ProducerStates::default();
        for id in 0..MAX_PRODUCERS as i64 + 1 {
            let header = BatchHeader { producer_id: id, ..batch(0, 0, 1) };
            states.appended(&header, Offset::new(id).unwrap(), Timestamp::from_millis(id));
        }
        assert!(states.producers.len() <= MAX_PRODUCERS);
        assert!(states.producers.contains_key(&(MAX_PRODUCERS as i64)));
        assert!(!states.producers.contains_key(&0));
    }
}

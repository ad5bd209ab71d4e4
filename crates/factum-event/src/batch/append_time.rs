//! The broker's own time on a batch, as topics with `message.timestamp.type=LogAppendTime` have it.

use bytes::{BufMut, BytesMut};

use super::{Attributes, Batch, BatchHeader, crc32c};
use crate::Timestamp;

const CRC_AT: usize = 17;
const ATTRIBUTES_AT: usize = 21;
const LAST_OFFSET_DELTA_AT: usize = 23;
const MAX_TIMESTAMP_AT: usize = 35;
const PRODUCER_ID_AT: usize = 43;
const LOG_APPEND_TIME: i16 = 0x08;

impl Batch {
    /// The same batch whose records all have the time `at`: its attributes say so, its largest
    /// timestamp is that time, and the records stay as their producer packed them. The bytes are
    /// copied, since others may share them.
    #[must_use]
    pub fn with_append_time(&self, at: Timestamp) -> Self {
        let attributes = Attributes(self.header.attributes.0 | LOG_APPEND_TIME);
        let old = &self.bytes;
        let mut bytes = BytesMut::with_capacity(old.len());
        bytes.put_slice(&old[..ATTRIBUTES_AT]);
        bytes.put_i16(attributes.0);
        bytes.put_slice(&old[LAST_OFFSET_DELTA_AT..MAX_TIMESTAMP_AT]);
        bytes.put_i64(at.as_millis());
        bytes.put_slice(&old[PRODUCER_ID_AT..]);
        let crc = crc32c(&bytes[ATTRIBUTES_AT..]);
        bytes[CRC_AT..ATTRIBUTES_AT].copy_from_slice(&crc.to_be_bytes());
        let header = BatchHeader { attributes, max_timestamp: at, ..self.header };
        Self { bytes: bytes.freeze(), header }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Record;
    use crate::batch::{BatchBuilder, Codec, ProducerState};

    #[test]
    fn every_record_has_the_brokers_time_and_nothing_else_changes() {
        for codec in [Codec::None, Codec::Gzip, Codec::Snappy, Codec::Lz4, Codec::Zstd] {
            let producer = ProducerState { id: 7, epoch: 1, base_sequence: 3 };
            let mut builder = BatchBuilder::new(codec, Some(producer));
            for number in 0..3_u8 {
                builder.push(&Record {
                    key: Some(vec![number].into()),
                    value: Some(vec![number; 50].into()),
                    headers: Vec::new(),
                    timestamp: Timestamp::from_millis(1_000 - i64::from(number)),
                });
            }
            let batch = builder.build().unwrap();
            let at = Timestamp::from_millis(5_000);
            let stamped = batch.with_append_time(at);
            // Parsing checks the CRC, and that the header kept is the one in the bytes.
            assert_eq!(Batch::parse(stamped.bytes().clone()).unwrap(), stamped);
            assert!(stamped.header().attributes.is_log_append_time());
            assert_eq!(stamped.codec().unwrap(), codec);
            let (old, new) = (batch.records(1 << 20).unwrap(), stamped.records(1 << 20).unwrap());
            assert_eq!(new.len(), 3);
            for (old, mut new) in old.into_iter().zip(new) {
                assert_eq!(new.record.timestamp, at);
                new.record.timestamp = old.record.timestamp;
                assert_eq!(new, old);
            }
            let BatchHeader { attributes, max_timestamp, .. } = *batch.header();
            let mut back = *stamped.header();
            (back.attributes, back.max_timestamp) = (attributes, max_timestamp);
            assert_eq!(back, *batch.header());
        }
    }
}

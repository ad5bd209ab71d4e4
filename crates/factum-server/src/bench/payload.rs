//! Record batches that are built once and sent many times: only their timestamps change.

use std::collections::HashMap;

use bytes::{Bytes, BytesMut};
use factum_event::batch::{BatchBuilder, Codec, crc32c};
use factum_event::{Record, Timestamp};

use super::error::BenchError;

/// Different batches of the same number of records, so that nothing can be told apart by content.
const VARIANTS: usize = 8;

/// Where a batch has its CRC, and what the CRC covers.
const CRC: std::ops::Range<usize> = 17..21;
const COVERED: usize = 21;
/// Where it has its first and its largest timestamp.
const BASE_TIMESTAMP: std::ops::Range<usize> = 27..35;
const MAX_TIMESTAMP: std::ops::Range<usize> = 35..43;

/// Batches by their number of records.
pub struct Payload {
    codec: Codec,
    record_bytes: usize,
    batches: HashMap<u32, Vec<Bytes>>,
    next: usize,
    noise: Noise,
}

impl Payload {
    /// Batches of records with values of `record_bytes`, which no codec makes smaller.
    pub fn new(codec: Codec, record_bytes: usize, seed: u64) -> Self {
        Self { codec, record_bytes, batches: HashMap::new(), next: 0, noise: Noise(seed | 1) }
    }

    /// A batch of so many records with this timestamp; built with the first use of the number.
    pub fn batch(&mut self, records: u32, now: Timestamp) -> Result<Bytes, BenchError> {
        if !self.batches.contains_key(&records) {
            let variants = (0..VARIANTS).map(|_| self.build(records)).collect::<Result<_, _>>()?;
            self.batches.insert(records, variants);
        }
        self.next = (self.next + 1) % VARIANTS;
        Ok(stamped(&self.batches[&records][self.next], now))
    }

    fn build(&mut self, records: u32) -> Result<Bytes, BenchError> {
        let mut builder = BatchBuilder::new(self.codec, None);
        for _ in 0..records {
            let mut value = BytesMut::zeroed(self.record_bytes);
            self.noise.fill(&mut value);
            builder.push(&Record {
                key: None,
                value: Some(value.freeze()),
                headers: Vec::new(),
                timestamp: Timestamp::from_millis(0),
            });
        }
        Ok(builder.build()?.bytes().clone())
    }
}

fn stamped(batch: &Bytes, now: Timestamp) -> Bytes {
    let mut bytes = BytesMut::from(&batch[..]);
    let millis = now.as_millis().to_be_bytes();
    bytes[BASE_TIMESTAMP].copy_from_slice(&millis);
    bytes[MAX_TIMESTAMP].copy_from_slice(&millis);
    let crc = crc32c(&bytes[COVERED..]);
    bytes[CRC].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}

/// Xorshift: noise that is cheap and the same for the same seed.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, out: &mut [u8]) {
        for chunk in out.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            chunk.copy_from_slice(&self.0.to_le_bytes()[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use factum_event::batch::Batch;

    use super::*;

    #[test]
    fn a_stamped_batch_is_whole_and_has_its_records_and_time() {
        for codec in Codec::ALL {
            let mut payload = Payload::new(codec, 100, 7);
            for (records, millis) in [(1, 5), (10, 1_700_000_000_000), (10, 6)] {
                let bytes = payload.batch(records, Timestamp::from_millis(millis)).unwrap();
                let batch = Batch::parse(bytes).unwrap();
                let decoded = batch.records(1 << 20).unwrap();
                assert_eq!(decoded.len(), records as usize);
                assert!(decoded.iter().all(|one| one.record.timestamp.as_millis() == millis));
                assert!(decoded.iter().all(|one| one.record.weight() == 100));
            }
        }
    }

    #[test]
    fn batches_in_a_row_differ() {
        let mut payload = Payload::new(Codec::None, 50, 7);
        let now = Timestamp::from_millis(0);
        assert_ne!(payload.batch(3, now).unwrap(), payload.batch(3, now).unwrap());
    }
}

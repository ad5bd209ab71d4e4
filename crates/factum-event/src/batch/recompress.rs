//! The same records packed in another way, as topics with a `compression.type` of their own have
//! them.

use bytes::{Bytes, BytesMut};

use super::{
    Attributes, Batch, BatchError, BatchHeader, CODEC_BITS, Codec, HEADER_BYTES, LENGTH_OVERHEAD,
    Records, crc32c,
};

impl Batch {
    /// The same batch packed by `codec`; itself if it is already. Its records are read, and what
    /// comes out can be read with the same limit. `limit` is how many bytes it may unpack to.
    ///
    /// # Errors
    /// [`BatchError`] where the records cannot be read, or not be packed again.
    pub fn with_codec(&self, codec: Codec, limit: usize) -> Result<Self, BatchError> {
        let before = self.codec()?;
        if before == codec {
            return Ok(self.clone());
        }
        let plain = before.decompress(self.bytes.slice(HEADER_BYTES..), limit)?;
        if plain.len() > limit {
            return Err(BatchError::TooLarge { limit });
        }
        Records::unpacked(self.header, plain.clone()).try_for_each(|record| record.map(drop))?;
        let mut out = BytesMut::zeroed(HEADER_BYTES);
        codec.compress(&plain, &mut out)?;
        let bytes = out.len();
        let length = i32::try_from(bytes - LENGTH_OVERHEAD);
        let length = length.map_err(|_| BatchError::TooLong { bytes })?;
        let flags = self.header.attributes.0 & !CODEC_BITS;
        let attributes = Attributes(flags | i16::from(codec.number()));
        out[..HEADER_BYTES].copy_from_slice(&self.bytes[..HEADER_BYTES]);
        out[8..12].copy_from_slice(&length.to_be_bytes());
        out[21..23].copy_from_slice(&attributes.0.to_be_bytes());
        let crc = crc32c(&out[21..]);
        out[17..21].copy_from_slice(&crc.to_be_bytes());
        let header = BatchHeader { attributes, ..self.header };
        Ok(Self { bytes: Bytes::from(out), header })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::tests::{built, patched, some_codec, some_record};
    use super::super::{BatchBuilder, ProducerState};
    use super::*;
    use crate::Timestamp;

    const LIMIT: usize = 1 << 20;

    proptest! {
        #[test]
        fn records_and_header_stay_and_the_packing_changes(
            records in prop::collection::vec(some_record(), 1..20),
            from in some_codec(),
            to in some_codec(),
        ) {
            let producer = ProducerState { id: 7, epoch: 1, base_sequence: 3 };
            let mut builder = BatchBuilder::new(from, Some(producer)).transactional();
            records.iter().for_each(|record| builder.push(record));
            let batch = builder.build().unwrap();
            let packed = batch.with_codec(to, LIMIT).unwrap();
            prop_assert_eq!(packed.codec(), Ok(to));
            prop_assert_eq!(packed.records(LIMIT), batch.records(LIMIT));
            prop_assert_eq!(Batch::parse(packed.bytes().clone()), Ok(packed.clone()));
            let attributes = batch.header().attributes;
            let header = BatchHeader { attributes, ..*packed.header() };
            prop_assert_eq!(&header, batch.header());
            prop_assert!(packed.header().attributes.is_transactional());
            prop_assert_eq!(packed.with_codec(from, LIMIT), Ok(batch));
        }
    }

    #[test]
    fn what_cannot_be_read_is_not_packed() {
        let record = crate::Record {
            key: None,
            value: Some(vec![7; 5000].into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(5),
        };
        let batch = built(Codec::None, std::slice::from_ref(&record));
        let too_large = batch.with_codec(Codec::Lz4, 4000);
        assert_eq!(too_large, Err(BatchError::TooLarge { limit: 4000 }));
        let packed = built(Codec::Zstd, &[record]);
        assert_eq!(packed.with_codec(Codec::None, 4000), Err(BatchError::TooLarge { limit: 4000 }));
        let damaged = patched(&batch, HEADER_BYTES, &[1]);
        let refused = damaged.with_codec(Codec::Lz4, LIMIT);
        assert!(matches!(refused, Err(BatchError::Record { index: 0, .. })), "{refused:?}");
    }
}

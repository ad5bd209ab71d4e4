//! Batches as readers get them: looked into, or as bytes on their way to a socket.

use bytes::{Bytes, BytesMut};
use factum_event::Offset;
use factum_event::batch::Batch;
use factum_log::{Chunk, PartitionSlice, StoredBatch};

use crate::Violation;

/// A batch that was served.
pub(crate) struct Served {
    pub(crate) base: Offset,
    pub(crate) next: Offset,
    pub(crate) batch: Batch,
}

impl Served {
    /// What the log has returned for somebody who looks into it.
    pub(crate) fn stored(read: &[StoredBatch]) -> Result<Vec<Self>, Violation> {
        let served = |stored: &StoredBatch| {
            let batch = stored.to_batch().map_err(|error| error.to_string())?;
            Ok(Self { base: stored.entry.base_offset, next: stored.entry.next_offset(), batch })
        };
        read.iter().map(served).collect()
    }

    /// What a client finds in the bytes that it gets.
    pub(crate) fn sent(slice: &PartitionSlice) -> Result<Vec<Self>, Violation> {
        let (mut bytes, mut served) = (bytes_of(slice)?, Vec::new());
        while !bytes.is_empty() {
            let batch = Batch::parse_first(&bytes).map_err(|error| error.to_string())?;
            let _ = bytes.split_to(batch.len());
            let base = Offset::new(batch.header().base_offset).ok_or("a negative offset")?;
            let next = base.plus(batch.header().offsets());
            served.push(Self { base, next, batch });
        }
        match served.last().map_or(slice.next, |last| last.next) {
            next if next == slice.next => Ok(served),
            next => Err(format!("bytes up to {next} are said to end at {}", slice.next)),
        }
    }
}

fn bytes_of(slice: &PartitionSlice) -> Result<Bytes, Violation> {
    let mut bytes = BytesMut::new();
    for chunk in &slice.chunks {
        match chunk {
            Chunk::Memory(some) => bytes.extend_from_slice(some),
            Chunk::File(region) => {
                let mut some = vec![0; region.len()];
                region.read(&mut some).map_err(|error| format!("a region: {error}"))?;
                bytes.extend_from_slice(&some);
            }
        }
    }
    Ok(bytes.freeze())
}

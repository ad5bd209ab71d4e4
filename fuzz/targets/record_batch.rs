//! Record batches: the bytes as they are, and again with a frame that fits them, so that the
//! records behind it are reached.

#![no_main]

use bytes::Bytes;
use factum_event::Record;
use factum_event::batch::{Batch, BatchBuilder, Codec, HEADER_BYTES, crc32c};
use libfuzzer_sys::fuzz_target;

/// What a compressed batch may unpack to.
const LIMIT: usize = 64 * 1024;

fuzz_target!(|input: &[u8]| {
    if let Ok(batch) = Batch::parse_first(&Bytes::copy_from_slice(input)) {
        look_inside(&batch);
    }
    if let Some(batch) = with_fitting_frame(input) {
        look_inside(&batch);
    }
});

/// Magic, length and CRC put right; none where the rest of the header is no batch's.
fn with_fitting_frame(input: &[u8]) -> Option<Batch> {
    if input.len() < HEADER_BYTES {
        return None;
    }
    let mut bytes = input.to_vec();
    let length = i32::try_from(bytes.len() - 12).ok()?;
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[16] = 2;
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(bytes.into()).ok()
}

fn look_inside(batch: &Batch) {
    let producible = batch.check_producible().is_ok();
    let Ok(read) = batch.records(LIMIT) else { return };
    assert_eq!(i32::try_from(read.len()), Ok(batch.header().record_count));
    assert!(read.is_sorted_by(|left, right| left.offset < right.offset));

    let records: Vec<Record> = read.into_iter().map(|read| read.record).collect();
    let weight: usize = records.iter().map(Record::weight).sum();
    assert!(weight <= LIMIT.max(batch.len()));
    if producible {
        assert_eq!(built(&records), records, "what is built of them reads otherwise");
    }
}

fn built(records: &[Record]) -> Vec<Record> {
    let mut builder = BatchBuilder::new(Codec::None, None);
    for record in records {
        builder.push(record);
    }
    let batch = builder.build().expect("at least one record, and less than 2 GiB");
    let read = batch.records(LIMIT).expect("records as they are written");
    read.into_iter().map(|read| read.record).collect()
}

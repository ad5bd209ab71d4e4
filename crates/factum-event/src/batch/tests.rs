//! Batches as a whole: what is built is read, what another producer built is read, and what was
//! damaged is refused.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::*;
use crate::{Header, Record};

const LIMIT: usize = 1 << 20;

/// The same three records, as Kafka's own Java client (4.3.0) writes them.
const FROM_JAVA: [(Codec, &str); 5] = [
    (
        Codec::None,
        "00000000000000000000009dffffffff02a6ef66450000000000020000018bcfe56800000001 \
         8bcfe569f4000000000000126700030000002a00000003a2010000000a6b65792d316076616c \
         75652076616c75652076616c75652076616c75652076616c75652076616c75652076616c7565 \
         2076616c756520060a63655f696402310a63655f6964000a656d707479010e00cf0f02010000 \
         2000e807040001020a6ec3a46d650400ff",
    ),
    (
        Codec::Gzip,
        "000000000000000000000084ffffffff02c08d33d20001000000020000018bcfe56800000001 \
         8bcfe569f4000000000000126700030000002a000000031f8b08000000000000ff5bc4c8c0c0 \
         c0959d5aa96b98509698539aaa403cc9c6959c1a9f99c26408a119b852730b4a2a19f918cef3 \
         33018d556078c1cec2c0c8c4957778496e2a0bc37f00c32938c56c000000",
    ),
    (
        Codec::Snappy,
        "00000000000000000000008affffffff02ab605dc50002000000020000018bcfe56800000001 \
         8bcfe569f4000000000000126700030000002a0000000382534e415050590000000001000000 \
         01000000456c44a2010000000a6b65792d316076616c756520a6060020060a63655f69640231 \
         090880000a656d707479010e00cf0f020100002000e807040001020a6ec3a46d650400ff",
    ),
    (
        Codec::Lz4,
        "000000000000000000000086ffffffff0294fb7c2a0003000000020000018bcfe56800000001 \
         8bcfe569f4000000000000126700030000002a0000000304224d1860408246000000ff03a201 \
         0000000a6b65792d316076616c75652006001792060a63655f696402310800f012000a656d70 \
         7479010e00cf0f020100002000e807040001020a6ec3a46d650400ff00000000",
    ),
    (
        Codec::Zstd,
        "000000000000000000000083ffffffff02b1e1f41c0004000000020000018bcfe56800000001 \
         8bcfe569f4000000000000126700030000002a0000000328b52ffd0058340200c403a2010000 \
         000a6b65792d316076616c756520060a63655f69640231000a656d707479010e00cf0f020100 \
         002000e807040001020a6ec3a46d650400ff02002bc331500903010000",
    ),
];

fn bytes_from_hex(hex: &str) -> Bytes {
    let digits: Vec<u8> =
        hex.chars().filter_map(|c| c.to_digit(16)).map(|digit| digit.to_le_bytes()[0]).collect();
    digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

pub(super) fn record(
    timestamp: i64,
    key: Option<&'static [u8]>,
    value: Option<&'static [u8]>,
) -> Record {
    Record {
        key: key.map(Bytes::from_static),
        value: value.map(Bytes::from_static),
        headers: Vec::new(),
        timestamp: Timestamp::from_millis(timestamp),
    }
}

fn three_records() -> [Record; 3] {
    let mut first = record(
        1_700_000_000_000,
        Some(b"key-1"),
        Some(b"value value value value value value value value "),
    );
    first.headers = vec![
        Header::new("ce_id", "1"),
        Header::new("ce_id", ""),
        Header { key: "empty".to_owned(), value: None },
    ];
    let mut last = record(1_700_000_000_500, Some(b""), None);
    last.headers = vec![Header::new("näme", &b"\x00\xff"[..])];
    [first, record(1_699_999_999_000, None, Some(b"")), last]
}

pub(super) fn built(codec: Codec, records: &[Record]) -> Batch {
    let mut builder = BatchBuilder::new(codec, None);
    for record in records {
        builder.push(record);
    }
    builder.build().unwrap()
}

fn records_of(batch: &Batch) -> Vec<Record> {
    batch.records(LIMIT).unwrap().into_iter().map(|read| read.record).collect()
}

/// The batch with other bytes at `position`, and a CRC that fits them.
pub(super) fn patched(batch: &Batch, position: usize, with: &[u8]) -> Batch {
    let mut bytes = batch.bytes().to_vec();
    bytes[position..position + with.len()].copy_from_slice(with);
    with_crc(bytes)
}

fn with_crc(mut bytes: Vec<u8>) -> Batch {
    let length = i32::try_from(bytes.len() - LENGTH_OVERHEAD).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    Batch::parse(bytes.into()).unwrap()
}

/// A batch whose header counts `count` records, and whose records are `bytes`.
fn with_records(count: i32, bytes: &[u8]) -> Batch {
    let mut batch = built(Codec::None, &[record(0, None, None)]).bytes()[..HEADER_BYTES].to_vec();
    batch[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    batch[57..61].copy_from_slice(&count.to_be_bytes());
    batch.extend_from_slice(bytes);
    with_crc(batch)
}

fn fault_of(count: i32, bytes: &[u8]) -> BatchError {
    with_records(count, bytes).records(LIMIT).unwrap_err()
}

#[test]
fn batches_of_javas_client_are_read_with_every_codec() {
    for (codec, hex) in FROM_JAVA {
        let batch = Batch::parse(bytes_from_hex(hex)).unwrap();
        assert_eq!(batch.codec(), Ok(codec));
        assert_eq!(batch.check_producible(), Ok(()));
        assert_eq!(records_of(&batch), three_records(), "{codec}");
        let header = batch.header();
        assert_eq!(
            (header.producer_id, header.producer_epoch, header.base_sequence),
            (4711, 3, 42)
        );
        assert_eq!(header.max_timestamp, Timestamp::from_millis(1_700_000_000_500));
    }
}

#[test]
fn an_uncompressed_batch_is_built_to_the_byte_as_javas_client_does() {
    let producer = ProducerState { id: 4711, epoch: 3, base_sequence: 42 };
    let mut builder = BatchBuilder::new(Codec::None, Some(producer));
    for record in three_records() {
        builder.push(&record);
    }
    let batch = builder.build().unwrap();
    let theirs = bytes_from_hex(FROM_JAVA[0].1);
    assert_eq!(batch.bytes(), &theirs);
}

#[test]
fn keys_and_values_of_an_uncompressed_batch_are_not_copied() {
    let batch = built(Codec::None, &three_records());
    let inside = batch.bytes().as_ptr_range();
    let read = batch.records(0).unwrap();
    let first = &read[0].record;
    for part in [&first.key, &first.value, &first.headers[0].value] {
        assert!(inside.contains(&part.as_ref().unwrap().as_ptr()));
    }
}

#[test]
fn offsets_follow_the_base_offset_up_to_the_largest() {
    let batch = built(Codec::Lz4, &three_records());
    let largest = Offset::new(i64::MAX - 2).unwrap();
    let offsets: Vec<_> =
        batch.at(largest).records(LIMIT).unwrap().iter().map(|read| read.offset.get()).collect();
    assert_eq!(offsets, [i64::MAX - 2, i64::MAX - 1, i64::MAX]);
    let error = batch.at(largest.next()).records(LIMIT).unwrap_err();
    assert_eq!(error, BatchError::Offset { base_offset: i64::MAX - 1, delta: 2 });
}

#[test]
fn append_time_replaces_the_time_of_every_record() {
    let batch = patched(&built(Codec::None, &three_records()), 21, &[0, 0x08]);
    let appended = Timestamp::from_millis(1_700_000_000_500);
    assert!(records_of(&batch).iter().all(|record| record.timestamp == appended));
}

#[test]
fn a_compacted_batch_may_have_gaps() {
    let gap = patched(&built(Codec::None, &three_records()), 23, &9_i32.to_be_bytes());
    assert_eq!(gap.records(LIMIT).unwrap().len(), 3);
    assert!(gap.check_producible().is_err());
}

#[test]
fn bombs_are_refused_and_the_limit_is_exact() {
    let zeros = Record { value: Some(vec![0; 100_000].into()), ..record(0, None, None) };
    let plain = built(Codec::None, std::slice::from_ref(&zeros)).len() - HEADER_BYTES;
    for codec in Codec::ALL.into_iter().skip(1) {
        let batch = built(codec, std::slice::from_ref(&zeros));
        assert!(batch.len() < 10_000);
        assert!(batch.records(plain).is_ok());
        assert_eq!(batch.records(plain - 1), Err(BatchError::TooLarge { limit: plain - 1 }));
    }
}

#[test]
fn what_no_producer_may_write_is_refused() {
    let batch = built(Codec::None, &three_records());
    assert_eq!(batch.check_producible(), Ok(()));
    let transactional = patched(&batch, 21, &[0, 0x10]);
    assert_eq!(transactional.check_producible(), Ok(()));
    assert!(transactional.header().attributes.is_transactional());

    let refused = |position, with: &[u8]| patched(&batch, position, with).check_producible();
    assert_eq!(refused(21, &[0, 0x20]), Err(BatchError::Control));
    assert_eq!(refused(21, &[0, 0x40]), Err(BatchError::DeleteHorizon));
    for codec in 5..=7 {
        assert_eq!(refused(21, &[0, codec]), Err(BatchError::Codec { came: codec }));
    }
    for (position, number) in [(23, 3_i32), (57, 0), (57, 2), (57, i32::MAX)] {
        let refused = refused(position, &number.to_be_bytes());
        assert!(matches!(refused, Err(BatchError::Counts { .. })), "{refused:?}");
    }
    // Producer 0 whose epoch and sequence are still -1.
    let without_either = patched(&batch, 43, &[0; 8]);
    let without_epoch = patched(&without_either, 53, &[0; 4]);
    let without_sequence = patched(&without_either, 51, &[0; 2]);
    for batch in [&without_either, &without_epoch, &without_sequence] {
        let refused = batch.check_producible();
        assert!(matches!(refused, Err(BatchError::Producer { id: 0, .. })), "{refused:?}");
    }
    assert_eq!(patched(&without_epoch, 51, &[0; 2]).check_producible(), Ok(()));
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    use RecordFault::{CutOff, HeaderName, Length, OffsetDelta, Trailing, Varint};
    // Length 6 (zigzag 12): attributes, timestamp delta, offset delta, key, value, headers.
    assert!(with_records(1, &[12, 0, 0, 0, 1, 1, 0]).records(0).is_ok());
    let cases: [(&[u8], RecordFault); 16] = [
        (&[], CutOff("record length")),
        (&[14, 0, 0, 0, 1, 1, 0], CutOff("record length")),
        (&[0x80, 0x80, 0x80, 0x80, 0x80, 0], Varint("record length")),
        (&[0xff, 0xff, 0xff, 0xff, 0x1f, 0], Varint("record length")),
        (&[1], Length { field: "record length", came: -1 }),
        (&[0], CutOff("attributes")),
        (&[2, 0], CutOff("timestamp delta")),
        (&[24, 0, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2, 0], Varint("timestamp delta")),
        (&[12, 0, 0, 2, 1, 1, 0], OffsetDelta { came: 1, after: -1, last: 0 }),
        (&[12, 0, 0, 1, 1, 1, 0], OffsetDelta { came: -1, after: -1, last: 0 }),
        (&[12, 0, 0, 0, 3, 1, 0], Length { field: "key length", came: -2 }),
        (&[12, 0, 0, 0, 1, 4, 0], CutOff("value length")),
        (&[12, 0, 0, 0, 1, 1, 1], Length { field: "header count", came: -1 }),
        (&[14, 0, 0, 0, 1, 1, 2, 1], Length { field: "header name length", came: -1 }),
        (&[18, 0, 0, 0, 1, 1, 2, 2, 0xff, 1], HeaderName),
        (&[14, 0, 0, 0, 1, 1, 0, 0], Trailing { bytes: 1 }),
    ];
    for (bytes, fault) in cases {
        assert_eq!(fault_of(1, bytes), BatchError::Record { index: 0, fault }, "{bytes:?}");
    }
}

#[test]
fn counts_that_contradict_the_records_are_refused() {
    let one = [12, 0, 0, 0, 1, 1, 0];
    let fault = RecordFault::CutOff("record length");
    assert_eq!(fault_of(2, &one), BatchError::Record { index: 1, fault });
    let fault = RecordFault::OffsetDelta { came: 0, after: 0, last: 1 };
    assert_eq!(fault_of(2, &[one, one].concat()), BatchError::Record { index: 1, fault });
    assert_eq!(fault_of(1, &[one, one].concat()), BatchError::TrailingRecords { bytes: 7 });
}

#[test]
fn stated_counts_reserve_no_memory() {
    // Two billion records, and two billion headers, would take hundreds of gigabytes.
    let one = [12, 0, 0, 0, 1, 1, 0];
    assert!(with_records(i32::MAX, &one).records(LIMIT).is_err());
    let headers = [20, 0, 0, 0, 1, 1, 0xfe, 0xff, 0xff, 0xff, 0x0f];
    assert!(with_records(1, &headers).records(LIMIT).is_err());
}

#[test]
fn reading_ends_after_an_error() {
    let mut records = with_records(3, &[12, 0, 0, 0, 1, 1, 0, 1]).decode(LIMIT).unwrap();
    assert!(records.next().unwrap().is_ok());
    assert!(records.next().unwrap().is_err());
    assert!(records.next().is_none());
}

#[test]
fn an_empty_batch_cannot_be_built() {
    assert_eq!(BatchBuilder::new(Codec::None, None).build(), Err(BatchError::Empty));
}

#[test]
fn every_length_that_cuts_a_batch_off_is_refused() {
    for codec in Codec::ALL {
        let batch = built(codec, &three_records());
        for length in 0..batch.len() {
            assert!(Batch::parse(batch.bytes().slice(..length)).is_err(), "{codec} at {length}");
        }
        let longer = [batch.bytes(), &b"x"[..]].concat();
        assert_eq!(Batch::parse(longer.into()), Err(BatchError::Trailing { bytes: 1 }));
    }
}

#[test]
fn every_byte_after_the_prefix_is_guarded() {
    for codec in Codec::ALL {
        let batch = built(codec, &three_records());
        for position in PREFIX_BYTES..batch.len() {
            for bit in 0..8 {
                let mut bytes = batch.bytes().to_vec();
                bytes[position] ^= 1 << bit;
                assert!(Batch::parse(bytes.into()).is_err(), "{codec} at {position}, bit {bit}");
            }
        }
    }
}

#[test]
fn old_formats_are_named() {
    let mut old = vec![0; 30];
    old[16] = 1;
    assert_eq!(Batch::parse(old.into()), Err(BatchError::Magic { came: 1 }));
}

fn some_bytes() -> impl Strategy<Value = Option<Bytes>> {
    option::of(vec(any::<u8>(), 0..40).prop_map(Bytes::from))
}

pub(super) fn some_record() -> impl Strategy<Value = Record> {
    let header = ("[a-cä]{0,3}", some_bytes()).prop_map(|(key, value)| Header { key, value });
    let time = prop_oneof![any::<i64>(), -5_i64..5, Just(i64::MIN), Just(i64::MAX)];
    (some_bytes(), some_bytes(), vec(header, 0..4), time).prop_map(|(key, value, headers, time)| {
        Record { key, value, headers, timestamp: Timestamp::from_millis(time) }
    })
}

pub(super) fn some_codec() -> impl Strategy<Value = Codec> {
    proptest::sample::select(&Codec::ALL[..])
}

proptest! {
    #[test]
    fn what_is_built_is_read(
        codec in some_codec(),
        records in vec(some_record(), 1..20),
        base in 0..i64::MAX - 20,
    ) {
        let batch = built(codec, &records);
        prop_assert_eq!(batch.check_producible(), Ok(()));
        let max = records.iter().map(|record| record.timestamp).max().unwrap();
        prop_assert_eq!(batch.header().max_timestamp, max);
        let stored = Batch::parse(batch.at(Offset::new(base).unwrap()).bytes().clone()).unwrap();
        let read = stored.records(LIMIT).unwrap();
        for (offset, read) in (base..).zip(&read) {
            prop_assert_eq!(read.offset.get(), offset);
        }
        prop_assert_eq!(records_of(&stored), records);
    }

    #[test]
    fn a_builder_knows_how_large_it_is(records in vec(some_record(), 1..20)) {
        let mut builder = BatchBuilder::new(Codec::None, None);
        let mut bytes = builder.bytes();
        for record in &records {
            bytes += record_bytes(record);
            builder.push(record);
        }
        prop_assert!(builder.bytes() <= bytes);
        prop_assert_eq!(builder.len(), records.len());
        let expected = builder.bytes();
        prop_assert_eq!(builder.build().unwrap().len(), expected);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200)) {
        let _ = Batch::parse(bytes.into()).map(|batch| batch.records(LIMIT));
    }

    #[test]
    fn arbitrary_records_never_panic(
        attributes in 0..8_u8,
        count in any::<i32>(),
        bytes in vec(prop_oneof![any::<u8>(), 0..20_u8], 0..200),
    ) {
        let batch = with_records(count.max(1), &bytes);
        let _ = patched(&batch, 21, &[0, attributes]).records(LIMIT);
    }

    #[test]
    fn damaged_packed_records_never_panic(
        codec in some_codec(),
        records in vec(some_record(), 1..5),
        position in any::<prop::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let batch = built(codec, &records);
        let position = HEADER_BYTES + position.index(batch.len() - HEADER_BYTES);
        let _ = patched(&batch, position, &[byte]).records(LIMIT);
    }
}

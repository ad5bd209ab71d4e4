//! Opening a log over files that nobody vouches for, on the simulated disk.
//!
//! The first byte says how the rest is taken: even, as a journal file whose checksums are put
//! right, so that what they guard is reached; odd, as bytes to change in the files of a sound log.
//! Whatever was there: opening answers, what is served is sound, and a log that opened once takes
//! a batch and opens again with everything that it served.

#![no_main]

use factum_event::Offset;
use factum_event::batch::crc32c;
use factum_fuzz::{CLEANED, File, NEW, append, disk_with, open, partition, sound_log};
use factum_log::{Extent, Log, PartitionId, ReadError, VerifyOptions, verify};
use libfuzzer_sys::fuzz_target;
use pollster::block_on;

const JOURNAL: &str = "journal/00000000000000000001.journal";

/// Bytes of the header of a file, of the fixed part of a group's header, and of an entry.
const UNIT: usize = 64;

/// More than a read has to return at once.
const READ_BYTES: usize = 1 << 20;

fuzz_target!(|input: &[u8]| {
    let Some((&how, rest)) = input.split_first() else { return };
    let files = if how % 2 == 0 {
        vec![(JOURNAL.to_owned(), with_fitting_checksums(rest.to_vec()))]
    } else {
        changed(sound_log().to_vec(), rest)
    };
    let disk = disk_with(&files);
    let deep = VerifyOptions { deep: true, ..VerifyOptions::default() };
    drop(verify(disk.as_ref(), &deep, &mut ()));
    let Ok((log, _)) = open(&disk) else { return };
    let served = read_all(&log, how % 2 == 1);
    let end = log.extent(partition(NEW)).end;
    append(&log, partition(NEW));
    log.close();
    drop(log);

    let (log, recovery) = open(&disk).expect("what was opened opens again");
    assert_eq!(recovery.truncated, None, "a log that was closed has no torn end");
    for (id, extent) in served {
        let again = log.extent(id);
        assert!(again.start == extent.start && again.end >= extent.end, "{id:?} lost records");
    }
    assert_eq!(log.extent(partition(NEW)).end, end.next());
});

/// Reads every partition to its end, or to what is damaged; answers what was there to read.
fn read_all(log: &Log, cleaned: bool) -> Vec<(PartitionId, Extent)> {
    let partitions = log.partitions();
    for &id in &partitions {
        read_partition(log, id, cleaned && id == partition(CLEANED));
    }
    partitions.into_iter().map(|id| (id, log.extent(id))).collect()
}

fn read_partition(log: &Log, id: PartitionId, holes: bool) {
    let Extent { start, end } = log.extent(id);
    let mut next = start;
    while next < end {
        let batches = match block_on(log.read(id, next, READ_BYTES)) {
            Ok(batches) => batches,
            // Damage of one batch, or of an index that can no longer be built again.
            Err(ReadError::Damaged { .. } | ReadError::Io { .. }) => return,
            Err(error) => panic!("{error}"),
        };
        assert!(holes || !batches.is_empty(), "nothing at {next} before the end at {end}");
        if batches.is_empty() {
            return;
        }
        for stored in batches {
            let base = stored.entry.base_offset;
            assert!(base == next || (holes && base > next), "{base} came, not {next}");
            let batch = stored.to_batch().expect("what is served was checked");
            assert_eq!(batch.header().base_offset, base.get());
            next = stored.entry.next_offset();
        }
    }
    let mut next = start;
    while let Ok(entries) = log.entries(id, next, 7) {
        let Some(last) = entries.last() else { break };
        assert!(last.next_offset() > next || next == Offset::new(i64::MAX).expect("an offset"));
        if last.next_offset() <= next {
            break;
        }
        next = last.next_offset();
    }
}

/// Four bytes are a change: which file, where (two bytes), and what to flip there; 0 cuts off.
fn changed(mut files: Vec<File>, changes: &[u8]) -> Vec<File> {
    for change in changes.chunks_exact(4) {
        let count = files.len();
        let (_, bytes) = &mut files[usize::from(change[0]) % count];
        let at = usize::from(u16::from_be_bytes([change[1], change[2]]));
        match change[3] {
            0 => bytes.truncate(at),
            flip => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= flip),
        }
    }
    files
}

/// Puts right what the format in `docs/formats/journal.md` guards by magic, salt, and CRC.
fn with_fitting_checksums(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.len() < UNIT {
        return bytes;
    }
    bytes[..8].copy_from_slice(b"FACTUMJN");
    bytes[12..16].copy_from_slice(&1_u32.to_be_bytes());
    bytes[16..24].copy_from_slice(&1_u64.to_be_bytes());
    let crc = crc32c(&bytes[12..UNIT]);
    bytes[8..12].copy_from_slice(&crc.to_be_bytes());
    let salt: Vec<u8> = bytes[24..32].to_vec();
    let mut rest = &mut bytes[UNIT..];
    while rest.len() >= 2 * UNIT && rest[..UNIT] != [0; UNIT] {
        rest[..4].copy_from_slice(b"FGRP");
        rest[8..12].copy_from_slice(&[0, 1, 0, 0]);
        rest[32..40].copy_from_slice(&salt);
        let count = u32::from_be_bytes([rest[12], rest[13], rest[14], rest[15]]);
        let front = (count as usize).saturating_add(1).saturating_mul(UNIT).min(rest.len());
        let crc = crc32c(&rest[8..front]);
        rest[4..8].copy_from_slice(&crc.to_be_bytes());
        let length = u32::from_be_bytes([rest[20], rest[21], rest[22], rest[23]]) as usize;
        let length = length.clamp(UNIT, rest.len());
        rest = &mut rest[length..];
    }
    bytes
}

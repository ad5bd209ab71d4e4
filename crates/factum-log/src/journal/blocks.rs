//! Writes to the end of a journal in whole blocks, past the cache of the system.
//!
//! Groups end anywhere in a block of the disk. What the last group has in its last block is kept
//! here and written again, the same bytes at the same place, with the group that follows: no
//! accident can take from it what it had.

use std::io;
use std::sync::Arc;

use crate::disk::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile, write_at};

/// What is copied together and written in one piece; a larger group takes several. Few large ones
/// take less of the processor: each is a way to the disk and back.
const PIECE_BYTES: usize = 4 << 20;

/// How far zeros are written ahead, in one piece, when less than the second number is left of them.
const ZEROS_BYTES: u64 = 256 << 10;
const FEW_ZEROS_BYTES: u64 = 64 << 10;

/// The end of a journal file.
pub(crate) struct BlockWriter {
    file: Arc<dyn DiskFile>,
    piece: AlignedBuffer,
    /// What was written of the block in which the next write begins.
    begun: Vec<u8>,
    /// Up to where zeros were written behind the end.
    zeros_until: u64,
}

impl BlockWriter {
    /// To go on at `position` of a file that exists.
    pub(crate) fn open(disk: &dyn Disk, path: &str, position: u64) -> io::Result<Self> {
        let block_start = position - position % BLOCK_BYTES as u64;
        let mut begun = vec![0; usize::try_from(position - block_start).unwrap_or(0)];
        disk.open(path)?.read_exact_at(&mut begun, block_start)?;
        let file = disk.open_direct(path)?;
        Ok(Self { file, piece: AlignedBuffer::new(PIECE_BYTES), begun, zeros_until: 0 })
    }

    /// Goes on in another file, behind the `begun` bytes that it begins with.
    pub(crate) fn change_to(&mut self, file: Arc<dyn DiskFile>, begun: &[u8]) {
        self.file = file;
        self.zeros_until = 0;
        self.begun.clear();
        self.begun.extend_from_slice(begun);
    }

    /// The file, for everything but writing.
    pub(crate) fn file(&self) -> &dyn DiskFile {
        self.file.as_ref()
    }

    /// Writes `parts` one after the other where the last write ended, which is `position`, and
    /// zeros behind them to the end of the block. Where it fails, it may be called again for the
    /// same position.
    pub(crate) fn write<'a>(
        &mut self,
        position: u64,
        parts: impl IntoIterator<Item = &'a [u8]>,
    ) -> io::Result<()> {
        debug_assert_eq!(position % BLOCK_BYTES as u64, self.begun.len() as u64);
        let mut at = position - self.begun.len() as u64;
        let mut filled = self.begun.len();
        self.piece[..filled].copy_from_slice(&self.begun);
        for mut part in parts {
            while !part.is_empty() {
                let (now, later) = part.split_at(part.len().min(PIECE_BYTES - filled));
                self.piece[filled..filled + now.len()].copy_from_slice(now);
                (part, filled) = (later, filled + now.len());
                if filled == PIECE_BYTES {
                    write_at(self.file.as_ref(), &self.piece, at)?;
                    (at, filled) = (at + PIECE_BYTES as u64, 0);
                }
            }
        }
        let whole = filled.next_multiple_of(BLOCK_BYTES);
        if whole > 0 {
            self.piece[filled..whole].fill(0);
            write_at(self.file.as_ref(), &self.piece[..whole], at)?;
        }
        self.begun.clear();
        self.begun.extend_from_slice(&self.piece[filled - filled % BLOCK_BYTES..filled]);
        Ok(())
    }

    /// Writes zeros, which are there already, behind `position`, where the last write ended, but
    /// not past `capacity`: writes into room that was written before need no change of the file
    /// system's own records, which makes their flushes faster. Not flushed.
    pub(crate) fn write_zeros(&mut self, position: u64, capacity: u64) -> io::Result<()> {
        let from = position.next_multiple_of(BLOCK_BYTES as u64).max(self.zeros_until);
        if from >= capacity || from > position + FEW_ZEROS_BYTES {
            return Ok(());
        }
        let count = ZEROS_BYTES.min(capacity - from);
        let zeros = &mut self.piece[..usize::try_from(count).unwrap_or(0)];
        zeros.fill(0);
        write_at(self.file.as_ref(), zeros, from)?;
        self.zeros_until = from + count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::OsDisk;
    use crate::disk::sim::{Faults, SimDisk};

    fn content(disk: &dyn Disk) -> Vec<u8> {
        let file = disk.open("a").unwrap();
        let mut bytes = vec![0; usize::try_from(file.len().unwrap()).unwrap()];
        file.read_exact_at(&mut bytes, 0).unwrap();
        bytes
    }

    fn write(writer: &mut BlockWriter, written: &mut Vec<u8>, part: &[u8]) -> io::Result<()> {
        let (front, back) = part.split_at(part.len() / 3);
        writer.write(written.len() as u64, [front, back])?;
        written.extend_from_slice(part);
        Ok(())
    }

    /// Writes pieces of these lengths; the writer is opened anew in the middle of them.
    fn check(disk: &dyn Disk, lengths: &[usize]) {
        disk.create("a").unwrap();
        let mut written = Vec::new();
        let (first, rest) = lengths.split_at(lengths.len() / 2);
        for lengths in [first, rest] {
            let mut writer = BlockWriter::open(disk, "a", written.len() as u64).unwrap();
            for (number, &length) in (1..).zip(lengths) {
                write(&mut writer, &mut written, &vec![number; length]).unwrap();
            }
            writer.file().sync_data().unwrap();
        }
        let content = content(disk);
        assert!(content.starts_with(&written));
        assert!(content[written.len()..].iter().all(|&byte| byte == 0));
        assert!(content.len().is_multiple_of(BLOCK_BYTES));
    }

    proptest! {
        #[test]
        fn what_is_written_stands_there_whatever_its_lengths(
            lengths in proptest::collection::vec(0..10_000_usize, 1..12),
        ) {
            check(&SimDisk::new(1), &lengths);
        }
    }

    #[test]
    fn zeros_go_ahead_of_what_is_written_and_never_over_it() {
        let disk = SimDisk::new(1);
        let capacity = 3 * ZEROS_BYTES;
        disk.create("a").unwrap().allocate(capacity).unwrap();
        let mut writer = BlockWriter::open(&disk, "a", 0).unwrap();
        let mut written = Vec::new();
        for number in 1..=255 {
            write(&mut writer, &mut written, &vec![number; 3000]).unwrap();
            writer.write_zeros(written.len() as u64, capacity).unwrap();
            assert!(writer.zeros_until >= written.len() as u64);
        }
        let content = content(&disk);
        assert!(content.starts_with(&written) && content.len() as u64 == capacity);
        assert!(content[written.len()..].iter().all(|&byte| byte == 0));
        let writes = disk.stats().writes;
        assert_eq!(writes, 255 + 3, "zeros come in few pieces, and end where the room does");
    }

    #[test]
    fn a_group_larger_than_a_piece_is_written_in_several() {
        let lengths = [100, PIECE_BYTES - 100, 64, 3 * PIECE_BYTES, 5000, PIECE_BYTES + 1];
        check(&SimDisk::new(1), &lengths);
        let directory = tempfile::tempdir().unwrap();
        check(&OsDisk::new(directory.path()).unwrap(), &lengths);
        // A file system in memory has no way past the cache, or pretends to have one.
        if let Ok(directory) = tempfile::tempdir_in("/dev/shm") {
            check(&OsDisk::new(directory.path()).unwrap(), &lengths);
        }
    }

    #[test]
    fn a_write_that_failed_is_made_good_by_the_same_write() {
        let disk = SimDisk::new(1);
        disk.create("a").unwrap();
        let mut written = Vec::new();
        let mut writer = BlockWriter::open(&disk, "a", 0).unwrap();
        write(&mut writer, &mut written, &[1; 5000]).unwrap();
        for at in 1..=3 {
            disk.set_faults(Faults { full_at_write: Some(at), ..Faults::default() });
            let part = vec![2; 2 * PIECE_BYTES];
            assert!(write(&mut writer, &mut written, &part).is_err());
            write(&mut writer, &mut written, &part).unwrap();
            assert!(content(&disk).starts_with(&written), "write {at}");
        }
    }
}

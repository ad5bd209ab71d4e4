//! A file that is read once, from front to back: each byte comes from the disk itself, and takes
//! no room from what others read often.

use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile};

/// What is read in one piece.
const PIECE_BYTES: usize = 1 << 20;

/// Reads past the cache of the system, in large pieces, however small those asked for.
pub(crate) struct ForwardFile {
    /// For what is no whole block, and where a piece cannot be read whole.
    plain: Arc<dyn DiskFile>,
    direct: Arc<dyn DiskFile>,
    /// Behind the last block that is read in pieces.
    until: u64,
    piece: Mutex<Piece>,
}

/// What was read last.
struct Piece {
    bytes: AlignedBuffer,
    start: u64,
    length: usize,
}

impl ForwardFile {
    /// Opens a file for reading up to `end`, behind which it may change.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and as the operating system says.
    pub(crate) fn open(disk: &dyn Disk, path: &str, end: u64) -> io::Result<Self> {
        let (plain, direct) = (disk.open(path)?, disk.open_direct(path)?);
        let until = end - end % BLOCK_BYTES as u64;
        let bytes = AlignedBuffer::new(PIECE_BYTES);
        let piece = Mutex::new(Piece { bytes, start: 0, length: 0 });
        Ok(Self { plain, direct, until, piece })
    }
}

impl Piece {
    /// Copies what it has of the front of `buffer`, and says how much that is.
    fn copy(&self, buffer: &mut [u8], position: u64) -> usize {
        let from = position.checked_sub(self.start).and_then(|from| usize::try_from(from).ok());
        let held = from.and_then(|from| self.bytes[..self.length].get(from..)).unwrap_or_default();
        let count = held.len().min(buffer.len());
        buffer[..count].copy_from_slice(&held[..count]);
        count
    }

    /// Reads the blocks from the one of `position` on, which is before `until`.
    fn fill(&mut self, file: &dyn DiskFile, position: u64, until: u64) -> io::Result<()> {
        let start = position - position % BLOCK_BYTES as u64;
        let left = usize::try_from(until.saturating_sub(start)).unwrap_or(usize::MAX);
        let length = left.min(PIECE_BYTES);
        // Nothing is held should it fail.
        self.length = 0;
        file.read_exact_at(&mut self.bytes[..length], start)?;
        (self.start, self.length) = (start, length);
        Ok(())
    }
}

impl DiskFile for ForwardFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let mut piece = self.piece.lock();
        let (mut rest, mut at) = (buffer, position);
        loop {
            let count = piece.copy(rest, at);
            rest = &mut rest[count..];
            at += count as u64;
            if rest.is_empty() {
                return Ok(());
            }
            if at >= self.until {
                return self.plain.read_exact_at(rest, at);
            }
            if let Err(error) = piece.fill(self.direct.as_ref(), at, self.until) {
                // Perhaps only another part of the piece cannot be read.
                if error.kind() != io::ErrorKind::UnexpectedEof {
                    tracing::warn!(%error, at, "a piece cannot be read past the cache");
                }
                return self.plain.read_exact_at(rest, at);
            }
        }
    }

    fn write_all_at(&self, _: &mut [IoSlice<'_>], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn allocate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::PermissionDenied.into())
    }

    fn len(&self) -> io::Result<u64> {
        self.plain.len()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::sim::SimDisk;
    use super::super::{OsDisk, write_at};
    use super::*;

    const LENGTH: usize = 3 * PIECE_BYTES + 4321;

    fn content() -> Vec<u8> {
        (0..=250).cycle().take(LENGTH).collect()
    }

    /// Reads views of a file of [`LENGTH`] bytes, and of what is no more there.
    fn check(disk: &dyn Disk, end: usize, views: &[(usize, usize)]) {
        let content = content();
        write_at(disk.create("a").unwrap().as_ref(), &content, 0).unwrap();
        let file = ForwardFile::open(disk, "a", end as u64).unwrap();
        for &(position, count) in views {
            let mut seen = vec![0; count];
            let read = file.read_exact_at(&mut seen, position as u64);
            let expected = content.get(position..position + count);
            assert_eq!(read.is_ok().then_some(&seen[..]), expected, "{position} {count}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_file_is_seen_as_it_is(
            end in 0..=LENGTH,
            views in proptest::collection::vec((0..LENGTH + 9, 0..2 * PIECE_BYTES), 1..12),
        ) {
            check(&SimDisk::new(1), end, &views);
        }
    }

    #[test]
    fn a_file_of_the_operating_system_is_seen_to_its_last_byte() {
        let views = [(0, 64), (64, LENGTH - 64), (LENGTH - 5, 5), (LENGTH - 5, 6), (8191, 2)];
        let directory = tempfile::tempdir().unwrap();
        check(&OsDisk::new(directory.path()).unwrap(), LENGTH, &views);
        // A file system in memory has no way past the cache, or pretends to have one.
        if let Ok(directory) = tempfile::tempdir_in("/dev/shm") {
            check(&OsDisk::new(directory.path()).unwrap(), LENGTH, &views);
        }
    }

    /// Each piece once was read again, as it had all but the last bytes of what was wanted.
    #[test]
    fn who_reads_forwards_has_each_byte_read_once() {
        for step in [64, 4000, 100_000, PIECE_BYTES, PIECE_BYTES + 64, LENGTH] {
            let disk = SimDisk::new(1);
            let views: Vec<_> =
                (0..LENGTH).step_by(step).map(|at| (at, step.min(LENGTH - at))).collect();
            check(&disk, LENGTH, &views);
            let blocks = LENGTH - LENGTH % BLOCK_BYTES;
            assert_eq!(disk.stats().direct_read_bytes, blocks as u64, "steps of {step}");
        }
    }

    #[test]
    fn a_file_that_became_shorter_is_read_up_to_there() {
        let disk = SimDisk::new(1);
        let content = content();
        write_at(disk.create("a").unwrap().as_ref(), &content, 0).unwrap();
        let file = ForwardFile::open(&disk, "a", LENGTH as u64).unwrap();
        disk.open("a").unwrap().truncate(5000).unwrap();
        let mut seen = [0; 1000];
        file.read_exact_at(&mut seen, 4000).unwrap();
        assert_eq!(seen, content[4000..5000]);
        assert!(file.read_exact_at(&mut seen, 4001).is_err());
    }
}

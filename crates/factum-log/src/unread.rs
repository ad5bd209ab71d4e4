//! What nobody has read since it was written: it is not in the cache of the system, which journals
//! are written past.
//!
//! Filling that cache costs more than reading, for bytes that perhaps nobody wants again. So who
//! reads much in a row, and first, gets it past the cache as well, into memory that is used again
//! and again. Who comes second reads through the cache, and fills it for all who follow.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::disk::{AlignedBuffer, BLOCK_BYTES, DiskFile};
use crate::entry::BatchEntry;
use crate::journal::is_segment;

/// The most that is read at once: a batch of a MiB, and what stands around it.
pub(crate) const PIECE_BYTES: usize = (1 << 20) + (64 << 10);

/// Less is not worth a buffer.
const MIN_BYTES: u64 = 128 << 10;

/// Batches in a row have so many bytes on average: each row is a part of what is sent.
const MIN_PART_BYTES: u64 = 16 << 10;

/// A piece in whole blocks.
const BUFFER_BYTES: usize = PIECE_BYTES.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES;

/// Buffers that there are; who finds none left reads through the cache.
const MAX_BUFFERS: usize = 16;

/// How far each journal was read, and memory for what was not.
#[derive(Default)]
pub(crate) struct Unread {
    /// Where large reads have ended since the log was opened, by journal. A mark is enough: who has
    /// little of a journal, here and there, reads through the cache anyhow.
    read_to: Mutex<HashMap<u64, u64>>,
    shelf: Arc<Mutex<Shelf>>,
}

#[derive(Default)]
struct Shelf {
    /// The last one that came back is the first to go: it is the warmest.
    idle: Vec<AlignedBuffer>,
    made: usize,
}

impl Unread {
    /// Memory for batches of one journal, if they are worth it and behind all that was read.
    pub(crate) fn claim(&self, piece: &[BatchEntry]) -> Option<Lent> {
        let first = piece.first()?;
        // Segments are written through the cache.
        if is_segment(first.journal) || !is_worth_it(piece) {
            return None;
        }
        let read_to = self.read_to.lock().get(&first.journal).copied().unwrap_or(0);
        if first.position < read_to { None } else { Lent::take(&self.shelf) }
    }

    /// Somebody got what is before `position`.
    pub(crate) fn mark(&self, journal: u64, position: u64) {
        let mut marks = self.read_to.lock();
        let read_to = marks.entry(journal).or_default();
        *read_to = position.max(*read_to);
    }

    /// Forgets a journal that is removed.
    pub(crate) fn forget(&self, journal: u64) {
        self.read_to.lock().remove(&journal);
    }
}

/// Whether a piece fits, is most of what it spans, and comes in few parts.
fn is_worth_it(piece: &[BatchEntry]) -> bool {
    let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return false };
    let reach = last.end_position().saturating_sub(first.position);
    let bytes: u64 = piece.iter().map(|entry| u64::from(entry.length)).sum();
    let parts = piece.chunk_by(|a, b| a.end_position() == b.position).count() as u64;
    (MIN_BYTES..=PIECE_BYTES as u64).contains(&reach)
        && bytes >= reach / 2
        && bytes >= parts * MIN_PART_BYTES
}

/// A buffer that comes back when it is dropped.
pub(crate) struct Lent {
    /// Always there, until it goes back.
    buffer: Option<AlignedBuffer>,
    shelf: Arc<Mutex<Shelf>>,
}

impl Lent {
    fn take(shelf: &Arc<Mutex<Shelf>>) -> Option<Self> {
        let mut kept = shelf.lock();
        let buffer = match kept.idle.pop() {
            Some(buffer) => buffer,
            None if kept.made < MAX_BUFFERS => {
                kept.made += 1;
                AlignedBuffer::new(BUFFER_BYTES)
            }
            None => return None,
        };
        Some(Self { buffer: Some(buffer), shelf: Arc::clone(shelf) })
    }

    /// Fills it with `length` bytes, at most [`PIECE_BYTES`], from `position` on of a file that is
    /// read in whole blocks.
    ///
    /// # Errors
    /// As the operating system says.
    pub(crate) fn read(
        mut self,
        file: &dyn DiskFile,
        position: u64,
        length: usize,
    ) -> io::Result<Bytes> {
        let before = usize::try_from(position % BLOCK_BYTES as u64).unwrap_or_default();
        let blocks = (before + length).next_multiple_of(BLOCK_BYTES);
        let room = self.buffer.as_mut().and_then(|buffer| buffer.get_mut(..blocks));
        let room = room.ok_or(io::ErrorKind::InvalidInput)?;
        file.read_exact_at(room, position - before as u64)?;
        Ok(Bytes::from_owner(self).slice(before..before + length))
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        self.buffer.as_deref().unwrap_or_default()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.shelf.lock().idle.extend(self.buffer.take());
    }
}

#[cfg(test)]
mod tests {
    use factum_event::{Offset, Timestamp};

    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk, write_at};
    use crate::journal::FIRST_SEGMENT;

    fn batch(journal: u64, position: u64, length: u32) -> BatchEntry {
        BatchEntry {
            base_offset: Offset::ZERO,
            last_offset: Offset::ZERO,
            max_timestamp: Timestamp::from_millis(0),
            appended_at: Timestamp::from_millis(0),
            producer_id: -1,
            producer_epoch: -1,
            base_sequence: -1,
            length,
            attributes: 0,
            crc: 0,
            journal,
            position,
        }
    }

    const K: u32 = 1 << 10;

    #[test]
    fn what_was_read_or_is_not_worth_it_is_not_claimed() {
        let unread = Unread::default();
        let claims = |piece: &[BatchEntry]| unread.claim(piece).is_some();
        let piece = [batch(1, 64, 100 * K), batch(1, 64 + 101 * 1024, 100 * K)];
        assert!(claims(&piece) && claims(&piece), "nobody got it so far");
        unread.mark(1, piece[1].end_position());
        unread.mark(1, 5);
        assert!(!claims(&piece));
        assert!(claims(&[batch(2, 0, 200 * K)]), "another journal");
        assert!(!claims(&[batch(1, 9000, 200 * K)]), "a part of it was read");
        assert!(claims(&[batch(1, piece[1].end_position(), 200 * K)]));
        assert!(!claims(&[batch(2, 0, 100 * K)]), "too small");
        assert!(!claims(&[batch(2, 0, 2 << 20)]), "too large");
        assert!(!claims(&[batch(2, 0, 50 * K), batch(2, 150 * 1024, 20 * K)]), "scattered");
        let small: Vec<_> = (0..100).map(|at| batch(2, at * 8 * 1024, 7 * K)).collect();
        assert!(!claims(&small), "too many parts");
        assert!(!claims(&[batch(FIRST_SEGMENT, 0, 200 * K)]), "it is in the cache");
        unread.forget(1);
        assert!(claims(&piece));
    }

    #[test]
    fn buffers_are_few_and_come_back() {
        let unread = Unread::default();
        let next = |number| unread.claim(&[batch(1, number << 20, 200 * K)]);
        let lent: Vec<_> = (0..MAX_BUFFERS as u64).filter_map(next).collect();
        assert_eq!(lent.len(), MAX_BUFFERS);
        assert!(next(100).is_none());
        drop(lent);
        assert!(next(100).is_some());
        assert_eq!(unread.shelf.lock().idle.len(), MAX_BUFFERS);
    }

    #[test]
    fn bytes_are_those_of_the_file_and_hold_their_buffer() {
        let disk = SimDisk::new(1);
        let content: Vec<u8> = (0..=250).cycle().take(2 << 20).collect();
        write_at(disk.create("a").unwrap().as_ref(), &content, 0).unwrap();
        let file = disk.open_direct("a").unwrap();
        let shelf = Arc::default();
        for (from, length) in [(0, 1), (64, 5000), (4095, PIECE_BYTES), (8192, 4096), (9, 0)] {
            let bytes = Lent::take(&shelf).unwrap().read(file.as_ref(), from as u64, length);
            assert_eq!(bytes.unwrap(), content[from..from + length]);
        }
        let lent = || Lent::take(&shelf).unwrap();
        assert!(lent().read(file.as_ref(), 2 << 20, 1).is_err(), "behind the end");
        assert!(
            lent().read(file.as_ref(), 0, BUFFER_BYTES + 1).is_err(),
            "more than there is room"
        );
        let shelf = shelf.lock();
        assert_eq!((shelf.made, shelf.idle.len()), (1, 1));
    }
}

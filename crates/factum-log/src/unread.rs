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

/// A piece in whole blocks.
const BUFFER_BYTES: usize = PIECE_BYTES.next_multiple_of(BLOCK_BYTES) + BLOCK_BYTES;

/// Buffers that there are; who finds none left reads through the cache.
const MAX_BUFFERS: usize = 16;

/// How far each journal was read, and memory for what was not.
#[derive(Default)]
pub(crate) struct Unread {
    /// Behind the last byte that was read, by journal. A mark is enough: who has little of a
    /// journal, here and there, reads through the cache anyhow.
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
    /// Memory for batches of one journal, if they are worth it and nobody has read so far; they
    /// count as read from now on.
    pub(crate) fn claim(&self, piece: &[BatchEntry]) -> Option<Lent> {
        let (first, last) = (piece.first()?, piece.last()?);
        let reach = last.end_position().saturating_sub(first.position);
        let bytes: u64 = piece.iter().map(|entry| u64::from(entry.length)).sum();
        // Segments are written through the cache.
        if is_segment(first.journal) || reach > PIECE_BYTES as u64 || bytes < reach / 2 {
            return None;
        }
        let mut marks = self.read_to.lock();
        let read_to = marks.entry(first.journal).or_default();
        if first.position < *read_to {
            return None;
        }
        let lent = Lent::take(&self.shelf)?;
        *read_to = last.end_position();
        Some(lent)
    }

    /// Forgets a journal that is removed.
    pub(crate) fn forget(&self, journal: u64) {
        self.read_to.lock().remove(&journal);
    }
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

    #[test]
    fn what_was_read_is_claimed_once_and_what_is_scattered_never() {
        let unread = Unread::default();
        let claims = |piece: &[BatchEntry]| unread.claim(piece).is_some();
        let piece = [batch(1, 64, 1000), batch(1, 1128, 1000)];
        assert!(claims(&piece) && !claims(&piece));
        assert!(claims(&[batch(2, 0, 1000)]), "another journal");
        assert!(!claims(&[batch(1, 2000, 1000)]), "a part of it was read");
        assert!(claims(&[batch(1, 2128, 1000)]));
        assert!(!claims(&[batch(1, 9000, 1000), batch(1, 90_000, 1000)]));
        assert!(!claims(&[batch(FIRST_SEGMENT, 0, 1000)]), "it is in the cache");
        assert!(!claims(&[batch(1, 9000, 2 << 20)]), "too large");
        unread.forget(1);
        assert!(claims(&piece));
    }

    #[test]
    fn buffers_are_few_and_come_back() {
        let unread = Unread::default();
        let next = |number| unread.claim(&[batch(1, number * 1000, 1000)]);
        let lent: Vec<_> = (0..MAX_BUFFERS as u64).filter_map(next).collect();
        assert_eq!(lent.len(), MAX_BUFFERS);
        assert!(next(100).is_none());
        drop(lent);
        assert!(next(100).is_some(), "what found no buffer was not read");
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

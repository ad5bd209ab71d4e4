//! Batches as they go to a socket: bytes in memory, or a region of a file that was checked.

use std::io;
use std::os::fd::BorrowedFd;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use factum_event::Offset;

use crate::disk::DiskFile;
use crate::entry::{BatchEntry, StoredBatch};

/// Batches in a row of fewer bytes are copied: a system call of their own would cost more.
const MIN_REGION_BYTES: usize = 32 << 10;

/// Whole batches of a partition in a row, not to be looked into.
#[derive(Debug, Clone)]
pub struct PartitionSlice {
    /// Their bytes, in order.
    pub chunks: Vec<Chunk>,
    /// The offset to read on from.
    pub next: Offset,
    /// How many of the bytes are in memory that was lent: of that there is little.
    lent: usize,
    /// Where a large read ended: the journal, and the position there.
    read_to: Option<(u64, u64)>,
}

/// Some of the bytes of a [`PartitionSlice`].
#[derive(Debug, Clone)]
pub enum Chunk {
    /// In memory.
    Memory(Bytes),
    /// In a file.
    File(FileRegion),
}

/// A region of a journal file whose batches were checked; their pages were in the page cache then.
///
/// It keeps the file open, also when the journal is removed.
#[derive(Clone)]
pub struct FileRegion {
    file: Arc<dyn DiskFile>,
    position: u64,
    length: usize,
}

impl PartitionSlice {
    /// Nothing; the next read is from `next` again.
    #[must_use]
    pub const fn empty(next: Offset) -> Self {
        Self { chunks: Vec::new(), next, lent: 0, read_to: None }
    }

    /// These batches, which follow each other; from `from` on, if there are none.
    #[must_use]
    pub fn of_batches(batches: Vec<StoredBatch>, from: Offset) -> Self {
        let next = batches.last().map_or(from, |batch| batch.entry.next_offset());
        let chunks = batches.into_iter().flat_map(|batch| [batch.prefix, batch.body]);
        Self { chunks: chunks.map(Chunk::Memory).collect(), next, lent: 0, read_to: None }
    }

    /// Its length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Chunk::len).sum()
    }

    /// How many of its bytes are in memory.
    #[must_use]
    pub fn bytes_in_memory(&self) -> usize {
        let in_memory = self.chunks.iter().filter(|chunk| matches!(chunk, Chunk::Memory(_)));
        in_memory.map(Chunk::len).sum()
    }

    /// Whether most of what it has in memory was lent, of which there is little, or else it has
    /// at most `bytes` there.
    pub(crate) fn takes_little(&self, bytes: usize) -> bool {
        self.bytes_in_memory() - self.lent <= bytes.max(self.lent)
    }

    /// Where a large read ended: the journal, and the position there.
    pub(crate) fn read_to(&self) -> Option<(u64, u64)> {
        self.read_to
    }

    /// Whether it has no batch.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.chunks.is_empty()
    }
}

impl Chunk {
    /// Its length in bytes.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "a chunk has a batch, or a part of one")]
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(bytes) => bytes.len(),
            Self::File(region) => region.len(),
        }
    }
}

impl FileRegion {
    /// Its length in bytes; 0 once all of it was skipped.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.length
    }

    /// Whether all of it was skipped.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Where it begins in the file.
    #[must_use]
    pub const fn position(&self) -> u64 {
        self.position
    }

    /// The file for the operating system; none on a simulated disk.
    #[must_use]
    pub fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        self.file.descriptor()
    }

    /// Takes up to `bytes` off its front.
    pub fn skip(&mut self, bytes: usize) {
        let bytes = bytes.min(self.length);
        self.position += bytes as u64;
        self.length -= bytes;
    }

    /// Reads from its front into `buffer`: as many bytes as both have.
    ///
    /// # Errors
    /// As the operating system says.
    pub fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = buffer.len().min(self.length);
        self.file.read_exact_at(&mut buffer[..bytes], self.position)?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for FileRegion {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "FileRegion({} bytes at {})", self.length, self.position)
    }
}

/// Puts checked batches together: neighbours become a region, few bytes are copied.
#[derive(Default)]
pub(crate) struct Gatherer {
    chunks: Vec<Chunk>,
    /// Batches whose bytes were copied, after the last of `chunks`.
    copied: BytesMut,
    run: Option<Run>,
    next: Option<Offset>,
    lent: usize,
    pub(crate) read_to: Option<(u64, u64)>,
}

/// Batches that stand back to back in a file.
struct Run {
    journal: u64,
    region: FileRegion,
    /// How many of its bytes are in `copied`; none of a run that is long enough.
    copied: usize,
}

impl Gatherer {
    /// Takes the next batch, which was checked; `bytes` if they are at hand.
    pub(crate) fn take(
        &mut self,
        file: &Arc<dyn DiskFile>,
        entry: &BatchEntry,
        bytes: Option<&[u8]>,
    ) {
        self.next = Some(entry.next_offset());
        let follows = |run: &Run| {
            let end = run.region.position + run.region.length as u64;
            run.journal == entry.journal && end == entry.position
        };
        if !self.run.as_ref().is_some_and(follows) {
            self.end_run();
        }
        let run = self.run.get_or_insert_with(|| Run {
            journal: entry.journal,
            region: FileRegion { file: Arc::clone(file), position: entry.position, length: 0 },
            copied: 0,
        });
        run.region.length += entry.length as usize;
        match bytes {
            Some(bytes) if run.region.length < MIN_REGION_BYTES => {
                self.copied.extend_from_slice(bytes);
                run.copied += bytes.len();
            }
            _ => {
                self.copied.truncate(self.copied.len() - run.copied);
                run.copied = 0;
            }
        }
    }

    /// Takes batches that were checked, with what stands between them, in memory that was lent.
    pub(crate) fn take_lent(&mut self, piece: &[BatchEntry], bytes: &Bytes) {
        let (Some(first), Some(last)) = (piece.first(), piece.last()) else { return };
        self.end_run();
        self.end_copied();
        let at = |position: u64| usize::try_from(position - first.position).unwrap_or(usize::MAX);
        for row in piece.chunk_by(|a, b| a.end_position() == b.position) {
            let chunk = bytes.slice(at(row[0].position)..at(row[row.len() - 1].end_position()));
            self.lent += chunk.len();
            self.chunks.push(Chunk::Memory(chunk));
        }
        self.next = Some(last.next_offset());
    }

    fn end_run(&mut self) {
        if let Some(run) = self.run.take()
            && run.copied == 0
        {
            self.end_copied();
            self.chunks.push(Chunk::File(run.region));
        }
    }

    fn end_copied(&mut self) {
        if !self.copied.is_empty() {
            self.chunks.push(Chunk::Memory(self.copied.split().freeze()));
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.next.is_none()
    }

    /// What was taken; from `from` on if that is nothing.
    pub(crate) fn finish(mut self, from: Offset) -> PartitionSlice {
        self.end_run();
        self.end_copied();
        PartitionSlice {
            chunks: self.chunks,
            next: self.next.unwrap_or(from),
            lent: self.lent,
            read_to: self.read_to,
        }
    }
}

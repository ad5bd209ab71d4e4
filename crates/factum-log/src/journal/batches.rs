//! Reads the batches of a file one after the other, in pieces: checks each, and hashes it.
//!
//! Memory is one buffer, whatever the size of a batch.

use std::io;

use bytes::Bytes;
use factum_event::batch::{HEADER_BYTES, PREFIX_BYTES};

use crate::chain::Link;
use crate::disk::DiskFile;
use crate::entry::BatchEntry;

/// What is read in one piece.
const PIECE_BYTES: u64 = 1 << 20;

/// The bytes before what the CRC of a batch covers.
const BEFORE_CRC: u64 = 21;

/// A file that is read forwards.
pub(crate) struct BatchReader<'a> {
    file: &'a dyn DiskFile,
    length: u64,
    buffer: Vec<u8>,
    /// Where `buffer` begins in the file.
    start: u64,
}

impl<'a> BatchReader<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile) -> io::Result<Self> {
        Ok(Self { file, length: file.len()?, buffer: Vec::new(), start: 0 })
    }

    /// Reads no further than to `end`.
    pub(crate) fn until(mut self, end: u64) -> Self {
        self.length = self.length.min(end);
        self
    }

    /// Bytes from `at` on, at least one and none from `until` on.
    pub(crate) fn piece(&mut self, at: u64, until: u64) -> io::Result<&[u8]> {
        let held = self.start..self.start + self.buffer.len() as u64;
        if !held.contains(&at) {
            let count = self.length.saturating_sub(at).min(PIECE_BYTES);
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.buffer.resize(index(count), 0);
            if let Err(error) = self.file.read_exact_at(&mut self.buffer, at) {
                self.buffer.clear();
                return Err(error);
            }
            self.start = at;
        }
        let from = index(at - self.start);
        let to = index((until - self.start).min(self.buffer.len() as u64));
        Ok(&self.buffer[from..to])
    }

    /// Checks that a batch is what its entry says; its bytes go to `link`. The inner error says
    /// what is wrong with it; what the disk cannot read is wrong as well.
    pub(crate) fn check(
        &mut self,
        entry: &BatchEntry,
        link: Option<&mut Link>,
    ) -> Result<(), String> {
        self.check_pieces(entry, link).unwrap_or_else(|error| {
            Err(match error.kind() {
                io::ErrorKind::UnexpectedEof => "the file ends before it does".into(),
                _ => format!("it cannot be read: {error}"),
            })
        })
    }

    fn check_pieces(
        &mut self,
        entry: &BatchEntry,
        mut link: Option<&mut Link>,
    ) -> io::Result<Result<(), String>> {
        let end = entry.end_position();
        let mut header = [0; HEADER_BYTES];
        self.fill(&mut header, entry.position)?;
        if let Err(reason) = entry.check_header(&header) {
            return Ok(Err(reason));
        }
        let mut crc = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc32Iscsi);
        let mut at = entry.position + PREFIX_BYTES as u64;
        while at < end {
            let piece = self.piece(at, end)?;
            let uncovered = (entry.position + BEFORE_CRC).saturating_sub(at);
            crc.update(&piece[index(uncovered).min(piece.len())..]);
            if let Some(link) = link.as_deref_mut() {
                link.update(piece);
            }
            at += piece.len() as u64;
        }
        Ok(entry.check_crc(crc.finalize()))
    }

    fn fill(&mut self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        let until = position + buffer.len() as u64;
        let mut done = 0;
        while done < buffer.len() {
            let piece = self.piece(position + done as u64, until)?;
            buffer[done..done + piece.len()].copy_from_slice(piece);
            done += piece.len();
        }
        Ok(())
    }

    /// A whole batch, to look into it.
    pub(crate) fn whole(&mut self, entry: &BatchEntry) -> io::Result<Bytes> {
        let mut bytes = vec![0; entry.length as usize];
        self.fill(&mut bytes, entry.position)?;
        Ok(Bytes::from(bytes))
    }

    /// The first byte of a range that is not zero.
    pub(crate) fn first_not_zero(&mut self, from: u64, until: u64) -> io::Result<Option<u64>> {
        let mut at = from;
        while at < until {
            let piece = self.piece(at, until)?;
            if let Some(found) = piece.iter().position(|&byte| byte != 0) {
                return Ok(Some(at + found as u64));
            }
            at += piece.len() as u64;
        }
        Ok(None)
    }
}

/// Pieces are far smaller than what an address can count.
fn index(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

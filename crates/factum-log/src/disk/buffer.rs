//! Memory for direct reads and writes.

use std::ops::{Deref, DerefMut};

use super::BLOCK_BYTES;

/// Bytes whose first is at a multiple of [`BLOCK_BYTES`] in memory.
pub(crate) struct AlignedBuffer {
    /// More than is used; never grown, so that it stays where it is.
    memory: Vec<u8>,
    start: usize,
    length: usize,
}

impl AlignedBuffer {
    /// Zeros.
    pub(crate) fn new(length: usize) -> Self {
        let memory = vec![0; length + BLOCK_BYTES];
        let address = memory.as_ptr().addr();
        let start = address.next_multiple_of(BLOCK_BYTES) - address;
        Self { memory, start, length }
    }
}

impl Deref for AlignedBuffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.length]
    }
}

impl DerefMut for AlignedBuffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_aligned_and_has_its_length() {
        for length in [0, 1, 4096, 10_000] {
            let mut buffer = AlignedBuffer::new(length);
            buffer.fill(1);
            assert_eq!((buffer.len(), buffer.as_ptr().addr() % BLOCK_BYTES), (length, 0));
        }
    }
}

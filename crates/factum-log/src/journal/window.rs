//! A view of a file that is read from front to back: large reads, however small the pieces.

use std::io;

use crate::disk::DiskFile;

/// How much is read in one piece where what follows is wanted as well.
const AHEAD_BYTES: usize = 1 << 20;

/// Bytes of a file, of which a part is in memory: at most the piece last asked for, or
/// [`AHEAD_BYTES`].
pub(crate) struct Window<'a> {
    file: &'a dyn DiskFile,
    /// Of the file.
    length: u64,
    start: u64,
    bytes: Vec<u8>,
}

impl<'a> Window<'a> {
    pub(crate) fn new(file: &'a dyn DiskFile, length: u64) -> Self {
        Self { file, length, start: 0, bytes: Vec::new() }
    }

    /// `count` bytes from `position` on; where they have to be read, with `follow` those behind
    /// them too.
    pub(crate) fn bytes(&mut self, position: u64, count: usize, follow: bool) -> io::Result<&[u8]> {
        let end = position.checked_add(count as u64).filter(|&end| end <= self.length);
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        if position < self.start || end > self.start + self.bytes.len() as u64 {
            let most = usize::try_from(self.length - position).unwrap_or(usize::MAX);
            let wanted = if follow { count.max(AHEAD_BYTES.min(most)) } else { count };
            self.start = position;
            // Emptied first: should the read fail, nothing is taken for read.
            self.bytes.clear();
            self.bytes.shrink_to(AHEAD_BYTES);
            let mut bytes = std::mem::take(&mut self.bytes);
            bytes.resize(wanted, 0);
            self.file.read_exact_at(&mut bytes, position)?;
            self.bytes = bytes;
        }
        let from = usize::try_from(position - self.start).unwrap_or(usize::MAX);
        Ok(&self.bytes[from..from + count])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::disk::sim::SimDisk;
    use crate::disk::{Disk, write_at};

    const LENGTH: usize = 3 * AHEAD_BYTES + 17;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(16))]

        #[test]
        fn a_window_shows_the_file(
            views in proptest::collection::vec((0..LENGTH + 9, 0..LENGTH, any::<bool>()), 1..20),
        ) {
            let content: Vec<u8> = (0..=250).cycle().take(LENGTH).collect();
            let file = SimDisk::new(1).create("a").unwrap();
            write_at(file.as_ref(), &content, 0).unwrap();
            let mut window = Window::new(file.as_ref(), LENGTH as u64);
            for (position, count, follow) in views {
                let seen = window.bytes(position as u64, count, follow).ok();
                prop_assert_eq!(seen, content.get(position..position + count));
            }
        }
    }
}

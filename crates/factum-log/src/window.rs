//! Reads batches of a journal in windows, and checks each before anybody sees it.

use std::io;

use crate::disk::DiskFile;
use crate::entry::BatchEntry;

/// The most that is read at once: it is still in the processor's cache when it is checked.
pub(crate) const WINDOW_BYTES: usize = 256 << 10;

/// Bytes of others that are read and thrown away where that saves a system call.
pub(crate) const MAX_GAP: u64 = 64 << 10;

/// Why a batch is not served.
pub(crate) enum Fault {
    Io(io::Error),
    Damaged(BatchEntry, String),
}

/// Cuts batches into what is read at once, at most `most` bytes; a batch that is larger is alone.
pub(crate) fn windows(entries: &[BatchEntry], most: usize) -> impl Iterator<Item = &[BatchEntry]> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let first = rest.first()?;
        let joins = |pair: &&[BatchEntry]| {
            let reach = pair[1].end_position().saturating_sub(first.position);
            is_near(&pair[0], &pair[1]) && reach <= most as u64
        };
        let count = 1 + rest.windows(2).take_while(joins).count();
        let (window, after) = rest.split_at(count);
        rest = after;
        Some(window)
    })
}

fn is_near(a: &BatchEntry, b: &BatchEntry) -> bool {
    a.journal == b.journal
        && b.position >= a.end_position()
        && b.position - a.end_position() <= MAX_GAP
}

/// Reads a window into `buffer`, and shows each batch with its bytes, up to the first unsound one.
pub(crate) fn read_window(
    file: &dyn DiskFile,
    window: &[BatchEntry],
    buffer: &mut [u8],
    show: &mut dyn FnMut(&BatchEntry, &[u8]),
) -> Result<(), Fault> {
    let (Some(first), Some(last)) = (window.first(), window.last()) else {
        return Ok(());
    };
    let at = |position: u64| usize::try_from(position - first.position).unwrap_or(usize::MAX);
    let bytes = &mut buffer[..at(last.end_position())];
    match file.read_exact_at(bytes, first.position) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && window.len() > 1 => {
            // The file was cut off somewhere in these batches: those before are still there.
            return window.iter().try_for_each(|entry| {
                read_window(file, std::slice::from_ref(entry), buffer, show)
            });
        }
        read => read.map_err(|error| fault(first, error))?,
    }
    for entry in window {
        let batch = &bytes[at(entry.position)..at(entry.end_position())];
        entry.check(batch).map_err(|reason| Fault::Damaged(*entry, reason))?;
        show(entry, batch);
    }
    Ok(())
}

/// Checks a batch that is larger than `buffer`, piece by piece.
pub(crate) fn check_large(
    file: &dyn DiskFile,
    entry: &BatchEntry,
    buffer: &mut [u8],
) -> Result<(), Fault> {
    let damaged = |reason| Fault::Damaged(*entry, reason);
    let mut check = entry.begin_check();
    let mut position = entry.position;
    while position < entry.end_position() {
        let left = usize::try_from(entry.end_position() - position).unwrap_or(usize::MAX);
        let length = left.min(buffer.len());
        let piece = &mut buffer[..length];
        file.read_exact_at(piece, position).map_err(|error| fault(entry, error))?;
        check.update(piece).map_err(damaged)?;
        position += piece.len() as u64;
    }
    check.finish().map_err(damaged)
}

fn fault(entry: &BatchEntry, error: io::Error) -> Fault {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        Fault::Damaged(*entry, "the file ends before".into())
    } else {
        Fault::Io(error)
    }
}

//! Creating and opening journal files.

use std::io;
use std::sync::Arc;

use super::format::{FileHeader, UNIT};
use super::{DIRECTORY, journal_path};
use crate::disk::{Disk, DiskFile, NEW_SUFFIX, write_at};

/// Creates a journal file with room for `capacity` bytes; it is durable, header and name, before
/// its first group is written, so that a file without a valid header is damage and never a crash.
pub(crate) fn create(
    disk: &dyn Disk,
    header: &FileHeader,
    capacity: u64,
) -> io::Result<Arc<dyn DiskFile>> {
    let path = journal_path(header.number);
    let temporary = format!("{path}{NEW_SUFFIX}");
    let file = disk.create(&temporary)?;
    file.allocate(capacity)?;
    write_at(file.as_ref(), &header.encode(), 0)?;
    file.sync_data()?;
    disk.rename(&temporary, &path)?;
    disk.sync_dir(DIRECTORY)?;
    Ok(file)
}

/// Reads the header of a journal file; the inner result says what is wrong with it.
pub(crate) fn read_header(
    file: &dyn DiskFile,
    number: u64,
) -> io::Result<Result<FileHeader, String>> {
    if file.len()? < UNIT as u64 {
        return Ok(Err("it is too short for a header".into()));
    }
    let mut bytes = [0; UNIT];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(FileHeader::decode(&bytes).and_then(|header| {
        if header.number == number {
            Ok(header)
        } else {
            Err(format!("the file says that it is journal {}", header.number))
        }
    }))
}

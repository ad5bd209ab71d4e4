//! Creating and opening journal files.

use std::io;
use std::sync::Arc;

use super::format::{FileHeader, UNIT};
use super::{DIRECTORY, journal_path};
use crate::disk::{AlignedBuffer, BLOCK_BYTES, Disk, DiskFile, NEW_SUFFIX, write_at};

/// Creates a journal file with room for `capacity` bytes.
pub(crate) fn create(disk: &dyn Disk, header: &FileHeader, capacity: u64) -> io::Result<()> {
    let path = temporary_path(header.number);
    reserve(disk, &path, capacity)?;
    begin(disk, &path, header).map(drop)
}

/// The name of a journal until it has its header.
pub(crate) fn temporary_path(number: u64) -> String {
    format!("{}{NEW_SUFFIX}", journal_path(number))
}

/// Creates a file with the room of a journal. Where that fails nothing is left of it: its room is
/// not to be missing where there is too little.
pub(crate) fn reserve(disk: &dyn Disk, path: &str, capacity: u64) -> io::Result<()> {
    disk.create(path)?.allocate(capacity).inspect_err(|_| {
        let _ = disk.remove(path);
    })
}

/// Makes a file of zeros at `path` the journal of this header. It is durable, header and name,
/// before its first group is written, so that a file without a valid header is damage and never
/// a crash.
pub(crate) fn begin(
    disk: &dyn Disk,
    path: &str,
    header: &FileHeader,
) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.open_direct(path)?;
    let mut block = AlignedBuffer::new(BLOCK_BYTES);
    block[..UNIT].copy_from_slice(&header.encode());
    write_at(file.as_ref(), &block, 0)?;
    file.sync_data()?;
    disk.rename(path, &journal_path(header.number))?;
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

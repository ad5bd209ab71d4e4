//! The only way to files: a small storage trait with two implementations.
//!
//! [`OsDisk`] is a directory of the operating system; [`sim::SimDisk`] is a simulated one that
//! loses, tears and refuses writes from a seed. Paths are relative to the disk, with `/`.
//!
//! What a caller may rely on: bytes are durable once [`DiskFile::sync_data`] has returned; names
//! are durable once [`Disk::sync_dir`] has returned. Nothing else is.

mod buffer;
mod forward;
mod os;
mod passing;
mod random;
mod read_only;
pub mod sim;

use std::io::{self, IoSlice};
use std::os::fd::BorrowedFd;
use std::sync::Arc;

pub(crate) use buffer::AlignedBuffer;
pub(crate) use forward::ForwardFile;
pub use os::OsDisk;
pub(crate) use passing::is_passing;

/// What direct reads and writes come in: positions, lengths and the memory are multiples of it.
pub const BLOCK_BYTES: usize = 4096;
pub use read_only::ReadOnlyDisk;

/// A directory that holds a log.
pub trait Disk: Send + Sync + 'static {
    /// What people call the directory, for messages.
    fn location(&self) -> String;

    /// The names of the files in `directory`; `""` is the disk's own.
    ///
    /// # Errors
    /// As the operating system says.
    fn list(&self, directory: &str) -> io::Result<Vec<String>>;

    /// Creates `directory` with its parents unless it is there.
    ///
    /// # Errors
    /// As the operating system says.
    fn create_dir(&self, directory: &str) -> io::Result<()>;

    /// Opens a file that exists, for reading and writing.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and as the operating system says.
    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates an empty file; one that exists loses its content.
    ///
    /// # Errors
    /// As the operating system says.
    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Opens a file that exists for reading and writing past the cache of the system, where the
    /// file system can; elsewhere the handle is an ordinary one. It takes whole [`BLOCK_BYTES`] at
    /// whole multiples of it, from and to memory that is aligned to it. What it writes is seen by
    /// other handles.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and as the operating system says.
    fn open_direct(&self, path: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Removes a file; handles that are open stay valid.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`], and as the operating system says.
    fn remove(&self, path: &str) -> io::Result<()>;

    /// Gives a file another name in the same directory, replacing what has it.
    ///
    /// # Errors
    /// As the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Makes the names in `directory` durable.
    ///
    /// # Errors
    /// As the operating system says.
    fn sync_dir(&self, directory: &str) -> io::Result<()>;

    /// Takes the exclusive lock of a file, which is created; held until the guard is dropped.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] where somebody else holds it.
    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>>;

    /// How much room there is.
    ///
    /// # Errors
    /// [`io::ErrorKind::Unsupported`] where nobody knows, and as the operating system says.
    fn space(&self) -> io::Result<Space> {
        Err(io::ErrorKind::Unsupported.into())
    }

    /// A number that nobody can foresee; from the seed on a simulated disk.
    fn random(&self) -> u64;
}

/// How much room there is on the volume of a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Space {
    /// The size of the volume.
    pub total_bytes: u64,
    /// What of that may still be written.
    pub usable_bytes: u64,
}

/// Holds the lock of a directory until it is dropped.
pub trait DiskLock: Send + Sync {}

/// An open file.
pub trait DiskFile: Send + Sync {
    /// Fills `buffer` from `position` on.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is shorter.
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()>;

    /// Writes the buffers one after the other from `position` on; not durable yet.
    /// The slices are advanced while it writes.
    ///
    /// # Errors
    /// As the operating system says; any part may have been written then.
    fn write_all_at(&self, buffers: &mut [IoSlice<'_>], position: u64) -> io::Result<()>;

    /// Makes the content and the length durable.
    ///
    /// # Errors
    /// As the operating system says; what was written since the last flush may be lost then,
    /// even if a later flush succeeds.
    fn sync_data(&self) -> io::Result<()>;

    /// Reserves room, so that the file is at least `bytes` long; new bytes read as zeros.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`], and as the operating system says.
    fn allocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts the file off at `bytes`.
    ///
    /// # Errors
    /// As the operating system says.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// The length in bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As the operating system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// The file for the operating system, so that it can send from it; none if there is none.
    fn descriptor(&self) -> Option<BorrowedFd<'_>> {
        None
    }
}

/// Writes one buffer; see [`DiskFile::write_all_at`].
pub(crate) fn write_at(file: &dyn DiskFile, bytes: &[u8], position: u64) -> io::Result<()> {
    file.write_all_at(&mut [IoSlice::new(bytes)], position)
}

/// Writes a whole file under a temporary name, so that `path` never holds half of it.
///
/// With `durable`, content and name are on the disk when it returns.
///
/// # Errors
/// As the operating system says; `path` is as it was, then.
pub fn write_whole(
    disk: &dyn Disk,
    directory: &str,
    path: &str,
    bytes: &[u8],
    durable: bool,
) -> io::Result<()> {
    let temporary = format!("{path}{NEW_SUFFIX}");
    let file = disk.create(&temporary)?;
    write_at(file.as_ref(), bytes, 0)?;
    if durable {
        file.sync_data()?;
    }
    disk.rename(&temporary, path)?;
    if durable {
        disk.sync_dir(directory)?;
    }
    Ok(())
}

/// What the name of a file ends with until the file is complete.
pub(crate) const NEW_SUFFIX: &str = ".new";

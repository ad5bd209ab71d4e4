//! A data directory as a list of files, on a simulated disk that watches who reads.

use std::io::{self, IoSlice};
use std::sync::Arc;

use factum_log::disk::DiskLock;
use factum_log::disk::sim::SimDisk;
use factum_log::{Disk, DiskFile};

/// A file with its content.
pub type File = (String, Vec<u8>);

/// More than anything reads of files this small in one piece: a buffer of more bytes was reserved
/// by what a file says of itself.
const MAX_BUFFER_BYTES: usize = 8 << 20;

/// A disk with these files, all of them durable. A read of more than 8 MiB panics.
pub fn disk_with(files: &[File]) -> Arc<dyn Disk> {
    let disk = SimDisk::new(2);
    disk.create_dir("journal").expect("a directory");
    for (path, bytes) in files {
        let file = disk.create(path).expect("a file");
        file.write_all_at(&mut [IoSlice::new(bytes)], 0).expect("room");
        file.sync_data().expect("a flush");
    }
    disk.sync_dir("journal").and_then(|()| disk.sync_dir("")).expect("a flush");
    Arc::new(Watched(disk))
}

/// All files of a data directory, but the lock.
pub fn files_of(disk: &dyn Disk) -> Vec<File> {
    let names = |directory| disk.list(directory).expect("a list").into_iter();
    let paths = names("").filter(|name| name != "factum.lock");
    let below = ["journal", "checkpoints"].into_iter();
    let below =
        below.flat_map(|directory| names(directory).map(move |n| format!("{directory}/{n}")));
    let paths = paths.chain(below);
    paths.map(|path| (path.clone(), content(disk, &path))).collect()
}

fn content(disk: &dyn Disk, path: &str) -> Vec<u8> {
    let file = disk.open(path).expect("a file of the log");
    let mut bytes = vec![0; usize::try_from(file.len().expect("a length")).expect("a small file")];
    file.read_exact_at(&mut bytes, 0).expect("its content");
    bytes
}

struct Watched<T>(T);

impl Disk for Watched<SimDisk> {
    fn location(&self) -> String {
        self.0.location()
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.0.list(directory)
    }

    fn create_dir(&self, directory: &str) -> io::Result<()> {
        self.0.create_dir(directory)
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Watched(self.0.open(path)?)))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Watched(self.0.create(path)?)))
    }

    fn open_direct(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(Watched(self.0.open_direct(path)?)))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.0.remove(path)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.0.rename(from, to)
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        self.0.sync_dir(directory)
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        self.0.lock(path)
    }

    fn random(&self) -> u64 {
        self.0.random()
    }
}

impl DiskFile for Watched<Arc<dyn DiskFile>> {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        assert!(buffer.len() <= MAX_BUFFER_BYTES, "{} bytes reserved unchecked", buffer.len());
        self.0.read_exact_at(buffer, position)
    }

    fn write_all_at(&self, buffers: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        self.0.write_all_at(buffers, position)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.0.allocate(bytes)
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.0.truncate(bytes)
    }

    fn len(&self) -> io::Result<u64> {
        self.0.len()
    }
}

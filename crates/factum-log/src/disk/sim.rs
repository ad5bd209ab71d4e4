//! A simulated disk: what a bad disk and a bad moment may do, from a seed.
//!
//! It keeps what was written apart from what was flushed. [`SimDisk::crash`] loses any part of
//! the unflushed writes, whole or by 512-byte sectors, and any end of the unflushed changes of
//! names. Writes and flushes can fail, the disk can be full, bits can flip, flushes can be lies.
//! After a crash every old handle fails; [`SimDisk::restarted`] gives what survived.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IoSlice};
use std::sync::Arc;

use factum_event::batch::crc32c;
use parking_lot::Mutex;
use rustix::io::Errno;

pub use super::random::Random;
use super::{BLOCK_BYTES, Disk, DiskFile, DiskLock};

/// What a disk writes in one piece.
const SECTOR_BYTES: usize = 512;

/// What goes wrong from now on; operations are counted from 1 when the faults are set.
#[derive(Debug, Clone, Default)]
pub struct Faults {
    /// The machine crashes during this write.
    pub crash_at_write: Option<u64>,
    /// The machine crashes during this flush, of a file or of names.
    pub crash_at_sync: Option<u64>,
    /// The process is killed at this flush, of a file or of names, before it is done.
    pub kill_at_sync: Option<u64>,
    /// This write fails, having written a part.
    pub fail_write: Option<u64>,
    /// This flush fails; what it was to flush of a file is never flushed.
    pub fail_sync: Option<u64>,
    /// The disk holds no more than these bytes.
    pub capacity: Option<u64>,
    /// This write finds the disk full, having written a part.
    pub full_at_write: Option<u64>,
    /// The system refuses to open, create and rename files, or to write to them.
    pub refusal: Option<Refusal>,
    /// Flushes say that they succeeded and do nothing.
    pub ignore_syncs: bool,
}

/// Why a system refuses that will not refuse for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The process has no file descriptor left: nothing is opened.
    TooManyFiles,
    /// The file system is read-only: nothing is written, created or renamed.
    ReadOnly,
}

/// What a simulated disk has done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimStats {
    /// Crashes of the machine.
    pub crashes: u64,
    /// Unflushed writes that a crash lost.
    pub lost_writes: u64,
    /// Unflushed writes of which a crash kept some sectors.
    pub torn_writes: u64,
    /// Processes that were killed while the machine went on.
    pub kills: u64,
    /// Flushes that a crash or a kill cut short.
    pub lost_syncs: u64,
    /// Flushes that failed.
    pub failed_syncs: u64,
    /// Writes that failed.
    pub failed_writes: u64,
    /// Writes and reservations that found the disk full, or the file system read-only.
    pub refused_writes: u64,
    /// Bits that were flipped.
    pub flipped_bits: u64,
    /// Writes, ever.
    pub writes: u64,
    /// Flushes, ever.
    pub syncs: u64,
    /// Bytes read past the cache, ever.
    pub direct_read_bytes: u64,
}

/// A simulated disk; clones are the same disk.
#[derive(Clone)]
pub struct SimDisk {
    world: Arc<Mutex<World>>,
    generation: u64,
}

impl SimDisk {
    /// An empty disk whose accidents follow from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        let world = World {
            random: Random::new(seed),
            generation: 0,
            names: BTreeMap::new(),
            durable_names: BTreeMap::new(),
            pending_names: Vec::new(),
            next_inode: 1,
            inodes: BTreeMap::new(),
            locked: BTreeSet::new(),
            faults: Faults::default(),
            writes: 0,
            syncs: 0,
            stats: SimStats::default(),
            digest: 0,
            flips: Vec::new(),
        };
        Self { world: Arc::new(Mutex::new(world)), generation: 0 }
    }

    /// Sets what goes wrong from now on.
    pub fn set_faults(&self, faults: Faults) {
        let mut world = self.world.lock();
        world.faults = faults;
        (world.writes, world.syncs) = (0, 0);
    }

    /// The machine loses power: any part of what was not flushed is lost.
    pub fn crash(&self) {
        self.world.lock().crash();
    }

    /// The process is killed: nothing is lost, but every old handle fails.
    pub fn kill(&self) {
        self.world.lock().kill();
    }

    /// A number that follows from everything that was ever done to the disk, in its order.
    #[must_use]
    pub fn digest(&self) -> u64 {
        self.world.lock().digest
    }

    /// The disk as it is found after a crash or a kill.
    #[must_use]
    pub fn restarted(&self) -> Self {
        let generation = self.world.lock().generation;
        Self { world: Arc::clone(&self.world), generation }
    }

    /// Whether this handle is of before a crash or a kill.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.world.lock().generation != self.generation
    }

    /// Flips one bit of a file, where every reader finds it.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where there is no such byte.
    pub fn flip_bit(&self, path: &str, position: u64, bit: u8) -> io::Result<()> {
        let mut world = self.world.lock();
        let inode = world.named(path)?;
        let at = index(position)?;
        let file = world.inode(inode);
        let was = file.live.get(at).copied().ok_or(io::ErrorKind::NotFound)?;
        let now = was ^ (1 << (bit % 8));
        file.exchange(at, was, now);
        world.flips.push((inode, at, was, now));
        world.stats.flipped_bits += 1;
        Ok(())
    }

    /// Flips back every bit that was flipped, of the files that are still there.
    pub fn mend(&self) {
        let mut world = self.world.lock();
        for (inode, at, was, now) in std::mem::take(&mut world.flips).into_iter().rev() {
            if let Some(file) = world.inodes.get_mut(&inode) {
                file.exchange(at, now, was);
            }
        }
    }

    /// What has happened so far.
    #[must_use]
    pub fn stats(&self) -> SimStats {
        self.world.lock().stats
    }

    /// The world, unless this handle is of before a crash.
    fn alive<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        alive(&self.world, self.generation, act)
    }
}

fn alive<T>(
    world: &Mutex<World>,
    generation: u64,
    act: impl FnOnce(&mut World) -> io::Result<T>,
) -> io::Result<T> {
    let mut world = world.lock();
    if world.generation == generation { act(&mut world) } else { Err(crashed()) }
}

fn crashed() -> io::Error {
    io::Error::other("the simulated machine has crashed")
}

fn index(position: u64) -> io::Result<usize> {
    usize::try_from(position).map_err(|_| io::ErrorKind::InvalidInput.into())
}

struct World {
    random: Random,
    generation: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    pending_names: Vec<NameChange>,
    /// Never given twice: who mends a file must not damage another.
    next_inode: u64,
    inodes: BTreeMap<u64, Inode>,
    locked: BTreeSet<String>,
    faults: Faults,
    /// Since the faults were set.
    writes: u64,
    syncs: u64,
    stats: SimStats,
    digest: u64,
    /// Inode, place, and the byte before and after.
    flips: Vec<(u64, usize, u8, u8)>,
}

#[derive(Default)]
struct Inode {
    /// What a reader sees.
    live: Vec<u8>,
    /// What a crash leaves.
    durable: Vec<u8>,
    /// What leads from the one to the other.
    pending: Vec<Change>,
}

impl Inode {
    /// Puts one byte in the place of another wherever that is: what was written over it stays.
    fn exchange(&mut self, at: usize, was: u8, now: u8) {
        let pending = self.pending.iter_mut().filter_map(|change| match change {
            Change::Write { at: from, bytes } => bytes.get_mut(at.checked_sub(*from)?),
            Change::Resize(_) => None,
        });
        let there = [&mut self.live, &mut self.durable].into_iter();
        let there = there.filter_map(|bytes| bytes.get_mut(at)).chain(pending);
        there.filter(|byte| **byte == was).for_each(|byte| *byte = now);
    }
}

enum Change {
    Write { at: usize, bytes: Vec<u8> },
    Resize(usize),
}

#[derive(Debug)]
enum NameChange {
    Link { path: String, inode: u64 },
    Unlink { path: String },
    Rename { from: String, to: String },
}

impl NameChange {
    fn directory(&self) -> &str {
        let (Self::Link { path, .. } | Self::Unlink { path } | Self::Rename { from: path, .. }) =
            self;
        directory_of(path)
    }

    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Self::Link { path, inode } => drop(names.insert(path.clone(), *inode)),
            Self::Unlink { path } => drop(names.remove(path)),
            Self::Rename { from, to } => {
                if let Some(inode) = names.remove(from) {
                    names.insert(to.clone(), inode);
                }
            }
        }
    }
}

fn directory_of(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(directory, _)| directory)
}

impl Change {
    /// Applies it; of a write only the sectors that `keep` wants.
    fn apply(&self, content: &mut Vec<u8>, mut keep: impl FnMut() -> bool) {
        match self {
            Self::Resize(length) => content.resize(*length, 0),
            Self::Write { at, bytes } => {
                let mut done = 0;
                while done < bytes.len() {
                    let start = at + done;
                    let until = (start / SECTOR_BYTES + 1) * SECTOR_BYTES;
                    let count = (until - start).min(bytes.len() - done);
                    if keep() {
                        if content.len() < start + count {
                            content.resize(start + count, 0);
                        }
                        content[start..start + count].copy_from_slice(&bytes[done..done + count]);
                    }
                    done += count;
                }
            }
        }
    }
}

impl World {
    fn named(&self, path: &str) -> io::Result<u64> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn opened(&self, path: &str) -> io::Result<u64> {
        match self.faults.refusal {
            Some(Refusal::TooManyFiles) => self.check_refusal()?,
            Some(Refusal::ReadOnly) | None => {}
        }
        self.named(path)
    }

    /// Whether a file may be created, or another be made of it.
    fn check_refusal(&self) -> io::Result<()> {
        match self.faults.refusal {
            Some(Refusal::TooManyFiles) => Err(Errno::MFILE.into()),
            Some(Refusal::ReadOnly) => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            None => Ok(()),
        }
    }

    fn check_writable(&mut self) -> io::Result<()> {
        match self.faults.refusal {
            Some(Refusal::ReadOnly) => {
                self.stats.refused_writes += 1;
                self.check_refusal()
            }
            Some(Refusal::TooManyFiles) | None => Ok(()),
        }
    }

    fn inode(&mut self, inode: u64) -> &mut Inode {
        self.inodes.entry(inode).or_default()
    }

    fn rename(&mut self, change: NameChange) {
        self.note(format!("{change:?}").as_bytes(), self.pending_names.len());
        change.apply(&mut self.names);
        self.pending_names.push(change);
    }

    /// Takes what happens into the digest.
    fn note(&mut self, what: &[u8], place: usize) {
        let word = u64::from(crc32c(what)) << 32 ^ place as u64;
        self.digest = Random::new(self.digest ^ word).next();
    }

    fn change(&mut self, inode: u64, change: Change) {
        match &change {
            Change::Write { at, bytes } => self.note(bytes, *at),
            Change::Resize(length) => self.note(b"resize", *length),
        }
        self.digest ^= inode;
        let file = self.inode(inode);
        change.apply(&mut file.live, || true);
        file.pending.push(change);
    }

    /// Room for a file of `length` bytes, where a capacity is set.
    fn check_room(&mut self, inode: u64, length: usize) -> io::Result<()> {
        let Some(capacity) = self.faults.capacity else {
            return Ok(());
        };
        let others: usize =
            self.inodes.iter().filter(|(id, _)| **id != inode).map(|(_, f)| f.live.len()).sum();
        let enough = (others + length) as u64 <= capacity;
        self.stats.refused_writes += u64::from(!enough);
        if enough { Ok(()) } else { Err(io::ErrorKind::StorageFull.into()) }
    }

    fn write(&mut self, inode: u64, at: usize, bytes: Vec<u8>) -> io::Result<()> {
        self.writes += 1;
        self.stats.writes += 1;
        self.check_writable()?;
        let length = self.inode(inode).live.len();
        if at + bytes.len() > length {
            self.check_room(inode, at + bytes.len())?;
        }
        let crash = self.faults.crash_at_write == Some(self.writes);
        let full = self.faults.full_at_write == Some(self.writes);
        let fail = full || self.faults.fail_write == Some(self.writes);
        self.stats.refused_writes += u64::from(full);
        self.stats.failed_writes += u64::from(fail && !full);
        let written = if fail {
            let part = self.random.below(bytes.len() as u64);
            bytes[..index(part)?].to_vec()
        } else {
            bytes
        };
        self.change(inode, Change::Write { at, bytes: written });
        if crash {
            self.crash();
            return Err(crashed());
        }
        match (full, fail) {
            (true, _) => Err(io::ErrorKind::StorageFull.into()),
            (_, true) => Err(io::Error::other("simulated write error")),
            _ => Ok(()),
        }
    }

    /// Counts a flush, and ends the machine or the process in it; true where it is to fail.
    fn begin_sync(&mut self) -> io::Result<bool> {
        self.syncs += 1;
        self.stats.syncs += 1;
        self.note(b"sync", 0);
        if self.faults.crash_at_sync == Some(self.syncs) {
            self.stats.lost_syncs += 1;
            self.crash();
            return Err(crashed());
        }
        if self.faults.kill_at_sync == Some(self.syncs) {
            self.stats.lost_syncs += 1;
            self.kill();
            return Err(crashed());
        }
        let fail = self.faults.fail_sync == Some(self.syncs);
        self.stats.failed_syncs += u64::from(fail);
        Ok(fail)
    }

    fn sync(&mut self, inode: u64) -> io::Result<()> {
        if self.begin_sync()? {
            // The kernel takes the pages for clean after a failed flush: nothing retries them.
            let pending = std::mem::take(&mut self.inode(inode).pending);
            self.settle(inode, &pending);
            return Err(io::Error::other("simulated flush error"));
        }
        if !self.faults.ignore_syncs {
            let file = self.inode(inode);
            for change in std::mem::take(&mut file.pending) {
                change.apply(&mut file.durable, || true);
            }
        }
        Ok(())
    }

    /// Brings to the durable content what chance keeps of `changes`.
    fn settle(&mut self, inode: u64, changes: &[Change]) {
        for change in changes {
            let fate = self.random.below(3);
            let mut random = self.random.clone();
            self.random.next();
            let torn = matches!(change, Change::Write { bytes, .. } if bytes.len() > SECTOR_BYTES);
            let durable = &mut self.inodes.entry(inode).or_default().durable;
            match fate {
                0 => self.stats.lost_writes += 1,
                1 if torn => {
                    change.apply(durable, || random.one_in(2));
                    self.stats.torn_writes += 1;
                }
                _ => change.apply(durable, || true),
            }
        }
    }

    fn sync_dir(&mut self, directory: &str) -> io::Result<()> {
        if self.begin_sync()? {
            return Err(io::Error::other("simulated flush error"));
        }
        if self.faults.ignore_syncs {
            return Ok(());
        }
        let changes = std::mem::take(&mut self.pending_names);
        for change in changes {
            if change.directory() == directory {
                change.apply(&mut self.durable_names);
            } else {
                self.pending_names.push(change);
            }
        }
        Ok(())
    }

    fn crash(&mut self) {
        self.stats.crashes += 1;
        for inode in self.inodes.keys().copied().collect::<Vec<_>>() {
            let pending = std::mem::take(&mut self.inode(inode).pending);
            self.settle(inode, &pending);
            let file = self.inode(inode);
            file.live.clone_from(&file.durable);
        }
        // File systems keep the order of changes of names: some beginning of them survives.
        let changes = std::mem::take(&mut self.pending_names);
        let kept = self.random.below(changes.len() as u64 + 1);
        for change in changes.iter().take(usize::try_from(kept).unwrap_or(0)) {
            change.apply(&mut self.durable_names);
        }
        self.names = self.durable_names.clone();
        let named: BTreeSet<u64> = self.names.values().copied().collect();
        self.inodes.retain(|inode, _| named.contains(inode));
        self.next_generation();
    }

    fn kill(&mut self) {
        self.stats.kills += 1;
        self.next_generation();
    }

    fn next_generation(&mut self) {
        self.note(b"end", 0);
        self.generation += 1;
        self.locked.clear();
        let ignore_syncs = self.faults.ignore_syncs;
        self.faults = Faults { ignore_syncs, ..Faults::default() };
        (self.writes, self.syncs) = (0, 0);
    }
}

impl Disk for SimDisk {
    fn location(&self) -> String {
        "the simulated disk".into()
    }

    fn list(&self, directory: &str) -> io::Result<Vec<String>> {
        self.alive(|world| {
            let inside = world.names.keys().filter(|path| directory_of(path) == directory);
            let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
            Ok(inside.map(name).collect())
        })
    }

    fn create_dir(&self, _directory: &str) -> io::Result<()> {
        self.alive(|_| Ok(()))
    }

    fn open(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.alive(|world| world.opened(path))?;
        Ok(self.file(inode, false))
    }

    fn open_direct(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.alive(|world| world.opened(path))?;
        Ok(self.file(inode, true))
    }

    fn create(&self, path: &str) -> io::Result<Arc<dyn DiskFile>> {
        let inode = self.alive(|world| {
            world.check_refusal()?;
            let inode = world.next_inode;
            world.next_inode += 1;
            world.inodes.insert(inode, Inode::default());
            world.rename(NameChange::Link { path: path.to_owned(), inode });
            Ok(inode)
        })?;
        Ok(self.file(inode, false))
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        self.alive(|world| {
            world.named(path)?;
            world.rename(NameChange::Unlink { path: path.to_owned() });
            Ok(())
        })
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.alive(|world| {
            world.check_writable()?;
            world.named(from)?;
            world.rename(NameChange::Rename { from: from.to_owned(), to: to.to_owned() });
            Ok(())
        })
    }

    fn sync_dir(&self, directory: &str) -> io::Result<()> {
        self.alive(|world| world.sync_dir(directory))
    }

    fn lock(&self, path: &str) -> io::Result<Box<dyn DiskLock>> {
        self.alive(|world| {
            if world.locked.insert(path.to_owned()) {
                Ok(())
            } else {
                Err(io::ErrorKind::WouldBlock.into())
            }
        })?;
        Ok(Box::new(SimLock { disk: self.clone(), path: path.to_owned() }))
    }

    fn random(&self) -> u64 {
        self.world.lock().random.next()
    }
}

impl SimDisk {
    fn file(&self, inode: u64, direct: bool) -> Arc<dyn DiskFile> {
        let world = Arc::clone(&self.world);
        Arc::new(SimFile { world, generation: self.generation, inode, direct })
    }
}

struct SimLock {
    disk: SimDisk,
    path: String,
}

impl DiskLock for SimLock {}

impl Drop for SimLock {
    fn drop(&mut self) {
        // After a crash the lock was released, and may be somebody else's.
        let _ = self.disk.alive(|world| {
            world.locked.remove(&self.path);
            Ok(())
        });
    }
}

struct SimFile {
    world: Arc<Mutex<World>>,
    generation: u64,
    inode: u64,
    /// Takes and gives whole aligned blocks only.
    direct: bool,
}

impl SimFile {
    fn alive<T>(&self, act: impl FnOnce(&mut World) -> io::Result<T>) -> io::Result<T> {
        alive(&self.world, self.generation, act)
    }
}

/// Whether the system would take these from memory past its cache.
fn is_aligned(buffer: &[u8], position: u64) -> bool {
    position.is_multiple_of(BLOCK_BYTES as u64)
        && buffer.len().is_multiple_of(BLOCK_BYTES)
        && buffer.as_ptr().addr().is_multiple_of(BLOCK_BYTES)
}

impl DiskFile for SimFile {
    fn read_exact_at(&self, buffer: &mut [u8], position: u64) -> io::Result<()> {
        if self.direct && !is_aligned(buffer, position) {
            return Err(io::Error::other("a direct read is not aligned"));
        }
        self.alive(|world| {
            let at = index(position)?;
            let live = &world.inode(self.inode).live;
            let bytes = live.get(at..at.saturating_add(buffer.len()));
            buffer.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
            if self.direct {
                world.stats.direct_read_bytes += buffer.len() as u64;
            }
            Ok(())
        })
    }

    fn write_all_at(&self, buffers: &mut [IoSlice<'_>], position: u64) -> io::Result<()> {
        if self.direct && !buffers.iter().all(|buffer| is_aligned(buffer, position)) {
            return Err(io::Error::other("a direct write is not aligned"));
        }
        let bytes = buffers.iter().flat_map(|buffer| buffer.iter().copied()).collect();
        self.alive(|world| world.write(self.inode, index(position)?, bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.alive(|world| world.sync(self.inode))
    }

    fn allocate(&self, bytes: u64) -> io::Result<()> {
        self.alive(|world| {
            let length = index(bytes)?;
            if world.inode(self.inode).live.len() >= length {
                return Ok(());
            }
            world.check_writable()?;
            world.check_room(self.inode, length)?;
            world.change(self.inode, Change::Resize(length));
            Ok(())
        })
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.alive(|world| {
            world.change(self.inode, Change::Resize(index(bytes)?));
            Ok(())
        })
    }

    fn len(&self) -> io::Result<u64> {
        self.alive(|world| Ok(world.inode(self.inode).live.len() as u64))
    }
}

#[cfg(test)]
mod tests;

//! The writer: takes what waits, writes it as one group, flushes once, and only then shows it.
//!
//! There is no delay: an idle log writes a batch at once, a busy one writes everything that came
//! during the last flush. A write or flush that fails ends the journal: nothing is appended any
//! more, because nobody can know what the disk has kept.

use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;

use bytes::{BufMut, BytesMut};
use factum_event::Timestamp;
use factum_event::batch::PREFIX_BYTES;

use crate::disk::DiskFile;
use crate::entry::{BatchEntry, StoredBatch};
use crate::error::AppendError;
use crate::housekeeper::Task;
use crate::journal::file;
use crate::journal::format::{FileHeader, Layout, UNIT, UNIT_U64, encode_group, entry_of};
use crate::journal::index::Sealed;
use crate::journal::journal_path;
use crate::partitions::PartitionState;
use crate::queue::{Appended, Item};
use crate::shared::Shared;

/// What a batch in the tail costs besides its bytes.
const TAIL_OVERHEAD: usize = 192;

/// The journal that takes groups.
pub(crate) struct Active {
    pub(crate) header: FileHeader,
    pub(crate) file: Arc<dyn DiskFile>,
    /// Where the next group goes.
    pub(crate) position: u64,
    /// Where the room ends.
    pub(crate) capacity: u64,
    /// The sequence of the next group.
    pub(crate) sequence: u64,
    /// How many batches it has.
    pub(crate) batches: u64,
}

impl Active {
    fn is_empty(&self) -> bool {
        self.position == UNIT_U64
    }

    fn sealed(&self) -> Sealed {
        Sealed {
            number: self.header.number,
            salt: self.header.salt,
            end: self.position,
            first_sequence: self.header.first_sequence,
            next_sequence: self.sequence,
            batches: self.batches,
        }
    }
}

pub(crate) struct Writer {
    shared: Arc<Shared>,
    active: Active,
    tasks: SyncSender<Task>,
    tail: TailOrder,
    /// Header and entries of the group that is being written; kept for its room.
    front: Vec<u8>,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, active: Active, tasks: SyncSender<Task>) -> Self {
        let tail = TailOrder::default();
        Self { shared, active, tasks, tail, front: Vec::new() }
    }

    /// Runs until the queue is closed and empty, or something fails.
    pub(crate) fn run(mut self) {
        let mut group = Vec::new();
        while self.shared.queue.take(&mut group) {
            if let Err(reason) = self.commit(&mut group) {
                self.fail(&reason, group);
                return;
            }
        }
    }

    fn fail(&self, reason: &str, group: Vec<Item>) {
        if self.shared.queue.fail(reason) {
            tracing::error!("{reason}");
        }
        for item in group {
            let _ = item.done.send(Err(AppendError::Failed(reason.to_owned())));
        }
    }

    /// Makes a group durable and shows it; leaves the group empty.
    fn commit(&mut self, group: &mut Vec<Item>) -> Result<(), String> {
        // Batches of a partition next to each other are read in one piece. The sort keeps the
        // order of each partition.
        if !group.is_sorted_by_key(|item| item.partition.id) {
            group.sort_by_key(|item| item.partition.id);
        }
        let started = self.shared.clock.monotonic();
        let batch_bytes = group.iter().map(|item| item.batch.len()).sum();
        let layout = Layout::of(group.len(), batch_bytes);
        self.make_room(&layout)?;
        let appended_at = self.shared.clock.now();
        let batches = self.prepare(group, &layout, appended_at);
        self.write(&batches, &layout)?;
        self.active.position += layout.length;
        self.active.sequence += 1;
        self.active.batches += group.len() as u64;
        let took = self.shared.clock.monotonic().saturating_sub(started);
        self.shared.counters.flushed(group.len(), batch_bytes, took);
        self.publish(group, batches);
        for item in group.drain(..) {
            let answer = Appended { base_offset: item.base_offset, appended_at };
            let _ = item.done.send(Ok(answer));
        }
        Ok(())
    }

    /// Gives every batch its place and its prefix, and encodes the front of the group.
    fn prepare(&mut self, group: &[Item], layout: &Layout, at: Timestamp) -> Vec<StoredBatch> {
        let mut prefixes = BytesMut::with_capacity(group.len() * PREFIX_BYTES);
        for item in group {
            prefixes.put_slice(&item.batch.prefix_at(item.base_offset));
        }
        let prefixes = prefixes.freeze();
        let mut position = self.active.position + layout.front;
        let mut batches = Vec::with_capacity(group.len());
        for (index, item) in group.iter().enumerate() {
            let place = (self.active.header.number, position);
            let entry = entry_of(&item.batch, item.base_offset, at, place);
            position += u64::from(entry.length);
            let start = index * PREFIX_BYTES;
            let prefix = prefixes.slice(start..start + PREFIX_BYTES);
            batches.push(StoredBatch { entry, prefix, body: item.batch.body() });
        }
        let entries = group.iter().map(|item| item.partition.id);
        let entries = entries.zip(batches.iter().map(|batch| batch.entry));
        let stamp = (self.active.sequence, self.active.header.salt, at);
        encode_group(&mut self.front, layout, stamp, entries);
        batches
    }

    /// Writes and flushes a group.
    fn write(&self, batches: &[StoredBatch], layout: &Layout) -> Result<(), String> {
        let mut buffers = Vec::with_capacity(2 + batches.len() * 2);
        buffers.push(IoSlice::new(&self.front));
        for batch in batches {
            buffers.push(IoSlice::new(&batch.prefix));
            buffers.push(IoSlice::new(&batch.body));
        }
        let zeros = [0; UNIT];
        buffers.push(IoSlice::new(&zeros[..layout.padding]));
        let file = &self.active.file;
        file.write_all_at(&mut buffers, self.active.position)
            .map_err(|error| self.failure("writing", &error))?;
        file.sync_data().map_err(|error| self.failure("flushing", &error))
    }

    fn failure(&self, action: &str, error: &std::io::Error) -> String {
        format!(
            "{action} {} at byte {} failed: {error}; nothing is appended any more, reads go on: \
             see to the disk of {}, then start again",
            journal_path(self.active.header.number),
            self.active.position,
            self.shared.disk.location()
        )
    }

    /// Seals the journal if the group does not fit, and starts the next one.
    fn make_room(&mut self, layout: &Layout) -> Result<(), String> {
        if self.active.position + layout.length <= self.active.capacity {
            return Ok(());
        }
        if !self.active.is_empty() {
            self.roll().map_err(|error| self.failure("starting the journal after", &error))?;
        }
        // A group larger than a journal gets a journal of its own size.
        let needed = UNIT_U64 + layout.length;
        if needed > self.active.capacity {
            let allocated = self.active.file.allocate(needed);
            allocated.map_err(|error| self.failure("allocating", &error))?;
            self.active.capacity = needed;
        }
        Ok(())
    }

    fn roll(&mut self) -> std::io::Result<()> {
        let sealed = self.active.sealed();
        let header = FileHeader {
            number: sealed.number + 1,
            salt: self.shared.disk.random(),
            first_sequence: sealed.next_sequence,
            created_at: self.shared.clock.now(),
        };
        let capacity = self.shared.settings.journal_bytes;
        let file = file::create(self.shared.disk.as_ref(), &header, capacity)?;
        let mut journals = self.shared.journals.lock();
        journals.insert(sealed.number, Some(sealed));
        journals.insert(header.number, None);
        drop(journals);
        let sequence = sealed.next_sequence;
        self.active = Active { header, file, position: UNIT_U64, capacity, sequence, batches: 0 };
        // The channel is short: a housekeeper that cannot follow slows the writer, not the memory.
        // Without one the log is closing, and the index is built when it is opened again.
        let _ = self.tasks.send(Task::Index(sealed));
        Ok(())
    }

    /// Makes a durable group readable, and wakes who waits for it.
    fn publish(&mut self, group: &[Item], batches: Vec<StoredBatch>) {
        let mut batches = batches.into_iter();
        for run in group.chunk_by(|a, b| Arc::ptr_eq(&a.partition, &b.partition)) {
            let partition = &run[0].partition;
            let mut inner = partition.lock();
            for batch in batches.by_ref().take(run.len()) {
                if !inner.removed {
                    self.tail.push(partition, &batch.entry);
                    inner.publish(batch);
                }
            }
            inner.wake();
        }
        self.tail.trim(self.shared.settings.tail_bytes);
        self.shared.counters.tail_bytes.store(self.tail.bytes as u64, Relaxed);
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // Only a defect ends the writer otherwise; whoever waits must not wait for ever.
        if std::thread::panicking() {
            self.fail("the journal's writer stopped: a defect, please report it", Vec::new());
        }
    }
}

/// The order in which batches leave the tail: as they came.
///
/// A batch counts with its own length. It may be part of a larger buffer of a socket, which
/// stays as long as one of its batches; these came together, and so they go.
#[derive(Default)]
struct TailOrder {
    batches: VecDeque<(Arc<PartitionState>, usize)>,
    bytes: usize,
}

impl TailOrder {
    fn push(&mut self, partition: &Arc<PartitionState>, entry: &BatchEntry) {
        let cost = entry.length as usize + TAIL_OVERHEAD;
        self.bytes += cost;
        self.batches.push_back((Arc::clone(partition), cost));
    }

    fn trim(&mut self, limit: usize) {
        while self.bytes > limit
            && let Some((partition, cost)) = self.batches.pop_front()
        {
            self.bytes -= cost;
            // Of a removed partition nothing is left to drop.
            partition.lock().drop_oldest_of_tail();
        }
    }
}

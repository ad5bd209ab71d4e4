//! The writer: takes what waits, writes it as one group, flushes once, and only then shows it.
//!
//! There is no delay: an idle log writes a batch at once, a busy one writes everything that came
//! during the last flush. What cannot be written because the disk is full or the like is tried
//! again until it can: the log is stalled. Any other failed write, and every failed flush, ends
//! the journal: nothing is appended any more, because nobody can know what the disk has kept.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::{SyncSender, TrySendError};
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use factum_event::Timestamp;
use factum_event::batch::PREFIX_BYTES;

use crate::disk::{BLOCK_BYTES, is_passing};
use crate::entry::{BatchEntry, StoredBatch};
use crate::error::AppendError;
use crate::housekeeper::Task;
use crate::journal::blocks::BlockWriter;
use crate::journal::file;
use crate::journal::format::{
    FileHeader, Layout, MAX_GROUP_BATCHES, UNIT, UNIT_U64, encode_group, entry_of,
};
use crate::journal::index::Sealed;
use crate::journal::journal_path;
use crate::partitions::PartitionState;
use crate::queue::{Appended, Item};
use crate::shared::Shared;

/// What a batch in the tail costs besides its bytes.
const TAIL_OVERHEAD: usize = 192;

/// The largest group for which zeros are written ahead: those of a larger one take the disk longer
/// than they spare its flush.
const SMALL_GROUP_BYTES: u64 = 16 << 10;

/// How long a stalled writer waits before it tries again: first, and at most.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));

/// The journal that takes groups.
pub(crate) struct Active {
    pub(crate) header: FileHeader,
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
    blocks: BlockWriter,
    tasks: SyncSender<Task>,
    /// What the housekeeper had no room for.
    unsent: Option<Task>,
    tail: TailOrder,
    /// What is being written; where that could not be done, what is tried again.
    group: Vec<Item>,
    /// Header and entries of the group that is being written; kept for its room.
    front: Vec<u8>,
    is_stalled: bool,
    /// The next journal was begun, and that failed: nothing more may go into the present one.
    must_roll: bool,
    has_ended: bool,
    /// The most batches that a group gets.
    pub(crate) most_batches: usize,
}

/// What one step of the writer came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// A group is durable.
    Committed,
    /// Nothing waits.
    Idle,
    /// The housekeeper must take a task first.
    Blocked,
    /// The group cannot be written for now.
    Stalled,
    /// The queue is closed and empty, or something has failed: there is nothing more to do.
    Ended,
}

/// Why a group is not durable.
enum Trouble {
    /// It may be tried again.
    Passing(String),
    /// Nothing may be written any more.
    Lasting(String),
}

impl Writer {
    pub(crate) fn new(
        shared: Arc<Shared>,
        active: Active,
        tasks: SyncSender<Task>,
    ) -> io::Result<Self> {
        let path = journal_path(active.header.number);
        let blocks = BlockWriter::open(shared.disk.as_ref(), &path, active.position)?;
        Ok(Self {
            shared,
            active,
            blocks,
            tasks,
            unsent: None,
            tail: TailOrder::default(),
            group: Vec::new(),
            front: Vec::new(),
            is_stalled: false,
            must_roll: false,
            has_ended: false,
            most_batches: MAX_GROUP_BATCHES,
        })
    }

    /// Runs until the queue is closed and empty, or something fails.
    pub(crate) fn run(mut self) {
        let mut pause = RETRY.0;
        loop {
            match self.step() {
                Step::Committed => pause = RETRY.0,
                Step::Idle => self.shared.queue.wait(),
                Step::Blocked => {
                    // A housekeeper that cannot follow slows the writer, not the memory. Without
                    // one the log is closing; the index is built when it is opened again.
                    let _ = self.unsent.take().map(|task| self.tasks.send(task));
                }
                Step::Stalled => {
                    self.shared.queue.wait_stalled(pause);
                    pause = (pause * 2).min(RETRY.1);
                }
                Step::Ended => return,
            }
        }
    }

    /// Commits one group, if one waits; never waits itself.
    pub(crate) fn step(&mut self) -> Step {
        if self.has_ended {
            return Step::Ended;
        }
        if let Some(task) = self.unsent.take()
            && let Err(TrySendError::Full(task)) = self.tasks.try_send(task)
        {
            self.unsent = Some(task);
            return Step::Blocked;
        }
        if self.group.is_empty() {
            if let Err(Trouble::Lasting(reason)) = self.seal_if_wanted() {
                return self.fail(&reason);
            }
            if !self.shared.queue.take(&mut self.group, self.most_batches) {
                self.has_ended = true;
                return Step::Ended;
            }
            if self.group.is_empty() {
                return Step::Idle;
            }
        }
        let mut group = std::mem::take(&mut self.group);
        let committed = self.commit(&mut group);
        self.group = group;
        match committed {
            Ok(()) => {
                self.resume();
                Step::Committed
            }
            Err(Trouble::Passing(reason)) => self.stall(&reason),
            Err(Trouble::Lasting(reason)) => self.fail(&reason),
        }
    }

    /// Seals the journal before it is full, where somebody wants that. What passes is told by the
    /// next group, which must go to the next journal.
    fn seal_if_wanted(&mut self) -> Result<(), Trouble> {
        if self.shared.queue.take_seal_wanted() && !self.active.is_empty() {
            self.roll_or_tell()?;
        }
        Ok(())
    }

    fn roll_or_tell(&mut self) -> Result<(), Trouble> {
        let rolled = self.roll();
        // The next journal may be there, durable: it says with which group it begins.
        self.must_roll = rolled.is_err();
        rolled.map_err(|error| self.trouble("starting the journal after", &error))
    }

    /// Whether a group waits to be tried again.
    pub(crate) fn is_stalled(&self) -> bool {
        self.is_stalled
    }

    fn stall(&mut self, reason: &str) -> Step {
        // Who closes the log does not wait until somebody has made room.
        if !self.shared.queue.stall(reason) {
            return self.fail(reason);
        }
        if !self.is_stalled {
            self.is_stalled = true;
            self.shared.counters.stalls.fetch_add(1, Relaxed);
            tracing::error!("{reason}");
        }
        Step::Stalled
    }

    fn resume(&mut self) {
        if self.is_stalled {
            self.is_stalled = false;
            self.shared.queue.resume();
            tracing::info!("the log can write again, and takes batches");
        }
    }

    fn fail(&mut self, reason: &str) -> Step {
        self.has_ended = true;
        if self.shared.queue.fail(reason) {
            tracing::error!("{reason}");
        }
        for item in self.group.drain(..) {
            let _ = item.done.send(Err(AppendError::Failed(reason.to_owned())));
        }
        // Some wait for what others have appended.
        for partition in self.shared.partitions.all() {
            partition.lock().wake();
        }
        Step::Ended
    }

    /// Refuses what waits, as at the end of a process.
    pub(crate) fn refuse(&mut self) {
        if !self.has_ended {
            self.fail("the log was dropped before this was written");
        }
    }

    /// Makes a group durable and shows it; leaves the group empty.
    fn commit(&mut self, group: &mut Vec<Item>) -> Result<(), Trouble> {
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
        self.shared.spare.advance(self.active.position, &self.shared.settings);
        let took = self.shared.clock.monotonic().saturating_sub(started);
        self.shared.counters.flushed(group.len(), batch_bytes, took);
        self.publish(group, batches);
        for item in group.drain(..) {
            let answer = Appended { base_offset: item.base_offset, appended_at };
            let _ = item.done.send(Ok(answer));
        }
        self.write_zeros(layout.length);
        Ok(())
    }

    /// Makes room ready for small groups, after everybody has an answer: a flush is faster where
    /// something was written before, and by more than the zeros cost if the group is small.
    fn write_zeros(&mut self, group_bytes: u64) {
        if group_bytes > SMALL_GROUP_BYTES {
            return;
        }
        let written = self.blocks.write_zeros(self.active.position, self.active.capacity);
        // Nothing depends on it; the next group says it where the disk has failed.
        if let Err(error) = written {
            tracing::debug!("no zeros were written ahead of groups: {error}");
        }
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
    fn write(&mut self, batches: &[StoredBatch], layout: &Layout) -> Result<(), Trouble> {
        let zeros = [0; UNIT];
        let batches = batches.iter().flat_map(|batch| [&batch.prefix[..], &batch.body[..]]);
        let parts = [&self.front[..]].into_iter().chain(batches);
        let parts = parts.chain([&zeros[..layout.padding]]);
        let written = self.blocks.write(self.active.position, parts);
        written.map_err(|error| self.trouble("writing", &error))?;
        if !self.shared.mutant.flushes() {
            return Ok(());
        }
        let flushed = self.blocks.file().sync_data();
        // What a failed flush has left, no other makes good, whatever the reason.
        flushed.map_err(|error| Trouble::Lasting(self.failure("flushing", &error)))
    }

    /// What it means that nothing, or not everything, was written; nothing was flushed.
    fn trouble(&self, action: &str, error: &io::Error) -> Trouble {
        if !is_passing(error) {
            return Trouble::Lasting(self.failure(action, error));
        }
        Trouble::Passing(format!(
            "{action} {} at byte {} failed: {error}; nothing is appended for now, reads go on: see \
             to the disk of {}, and the log goes on by itself",
            journal_path(self.active.header.number),
            self.active.position,
            self.shared.disk.location()
        ))
    }

    fn failure(&self, action: &str, error: &io::Error) -> String {
        format!(
            "{action} {} at byte {} failed: {error}; nothing is appended any more, reads go on: \
             see to the disk of {}, then start again",
            journal_path(self.active.header.number),
            self.active.position,
            self.shared.disk.location()
        )
    }

    /// Seals the journal if the group does not fit, and starts the next one.
    fn make_room(&mut self, layout: &Layout) -> Result<(), Trouble> {
        let fits = |active: &Active| active.position + layout.length <= active.capacity;
        if fits(&self.active) && !self.must_roll {
            return Ok(());
        }
        if !self.active.is_empty() {
            self.roll_or_tell()?;
        }
        // A group larger than a journal gets a journal of its own size.
        let needed = (UNIT_U64 + layout.length).next_multiple_of(BLOCK_BYTES as u64);
        if needed > self.active.capacity {
            let allocated = self.blocks.file().allocate(needed);
            allocated.map_err(|error| self.trouble("allocating", &error))?;
            self.active.capacity = needed;
        }
        Ok(())
    }

    /// Goes on in the next journal. Where that fails, the present one is as it was, and this may
    /// be called again.
    fn roll(&mut self) -> io::Result<()> {
        let sealed = self.active.sealed();
        let header = FileHeader {
            number: sealed.number + 1,
            salt: self.shared.disk.random(),
            first_sequence: sealed.next_sequence,
            created_at: self.shared.clock.now(),
        };
        let capacity = self.shared.settings.journal_bytes;
        let disk = self.shared.disk.as_ref();
        let path = match self.shared.spare.take() {
            Some(path) => path,
            None => {
                let path = file::temporary_path(header.number);
                file::reserve(disk, &path, capacity)?;
                path
            }
        };
        let begun = file::begin(disk, &path, &header).inspect_err(|_| {
            // Its room is not to be missing where there is too little.
            let _ = disk.remove(&path);
        });
        self.blocks.change_to(begun?, &header.encode());
        let mut journals = self.shared.journals.lock();
        journals.insert(sealed.number, Some(sealed));
        journals.insert(header.number, None);
        drop(journals);
        let sequence = sealed.next_sequence;
        self.active = Active { header, position: UNIT_U64, capacity, sequence, batches: 0 };
        if let Err(TrySendError::Full(task)) = self.tasks.try_send(Task::Index(sealed)) {
            self.unsent = Some(task);
        }
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
        // Whoever waits must not wait for ever.
        if std::thread::panicking() {
            self.fail("the journal's writer stopped: a defect, please report it");
        } else {
            self.refuse();
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

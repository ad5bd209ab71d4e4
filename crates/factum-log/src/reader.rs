//! Reads of what is no longer in memory: positioned reads on a few threads of the log's own.
//!
//! Every batch is checked against its entry before it is served; what does not match is reported
//! with its place and never returned.

use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use bytes::Bytes;
use factum_event::{Offset, Timestamp};
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::entry::{BatchEntry, Extent, PartitionId, StoredBatch};
use crate::error::ReadError;
use crate::housekeeper::reinstall;
use crate::journal::index::{List, ListError, Summary};
use crate::journal::journal_path;
use crate::partitions::{Limit, PartitionState, Plan};
use crate::recovery::rebuild_index;
use crate::shared::{FileKey, Shared};

/// Threads that read.
pub(crate) const THREADS: usize = 2;

/// Reads that may wait for a thread; more wait for room.
const MAX_WAITING: usize = 256;

/// The most that one read returns, whatever is asked for, but for a single larger batch.
pub(crate) const MAX_READ_BYTES: usize = 64 << 20;

/// Bytes of others that are read and thrown away where that saves a system call.
const MAX_GAP: u64 = 64 << 10;

type Job = Box<dyn FnOnce() + Send>;

/// The way to the reader threads.
pub(crate) struct Readers {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
}

/// What the reader threads share: the end where jobs come out.
pub(crate) type Jobs = Arc<Mutex<mpsc::Receiver<Job>>>;

impl Readers {
    pub(crate) fn new() -> (Self, Jobs) {
        let (sender, receiver) = mpsc::channel(MAX_WAITING);
        (Self { jobs: Mutex::new(Some(sender)) }, Arc::new(Mutex::new(receiver)))
    }

    /// Runs `work` on a reader thread, unless nobody waits for it any more.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let jobs = self.jobs.lock().clone().ok_or(ReadError::Closed)?;
        let (done, answer) = oneshot::channel();
        let job = move || {
            if !done.is_closed() {
                let _ = done.send(work());
            }
        };
        jobs.send(Box::new(job)).await.map_err(|_| ReadError::Closed)?;
        drop(jobs);
        answer.await.unwrap_or(Err(ReadError::Closed))
    }

    pub(crate) fn close(&self) {
        self.jobs.lock().take();
    }
}

/// The loop of a reader thread.
pub(crate) fn run_jobs(jobs: &Jobs) {
    // One thread waits for the channel, the others for the lock.
    while let Some(job) = { jobs.lock().blocking_recv() } {
        job();
    }
}

/// Whole batches from the one that contains `from`, up to `max_bytes`.
pub(crate) fn read(
    shared: &Shared,
    partition: &PartitionState,
    from: Offset,
    max_bytes: usize,
) -> Result<Vec<StoredBatch>, ReadError> {
    let plan = || partition.lock().plan_read(from, max_bytes);
    answer(shared, partition, plan, |list| {
        let reached = |entries: &[BatchEntry], _| entries.iter().any(|e| e.last_offset >= from);
        let mut limit = Limit::new(max_bytes);
        let mut wanted = Vec::new();
        for block in list.first_block(reached)?..list.blocks() {
            for entry in list.block(block)?.0 {
                if entry.last_offset < from {
                    continue;
                }
                if !limit.admits(entry.length as usize) {
                    return Ok(wanted);
                }
                wanted.push(entry);
            }
        }
        Ok(wanted)
    })
}

/// The first batch whose largest timestamp is `time` or later.
pub(crate) fn find_time(
    shared: &Shared,
    partition: &PartitionState,
    time: Timestamp,
) -> Result<Option<StoredBatch>, ReadError> {
    let plan = || Ok(partition.lock().plan_time(time));
    let found = answer(shared, partition, plan, |list| {
        let block = list.first_block(|_, max| max >= time)?;
        if block == list.blocks() {
            return Ok(Vec::new());
        }
        Ok(list.block(block)?.0.into_iter().find(|e| e.max_timestamp >= time).into_iter().collect())
    })?;
    Ok(found.into_iter().next())
}

/// Follows a plan to the batches. A damaged index is built again, once.
fn answer(
    shared: &Shared,
    partition: &PartitionState,
    plan: impl Fn() -> Result<Plan, ReadError>,
    from_list: impl Fn(&List<'_>) -> Result<Vec<BatchEntry>, ListError>,
) -> Result<Vec<StoredBatch>, ReadError> {
    let mut rebuilt = false;
    loop {
        let summary = match plan()? {
            Plan::Nothing => return Ok(Vec::new()),
            Plan::Tail(batches) => return Ok(batches),
            Plan::Entries(entries) => return fetch(shared, partition, &entries),
            Plan::Sealed(summary) => summary,
        };
        let list = index_of(shared, partition.id, summary, &from_list);
        match list {
            Ok(entries) => return fetch(shared, partition, &entries),
            Err(ListError::Damaged(reason)) if !rebuilt => {
                rebuild(shared, partition, summary.journal, &reason)?;
                rebuilt = true;
            }
            Err(ListError::Damaged(reason)) => {
                return Err(unindexed(partition, summary.journal, 0, reason));
            }
            Err(ListError::Io(error)) => return Err(failed(partition, summary.journal, &error)),
        }
    }
}

fn index_of(
    shared: &Shared,
    id: PartitionId,
    summary: Summary,
    from_list: impl Fn(&List<'_>) -> Result<Vec<BatchEntry>, ListError>,
) -> Result<Vec<BatchEntry>, ListError> {
    match shared.files.get(FileKey::Index(summary.journal)) {
        Ok(file) => from_list(&List { file: file.as_ref(), id, summary }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            Err(ListError::Damaged("the index is missing".into()))
        }
        Err(error) => Err(ListError::Io(error)),
    }
}

/// Builds a damaged index again while the log is open.
fn rebuild(
    shared: &Shared,
    partition: &PartitionState,
    journal: u64,
    reason: &str,
) -> Result<(), ReadError> {
    let path = FileKey::Index(journal).path();
    tracing::warn!("{path} is damaged ({reason}); it is built again from the journal");
    match rebuild_index(shared.disk.as_ref(), journal) {
        Ok(Ok(index)) => {
            reinstall(shared, &index);
            Ok(())
        }
        Ok(Err((position, reason))) => {
            let reason = format!("{reason}; its index is damaged too");
            Err(unindexed(partition, journal, position, reason))
        }
        Err(error) => Err(failed(partition, journal, &error)),
    }
}

/// What a partition has in a journal of which neither the content nor the index is sound.
fn unindexed(partition: &PartitionState, journal: u64, position: u64, reason: String) -> ReadError {
    let (inner, id) = (partition.lock(), partition.id);
    let known = inner.summary_of(journal).map(|summary| (summary.base, summary.last));
    let Extent { start, end } = inner.extent();
    let (first, last) = known.unwrap_or((start, end));
    let (file, PartitionId { topic, partition }) = (journal_path(journal), id);
    tracing::error!(
        "{file} is damaged at byte {position} (topic {topic}, partition {partition}, offsets \
         {first} to {last}): {reason}"
    );
    ReadError::Damaged { file, position, topic, partition, first, last, reason }
}

/// What an error of the operating system means to a reader of a journal.
fn failed(partition: &PartitionState, journal: u64, error: &io::Error) -> ReadError {
    let inner = partition.lock();
    if inner.removed {
        // The journal went with the topic while this read was on its way.
        let extent = inner.extent();
        return ReadError::OutOfRange { from: extent.end, start: extent.start, end: extent.end };
    }
    ReadError::io(format!("read {}", journal_path(journal)), error)
}

/// Reads batches, neighbours in one piece. Where one is damaged, those before it are returned; it
/// is an error when it is the first.
fn fetch(
    shared: &Shared,
    partition: &PartitionState,
    entries: &[BatchEntry],
) -> Result<Vec<StoredBatch>, ReadError> {
    let near = |a: &BatchEntry, b: &BatchEntry| {
        a.journal == b.journal
            && b.position >= a.end_position()
            && b.position - a.end_position() <= MAX_GAP
    };
    let mut batches = Vec::with_capacity(entries.len());
    for run in entries.chunk_by(near) {
        if let Err(error) = fetch_run(shared, partition, run, &mut batches) {
            if batches.is_empty() {
                return Err(error);
            }
            break;
        }
    }
    let bytes: usize = batches.iter().map(StoredBatch::len).sum();
    shared.counters.bytes_read_disk.fetch_add(bytes as u64, Relaxed);
    Ok(batches)
}

fn fetch_run(
    shared: &Shared,
    partition: &PartitionState,
    run: &[BatchEntry],
    batches: &mut Vec<StoredBatch>,
) -> Result<(), ReadError> {
    let (Some(first), Some(last)) = (run.first(), run.last()) else {
        return Ok(());
    };
    let length = usize::try_from(last.end_position() - first.position).unwrap_or(usize::MAX);
    let mut bytes = vec![0; length];
    let read = shared
        .files
        .get(FileKey::Journal(first.journal))
        .and_then(|file| file.read_exact_at(&mut bytes, first.position));
    match read {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof && run.len() > 1 => {
            // The file was cut off somewhere in these batches: those before are still there.
            return run.iter().try_for_each(|entry| {
                fetch_run(shared, partition, std::slice::from_ref(entry), batches)
            });
        }
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(damaged(partition.id, first, "the file ends before".into()));
        }
        Err(error) => return Err(failed(partition, first.journal, &error)),
        Ok(()) => {}
    }
    let bytes = Bytes::from(bytes);
    for entry in run {
        let start = usize::try_from(entry.position - first.position).unwrap_or(usize::MAX);
        let batch = bytes.slice(start..start + entry.length as usize);
        entry.check(&batch).map_err(|reason| damaged(partition.id, entry, reason))?;
        batches.push(StoredBatch::split(*entry, &batch));
    }
    Ok(())
}

fn damaged(id: PartitionId, entry: &BatchEntry, reason: String) -> ReadError {
    let file = journal_path(entry.journal);
    tracing::error!(
        "{file} is damaged at byte {} (topic {}, partition {}, offsets {} to {}): {reason}",
        entry.position,
        id.topic,
        id.partition,
        entry.base_offset,
        entry.last_offset
    );
    ReadError::Damaged {
        file,
        position: entry.position,
        topic: id.topic,
        partition: id.partition,
        first: entry.base_offset,
        last: entry.last_offset,
        reason,
    }
}

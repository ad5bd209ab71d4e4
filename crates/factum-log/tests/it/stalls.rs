//! Disks that take nothing for a while: the log waits for them, and goes on by itself.

use std::task::{Context, Poll, Waker};

use factum_log::disk::sim::{Faults, Refusal, SimDisk};
use factum_log::{AppendError, Appending, Log, LogSettings, Worker, Workers};
use pollster::block_on;

use crate::support::{
    append, assert_filled, clock, fill, numbered, open_on, partition, small, start,
};

fn open_stepped(disk: &SimDisk, settings: LogSettings) -> (Log, Workers) {
    let disk = std::sync::Arc::new(disk.clone());
    let (log, workers, _) = Log::open_stepped(disk, clock(), settings).unwrap();
    (log, workers)
}

fn answer(appending: &mut Appending) -> Poll<Result<i64, AppendError>> {
    let mut context = Context::from_waker(Waker::noop());
    std::pin::Pin::new(appending)
        .poll(&mut context)
        .map(|answer| answer.map(|appended| appended.base_offset.get()))
}

use std::future::Future;

/// What a disk may refuse for a while, and what it says then.
fn refusals() -> [(Faults, &'static str); 3] {
    let full = Faults { full_at_write: Some(1), ..Faults::default() };
    let read_only = Faults { refusal: Some(Refusal::ReadOnly), ..Faults::default() };
    let no_room = Faults { capacity: Some(1), ..Faults::default() };
    [(full, "space"), (read_only, "read-only"), (no_room, "space")]
}

#[test]
fn a_group_that_cannot_be_written_waits_and_is_written_later() {
    for (faults, _) in &refusals()[..2] {
        let disk = SimDisk::new(3);
        let (log, mut workers) = open_stepped(&disk, small());
        let id = partition(1, 0);
        let mut first = start(&log, id, numbered(0, 3000)).unwrap();
        assert!(workers.step(Worker::Writer));
        assert_eq!(answer(&mut first), Poll::Ready(Ok(0)));
        let mut second = start(&log, id, numbered(1, 3000)).unwrap();
        let room = block_on(log.reserve(10)).unwrap();
        disk.set_faults(faults.clone());
        assert!(!workers.step(Worker::Writer));
        // What has its offset waits; nothing more is taken; what is there is read.
        assert!(answer(&mut second).is_pending() && workers.pending().is_stalled);
        let reason = log.stalled().unwrap();
        assert!(reason.contains("goes on by itself") && log.failure().is_none(), "{reason}");
        let stalled = Some(AppendError::Stalled(reason));
        assert_eq!(block_on(log.reserve(1)).err(), stalled);
        assert_eq!(log.append(room, id, numbered(2, 1)).err(), stalled);
        assert_eq!(log.extent(id).end.get(), 1);
        let metrics = log.metrics();
        assert!(metrics.is_stalled && !metrics.has_failed && metrics.stalls == 1);
        disk.set_faults(Faults::default());
        assert!(workers.step(Worker::Writer));
        assert_eq!(answer(&mut second), Poll::Ready(Ok(1)));
        assert!(log.stalled().is_none() && !log.metrics().is_stalled);
        drop((log, workers));
        disk.crash();
        let (log, _) = open_on(disk.restarted(), small()).unwrap();
        assert_filled(&log, id, 0..2, 3000);
    }
}

#[test]
fn a_journal_that_cannot_be_begun_is_begun_later() {
    let too_many = Faults { refusal: Some(Refusal::TooManyFiles), ..Faults::default() };
    let faults = refusals().into_iter().map(|(faults, _)| faults).chain([too_many]);
    for faults in faults {
        let disk = SimDisk::new(3);
        let (log, mut workers) = open_stepped(&disk, small());
        let id = partition(1, 0);
        let mut open: Vec<_> = (0..2).map(|n| start(&log, id, numbered(n, 10_000))).collect();
        // One group is larger than what is left of the journal after the other.
        let mut third = start(&log, id, numbered(2, 10_000)).unwrap();
        assert!(workers.step(Worker::Writer));
        open.truncate(0);
        let mut fourth = start(&log, id, numbered(3, 10_000)).unwrap();
        assert_eq!(answer(&mut third), Poll::Ready(Ok(2)));
        disk.set_faults(faults);
        for _ in 0..3 {
            if workers.step(Worker::Writer) {
                break; // A single write that found the disk full is over.
            }
            assert!(log.stalled().unwrap().contains("starting the journal after"));
        }
        disk.set_faults(Faults::default());
        workers.step(Worker::Writer);
        assert_eq!(answer(&mut fourth), Poll::Ready(Ok(3)));
        log.close();
        workers.finish();
        let (log, recovery) = open_on(disk, small()).unwrap();
        assert_eq!((recovery.truncated, recovery.batches), (None, 4));
        assert_filled(&log, id, 0..4, 10_000);
    }
}

#[test]
fn who_waits_for_room_when_a_stall_begins_is_refused() {
    let disk = SimDisk::new(3);
    let (log, mut workers) = open_stepped(&disk, LogSettings { queue_bytes: 1000, ..small() });
    let _waiting = start(&log, partition(1, 0), numbered(0, 5000)).unwrap();
    let mut reserve = Box::pin(log.reserve(10));
    let mut context = Context::from_waker(Waker::noop());
    assert!(reserve.as_mut().poll(&mut context).is_pending(), "the first has all the room");
    disk.set_faults(refusals()[1].0.clone());
    workers.step(Worker::Writer);
    let answer = reserve.as_mut().poll(&mut context);
    assert!(matches!(answer, Poll::Ready(Err(AppendError::Stalled(_)))), "{answer:?}");
}

#[test]
fn a_full_disk_stalls_the_log_until_there_is_room() {
    let disk = SimDisk::new(3);
    disk.set_faults(Faults { capacity: Some(40 << 10), ..Faults::default() });
    let id = partition(1, 0);
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    let mut taken = 0;
    // The writer has a thread here: the append that stalls is answered when there is room again.
    let last = loop {
        let mut appending = match start(&log, id, numbered(taken, 1000)) {
            Ok(appending) => appending,
            Err(error) => break Err(error),
        };
        taken += 1;
        while answer(&mut appending).is_pending() && log.stalled().is_none() {
            std::thread::yield_now();
        }
        if log.stalled().is_some() {
            break Ok(());
        }
    };
    assert!(taken > 10 && last.is_ok());
    assert!(matches!(block_on(log.reserve(1)), Err(AppendError::Stalled(_))));
    disk.set_faults(Faults::default());
    while log.stalled().is_some() {
        std::thread::yield_now();
    }
    append(&log, id, numbered(taken, 1000)).unwrap();
    assert_filled(&log, id, 0..taken + 1, 1000);
    assert_eq!((log.metrics().stalls, log.failure()), (1, None));
}

#[test]
fn a_stalled_log_closes_and_says_what_was_not_written() {
    let disk = SimDisk::new(3);
    let id = partition(1, 0);
    let (log, _) = open_on(disk.clone(), small()).unwrap();
    fill(&log, id, 0..3, 100);
    disk.set_faults(refusals()[1].0.clone());
    let appending = start(&log, id, numbered(3, 100)).unwrap();
    log.close();
    assert!(matches!(block_on(appending), Err(AppendError::Failed(_))));
    disk.set_faults(Faults::default());
    let (log, _) = open_on(disk, small()).unwrap();
    assert_filled(&log, id, 0..3, 100);
}

#[test]
fn a_journal_whose_successor_may_be_there_takes_no_group() {
    // The flush of the next journal's header, and of its name.
    for sync in [1, 2] {
        let disk = SimDisk::new(7);
        let (log, mut workers) = open_stepped(&disk, small());
        let id = partition(1, 0);
        let first = start(&log, id, numbered(0, 100)).unwrap();
        assert!(workers.step(Worker::Writer));
        block_on(first).unwrap();
        log.seal();
        let second = start(&log, id, numbered(1, 100)).unwrap();
        disk.set_faults(Faults { fail_sync: Some(sync), ..Faults::default() });
        assert!(!workers.step(Worker::Writer) && !workers.step(Worker::Writer));
        assert!(matches!(block_on(second), Err(AppendError::Failed(_))));
        disk.kill();
        let (log, _) = open_on(disk.restarted(), small()).unwrap();
        assert_filled(&log, id, 0..1, 100);
    }
}

#[test]
fn a_journal_that_is_to_be_sealed_on_a_full_disk_takes_no_group_before() {
    let disk = SimDisk::new(7);
    let (log, mut workers) = open_stepped(&disk, small());
    let id = partition(1, 0);
    drop(start(&log, id, numbered(0, 100)).unwrap());
    assert!(workers.step(Worker::Writer));
    log.seal();
    disk.set_faults(Faults { capacity: Some(1), ..Faults::default() });
    assert!(!workers.step(Worker::Writer));
    let mut second = start(&log, id, numbered(1, 100)).unwrap();
    assert!(!workers.step(Worker::Writer) && workers.pending().is_stalled);
    disk.set_faults(Faults::default());
    assert!(workers.step(Worker::Writer));
    assert_eq!(answer(&mut second), Poll::Ready(Ok(1)));
    assert_eq!(log.metrics().journals, 2);
}

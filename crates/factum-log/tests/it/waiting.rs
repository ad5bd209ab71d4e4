//! Waiting for data, for room, and for the end.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use factum_event::Offset;
use factum_log::{AppendError, LogSettings, ReadError};
use pollster::block_on;
use tempfile::tempdir;

use crate::support::{append, fill, numbered, open, partition, small, start};

#[derive(Default)]
struct Count(AtomicUsize);

impl Wake for Count {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

fn is_pending(future: &mut (impl Future + Unpin)) -> bool {
    let waker = Waker::noop();
    std::pin::Pin::new(future).poll(&mut Context::from_waker(waker)).is_pending()
}

#[test]
fn a_waiter_wakes_for_its_partitions_and_no_others() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let mut waiter = log.waiter(&[partition(1, 0), partition(1, 1)]);
    append(&log, partition(1, 2), numbered(0, 10)).unwrap();
    assert!(is_pending(&mut Box::pin(waiter.changed())), "nothing of its own has come");
    append(&log, partition(1, 1), numbered(0, 10)).unwrap();
    block_on(waiter.changed());
    assert!(is_pending(&mut Box::pin(waiter.changed())), "once told, it waits again");
}

#[test]
fn what_comes_between_two_waits_is_not_missed() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let id = partition(1, 0);
    let mut waiter = log.waiter(&[id]);
    let other = log.clone();
    let writer = std::thread::spawn(move || fill(&other, id, 0..200, 10));
    let mut seen = 0;
    while seen < 200 {
        block_on(waiter.changed());
        seen = log.extent(id).end.get();
    }
    writer.join().unwrap();
}

#[test]
fn a_waiter_wakes_when_the_topic_goes_and_when_the_log_closes() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), small()).unwrap();
    let mut waiter = log.waiter(&[partition(1, 0)]);
    log.remove_topic(partition(1, 0).topic);
    block_on(waiter.changed());
    block_on(log.waiter(&[partition(1, 0)]).changed());
    let count = Arc::new(Count::default());
    let waker = Waker::from(Arc::clone(&count));
    let mut changed = pin!(waiter.changed());
    assert!(changed.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
    log.close();
    assert!(count.0.load(Ordering::SeqCst) > 0);
    assert_eq!(changed.poll(&mut Context::from_waker(&waker)), Poll::Ready(()));
}

#[test]
fn room_is_given_back_when_batches_are_durable_or_given_up() {
    let directory = tempdir().unwrap();
    let (log, _) = open(directory.path(), LogSettings { queue_bytes: 1000, ..small() }).unwrap();
    let first = block_on(log.reserve(600)).unwrap();
    let mut second = Box::pin(log.reserve(600));
    assert!(is_pending(&mut second), "600 and 600 are more than 1000");
    assert_eq!(log.metrics().queue_bytes, 1000, "what waits in line has what was left");
    drop(first);
    let room = block_on(second).unwrap();
    block_on(log.append(room, partition(1, 0), numbered(0, 500)).unwrap()).unwrap();
    // A batch above the limit gets all of it, and waits for nothing else.
    append(&log, partition(1, 0), numbered(1, 5000)).unwrap();
    let mut room = block_on(log.reserve(1000)).unwrap();
    assert!(room.split(400).is_some() && room.split(700).is_none());
}

#[test]
fn after_closing_every_call_says_so_and_what_was_queued_is_durable() {
    let directory = tempdir().unwrap();
    let id = partition(1, 0);
    let (log, _) = open(directory.path(), small()).unwrap();
    let room = block_on(log.reserve(10)).unwrap();
    let queued: Vec<_> = (0..10).map(|n| start(&log, id, numbered(n, 100)).unwrap()).collect();
    log.close();
    log.close();
    for appending in queued {
        block_on(appending).unwrap();
    }
    assert_eq!(log.append(room, id, numbered(0, 1)).err(), Some(AppendError::Closed));
    assert_eq!(block_on(log.reserve(1)).err(), Some(AppendError::Closed));
    assert_eq!(block_on(log.read(id, Offset::ZERO, 1)), Err(ReadError::Closed));
    assert_eq!(log.entries(id, Offset::ZERO, 1), Err(ReadError::Closed));
    drop(log);
    let (log, recovery) = open(directory.path(), small()).unwrap();
    assert_eq!(recovery.batches, 10);
    drop(log);
    assert!(open(directory.path(), small()).is_ok(), "the last handle closes it");
}

#[test]
fn many_threads_get_offsets_in_the_order_of_their_calls() {
    let directory = tempdir().unwrap();
    let (log, _) =
        open(directory.path(), LogSettings { journal_bytes: 1 << 20, ..small() }).unwrap();
    let id = partition(1, 0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut last = -1;
                for number in 0..100 {
                    let appending = start(&log, id, numbered(number, 100)).unwrap();
                    assert!(appending.base_offset().get() > last);
                    last = appending.base_offset().get();
                    let base = appending.base_offset();
                    assert_eq!(block_on(appending).unwrap().base_offset, base);
                    assert!(log.extent(id).end > base, "acknowledged is readable");
                }
            });
        }
    });
    assert_eq!(log.extent(id).end.get(), 400);
}

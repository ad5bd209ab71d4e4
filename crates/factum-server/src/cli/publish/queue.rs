//! A queue of bounded bytes between the thread that reads and the one that sends.
//!
//! Whoever takes gets everything that waits, up to a batch: a slow input is sent at once, a fast
//! one in full batches, without a timer.

use std::collections::VecDeque;

use parking_lot::{Condvar, Mutex};

use crate::cli::CliError;

/// Bytes that may wait; one larger item is let in alone.
const MAX_BYTES: usize = 32 << 20;

/// An event on its way.
#[derive(Debug)]
pub struct Item {
    /// The line that it was read from, from 1.
    pub line: u64,
    /// The event as structured JSON.
    pub json: String,
}

/// The queue.
#[derive(Debug, Default)]
pub struct Queue {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    items: VecDeque<Item>,
    bytes: usize,
    /// The input has ended, and how.
    ended: Option<Result<(), CliError>>,
    /// Nobody takes any more.
    abandoned: bool,
}

impl Queue {
    /// Adds an item once there is room; false if nobody takes any more.
    pub fn put(&self, item: Item) -> bool {
        let mut state = self.state.lock();
        while state.bytes > 0 && state.bytes + item.json.len() > MAX_BYTES && !state.abandoned {
            self.changed.wait(&mut state);
        }
        if state.abandoned {
            return false;
        }
        state.bytes += item.json.len();
        state.items.push_back(item);
        self.changed.notify_all();
        true
    }

    /// No item follows.
    pub fn end(&self, how: Result<(), CliError>) {
        self.state.lock().ended = Some(how);
        self.changed.notify_all();
    }

    /// No item is taken any more.
    pub fn abandon(&self) {
        self.state.lock().abandoned = true;
        self.changed.notify_all();
    }

    /// What waits, at least one item and within the limits; waits for the first. Empty at the end.
    ///
    /// # Errors
    /// Why the input ended, once all its items were taken.
    pub fn take(&self, max_items: usize, max_bytes: usize) -> Result<Vec<Item>, CliError> {
        let mut state = self.state.lock();
        while state.items.is_empty() {
            match state.ended.take() {
                Some(how) => return how.map(|()| Vec::new()),
                None => self.changed.wait(&mut state),
            }
        }
        let mut taken = Vec::with_capacity(state.items.len().min(max_items));
        let mut bytes = 0;
        while let Some(item) = state.items.pop_front() {
            if !taken.is_empty()
                && (taken.len() == max_items || bytes + item.json.len() > max_bytes)
            {
                state.items.push_front(item);
                break;
            }
            bytes += item.json.len();
            taken.push(item);
        }
        state.bytes -= bytes;
        self.changed.notify_all();
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(line: u64, bytes: usize) -> Item {
        Item { line, json: "x".repeat(bytes) }
    }

    fn lines(items: &[Item]) -> Vec<u64> {
        items.iter().map(|item| item.line).collect()
    }

    #[test]
    fn a_batch_is_what_waits_within_the_limits() {
        let queue = Queue::default();
        (1..=5).for_each(|line| assert!(queue.put(item(line, 10))));
        assert_eq!(lines(&queue.take(2, 1000).unwrap()), [1, 2]);
        assert_eq!(lines(&queue.take(9, 25).unwrap()), [3, 4]);
        queue.end(Ok(()));
        assert_eq!(lines(&queue.take(9, 1).unwrap()), [5]);
        assert!(queue.take(9, 1000).unwrap().is_empty());
    }

    #[test]
    fn an_error_comes_after_the_items_before_it() {
        let queue = Queue::default();
        queue.put(item(1, 1));
        queue.end(Err(CliError::failed("x", "line 2")));
        assert_eq!(queue.take(9, 9).unwrap().len(), 1);
        assert!(queue.take(9, 9).is_err());
    }

    #[test]
    fn a_full_queue_holds_the_reader_until_it_is_abandoned() {
        let queue = Queue::default();
        assert!(queue.put(item(1, MAX_BYTES)));
        std::thread::scope(|scope| {
            let blocked = scope.spawn(|| queue.put(item(2, 1)));
            queue.abandon();
            assert!(!blocked.join().unwrap());
        });
    }
}

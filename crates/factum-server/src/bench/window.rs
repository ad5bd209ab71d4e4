//! How many requests may wait for their answer at once.

use parking_lot::{Condvar, Mutex};

/// A window of requests in flight.
#[derive(Debug)]
pub struct Window {
    size: usize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    in_flight: usize,
    closed: bool,
}

impl Window {
    /// A window of this size.
    pub fn new(size: usize) -> Self {
        Self { size, state: Mutex::default(), changed: Condvar::new() }
    }

    /// Waits for room and takes it; false once the window is closed.
    pub fn enter(&self) -> bool {
        let mut state = self.state.lock();
        while state.in_flight >= self.size && !state.closed {
            self.changed.wait(&mut state);
        }
        state.in_flight += 1;
        !state.closed
    }

    /// An answer came.
    pub fn leave(&self) {
        self.state.lock().in_flight -= 1;
        self.changed.notify_one();
    }

    /// No answer will come any more.
    pub fn close(&self) {
        self.state.lock().closed = true;
        self.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_window_waits_for_an_answer_or_the_end() {
        let window = Window::new(1);
        assert!(window.enter());
        std::thread::scope(|scope| {
            let second = scope.spawn(|| window.enter());
            window.leave();
            assert!(second.join().unwrap());
            let third = scope.spawn(|| window.enter());
            window.close();
            assert!(!third.join().unwrap());
        });
    }
}

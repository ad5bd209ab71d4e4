//! What a person and a log see of a mirror that runs.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use serde_json::json;

use super::cluster::Place;
use super::slot::{Shared, Slot};
use crate::byte_size::ByteSize;
use crate::cli::{Terminal, grouped};

const TEMPLATE: &str = "{spinner} {bar:30} {percent:>3}%  {msg}  {elapsed_precise}";
/// Between two changes of what a person sees.
const SHOW_EVERY: Duration = Duration::from_millis(200);
/// Between two lines where nobody looks.
const LINE_EVERY: Duration = Duration::from_secs(10);
/// Remarks are not remembered without end: then they may be made again.
const MAX_NOTED: usize = 10_000;

/// Shows how far a mirror is.
pub struct Progress {
    terminal: Terminal,
    bar: ProgressBar,
    noted: HashSet<String>,
    shown: Instant,
    lined: Instant,
    /// Records and bytes at the last line.
    before: (u64, u64),
    /// Records per second and bytes per second, of late.
    rates: (f64, f64),
    counted: (u64, u64),
    /// The offsets that were to be copied at the beginning.
    total: u64,
}

impl Progress {
    /// Nothing has happened yet.
    pub fn new(terminal: Terminal) -> Self {
        let now = Instant::now();
        Self {
            bar: terminal.progress(Some(1), TEMPLATE),
            terminal,
            noted: HashSet::new(),
            shown: now,
            lined: now,
            before: (0, 0),
            rates: (0.0, 0.0),
            counted: (0, 0),
            total: 0,
        }
    }

    /// Says something above the bar.
    pub fn note(&self, text: impl Display) {
        self.bar.suspend(|| self.terminal.note(text));
    }

    /// Says something of something, but not again and again.
    pub fn note_once(&mut self, of: &str, what: &str) {
        if self.noted.len() >= MAX_NOTED {
            self.noted.clear();
        }
        if self.noted.insert(format!("{of} {what}")) {
            self.note(format!("{of}: {what}"));
        }
    }

    /// Shows how far it is, if it is time.
    pub fn show(&mut self, shared: &Shared, slots: &BTreeMap<Place, Arc<Slot>>) {
        let elapsed = self.shown.elapsed();
        if elapsed < SHOW_EVERY {
            return;
        }
        self.shown = Instant::now();
        let lag: u64 = slots.values().map(|slot| slot.lag()).sum();
        let now = (shared.records.load(Relaxed), shared.bytes.load(Relaxed));
        let seconds = elapsed.as_secs_f64();
        self.rates = (
            smooth(self.rates.0, now.0 - self.counted.0, seconds),
            smooth(self.rates.1, now.1 - self.counted.1, seconds),
        );
        self.counted = now;
        self.total = self.total.max(lag);
        self.bar.set_length(self.total.max(1));
        self.bar.set_position(if self.total == 0 { 1 } else { self.total - lag });
        self.bar.set_message(format!(
            "{} records  {} records/s  {}/s  lag {}",
            grouped(now.0),
            grouped(whole(self.rates.0)),
            ByteSize::from(whole(self.rates.1)),
            grouped(lag)
        ));
        if self.bar.is_hidden() {
            self.line(now, lag);
        }
    }

    /// A line for logs, if it is time and there is something to say.
    fn line(&mut self, now: (u64, u64), lag: u64) {
        let elapsed = self.lined.elapsed();
        if elapsed < LINE_EVERY || (now == self.before && lag == 0) {
            return;
        }
        let per_second = |count: u64| whole(smooth(0.0, count, elapsed.as_secs_f64()) / NEW);
        let (records, bytes) = (now.0 - self.before.0, now.1 - self.before.1);
        let (records, bytes) = (per_second(records), per_second(bytes));
        let status = json!({
            "records": now.0, "bytes": now.1,
            "records_per_second": records, "bytes_per_second": bytes, "lag": lag,
        });
        self.terminal.status(
            "progress",
            &status,
            format!(
                "{} records copied, {}; {} records/s, {}/s; {} offsets to go",
                grouped(now.0),
                ByteSize::from(now.1),
                grouped(records),
                ByteSize::from(bytes),
                grouped(lag)
            ),
        );
        (self.lined, self.before) = (Instant::now(), now);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

/// The part of a new rate in the one that is shown.
const NEW: f64 = 0.2;

#[expect(clippy::cast_precision_loss, reason = "a rate to be shown")]
fn smooth(before: f64, count: u64, seconds: f64) -> f64 {
    before * (1.0 - NEW) + NEW * (count as f64 / seconds.max(0.001))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate to be shown")]
fn whole(rate: f64) -> u64 {
    rate.round() as u64
}

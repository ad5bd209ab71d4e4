//! Sends what the queue has, in batches, and says how far it came.

use std::sync::atomic::Ordering;
use std::time::Instant;

use factum_event::event::json::BATCH_MEDIA_TYPE;
use indicatif::ProgressBar;
use serde::Serialize;

use super::input::{Input, Skipped, Source};
use super::queue::{Item, Queue};
use crate::byte_size::ByteSize;
use crate::cli::client::Client;
use crate::cli::table::grouped;
use crate::cli::terminal::{DIM, GOOD, WARN};
use crate::cli::{CliError, Terminal};

/// Bytes of one request, well below what the server takes.
const MAX_BATCH_BYTES: usize = 4 << 20;

const FILE_TEMPLATE: &str =
    "{spinner} {bar:30} {percent:>3}%  {msg}  {elapsed_precise} (about {eta} left)";
const STREAM_TEMPLATE: &str = "{spinner} {msg}  {elapsed_precise}";

/// What was done.
#[derive(Debug, Default, Serialize)]
struct Summary {
    published: u64,
    skipped: u64,
    bytes: u64,
    seconds: f64,
    events_per_second: f64,
    /// The last line that is in the log.
    last_line: u64,
}

/// Publishes everything that the input has.
pub fn run(
    client: &Client,
    terminal: &Terminal,
    path: &str,
    source: Source,
    input: Input,
    batch: u32,
) -> Result<(), CliError> {
    let queue = Queue::default();
    let template = if input.total.is_some() { FILE_TEMPLATE } else { STREAM_TEMPLATE };
    let bar = terminal.progress(input.total, template);
    let (read, started) = (std::sync::Arc::clone(&input.read), Instant::now());
    let mut summary = Summary::default();
    let (sent, skipped) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| source.fill(input, &queue));
        let sent = send_all(client, path, &queue, batch, &mut summary, &mut |summary| {
            bar.set_position(read.load(Ordering::Relaxed));
            bar.set_message(progress(summary, started));
        });
        queue.abandon();
        // A reader that waits for a silent pipe is not waited for: the error ends the process.
        let skipped = match &sent {
            Ok(()) => reader.join().ok(),
            Err(_) if reader.is_finished() => reader.join().ok(),
            Err(error) => give_up(terminal, error, &summary, &bar),
        };
        (sent, skipped.unwrap_or_default())
    });
    bar.finish_and_clear();
    summary.skipped = skipped.count;
    summary.seconds = started.elapsed().as_secs_f64();
    summary.events_per_second = rate(summary.published, summary.seconds);
    report_skipped(terminal, &skipped);
    sent.map_err(|error| with_progress(error, &summary))?;
    say(terminal, &summary)
}

fn send_all(
    client: &Client,
    path: &str,
    queue: &Queue,
    batch: u32,
    summary: &mut Summary,
    show: &mut dyn FnMut(&Summary),
) -> Result<(), CliError> {
    loop {
        let items = queue.take(batch as usize, MAX_BATCH_BYTES)?;
        let (Some(first), Some(last)) = (items.first(), items.last()) else { return Ok(()) };
        let body = body(&items);
        let lines = format!("lines {} to {}", first.line, last.line);
        client.post_bytes(path, BATCH_MEDIA_TYPE, body.as_bytes()).map_err(
            |error| match error {
                CliError::Failed { code, message, advice } => {
                    CliError::Failed { code, message: format!("{lines}: {message}"), advice }
                }
                other => other,
            },
        )?;
        summary.published += items.len() as u64;
        summary.bytes += body.len() as u64;
        summary.last_line = last.line;
        show(summary);
    }
}

/// A JSON array of events that are JSON already.
fn body(items: &[Item]) -> String {
    let mut body =
        String::with_capacity(items.iter().map(|item| item.json.len() + 1).sum::<usize>() + 2);
    for item in items {
        body.push(if body.is_empty() { '[' } else { ',' });
        body.push_str(&item.json);
    }
    body.push(']');
    body
}

/// Ends the process where the reader cannot be woken: it hangs in a read of a pipe.
fn give_up(terminal: &Terminal, error: &CliError, summary: &Summary, bar: &ProgressBar) -> ! {
    bar.finish_and_clear();
    let (message, advice) = (error.to_string(), error.advice().map(str::to_owned));
    let error = CliError::Failed { code: error.code().to_owned(), message, advice };
    let error = with_progress(error, summary);
    terminal.report(&error);
    std::process::exit(i32::from(error.exit_code()))
}

/// The error, with what is in the log all the same.
fn with_progress(error: CliError, summary: &Summary) -> CliError {
    if summary.published == 0 {
        return error;
    }
    let CliError::Failed { code, message, advice } = error else { return error };
    let durable = format!(
        "{} events up to line {} are in the log already",
        grouped(summary.published),
        summary.last_line
    );
    let advice = advice.map_or_else(|| durable.clone(), |advice| format!("{advice}; {durable}"));
    CliError::Failed { code, message, advice: Some(advice) }
}

fn progress(summary: &Summary, started: Instant) -> String {
    let seconds = started.elapsed().as_secs_f64();
    format!(
        "{} events  {}/s  {}",
        grouped(summary.published),
        per_second(rate(summary.published, seconds)),
        ByteSize::from(summary.bytes)
    )
}

fn report_skipped(terminal: &Terminal, skipped: &Skipped) {
    for line in &skipped.shown {
        terminal.note(format!("skipped {line}"));
    }
    let more = skipped.count - skipped.shown.len() as u64;
    if more > 0 {
        terminal.note(format!("and skipped {} more lines", grouped(more)));
    }
}

fn say(terminal: &Terminal, summary: &Summary) -> Result<(), CliError> {
    if terminal.json() {
        return terminal.say_json(summary);
    }
    let colors = terminal.colors;
    let mut text = format!(
        "{} {} events  {}",
        colors.paint(GOOD, "✓ published"),
        grouped(summary.published),
        colors.paint(
            DIM,
            format!(
                "{} in {:.1} s, {} events/s",
                ByteSize::from(summary.bytes),
                summary.seconds,
                per_second(summary.events_per_second)
            )
        ),
    );
    if summary.skipped > 0 {
        let skipped = format!("{} lines skipped", grouped(summary.skipped));
        text.push_str(&format!("  {}", colors.paint(WARN, skipped)));
    }
    terminal.say(text)
}

#[expect(clippy::cast_precision_loss, reason = "a rate for people")]
fn rate(count: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { count as f64 / seconds } else { 0.0 }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a rate, not negative")]
fn per_second(rate: f64) -> String {
    grouped(rate.round() as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_an_array_of_the_lines_as_they_are() {
        let item = |json: &str| Item { line: 1, json: json.to_owned() };
        assert_eq!(body(&[item("{\"a\":1.0}"), item("{}")]), "[{\"a\":1.0},{}]");
    }

    #[test]
    fn an_error_says_what_is_in_the_log_already() {
        let summary = Summary { published: 1500, last_line: 1502, ..Summary::default() };
        let error = with_progress(CliError::failed("x", "line 1600: bad"), &summary);
        let advice = error.advice().unwrap();
        assert!(advice.contains("1,500 events up to line 1502"), "{advice}");
        let none = with_progress(CliError::failed("x", "y"), &Summary::default());
        assert_eq!(none.advice(), None);
    }
}

//! Follows events, and goes on after a lost connection right behind the last one that came.

use std::io::BufReader;
use std::time::Duration;

use serde_json::Value;

use super::sse::{Frame, Frames};
use super::{Printer, ReadArgs};
use crate::cli::client::{Client, StreamError};
use crate::cli::{CliError, Terminal};

/// How long to wait before each new attempt; after the last one it gives up.
const BACKOFF_SECONDS: [u64; 9] = [0, 1, 2, 4, 8, 15, 15, 15, 30];

/// Where a follower stands.
struct Follower<'a> {
    printer: &'a mut Printer,
    cursor: Option<String>,
    left: Option<u64>,
    /// Something came since the last connection.
    progress: bool,
}

/// How a stream ended.
enum Ended {
    /// It is over.
    Done,
    /// It broke off, and may be resumed.
    Lost(CliError),
}

/// Runs until the limit, a closed pipe, or the server's end of the stream.
pub fn run(
    args: &ReadArgs,
    client: &Client,
    terminal: &Terminal,
    printer: &mut Printer,
) -> Result<(), CliError> {
    let mut follower = Follower { printer, cursor: None, left: args.limit, progress: false };
    let mut attempts = BACKOFF_SECONDS.iter();
    let mut connected = false;
    loop {
        let ended = match connect(args, client, &follower) {
            Ok(stream) => {
                connected = true;
                follower.read(Frames::new(BufReader::new(stream)))?
            }
            // The first attempt tells a person at once that the server is not there.
            Err(error) if !connected => return Err(error.into()),
            Err(StreamError::Refused(error)) => return Err(error),
            Err(StreamError::Again(error)) => Ended::Lost(error),
        };
        let Ended::Lost(error) = ended else { return Ok(()) };
        if std::mem::take(&mut follower.progress) {
            attempts = BACKOFF_SECONDS.iter();
        }
        let Some(seconds) = attempts.next() else {
            return Err(error.advise("gave up after several attempts; is the server running?"));
        };
        if *seconds > 0 {
            terminal.note(format!("{error}; trying again in {seconds} s"));
            pause(Duration::from_secs(*seconds));
        }
    }
}

fn connect(
    args: &ReadArgs,
    client: &Client,
    follower: &Follower<'_>,
) -> Result<impl std::io::Read + use<>, StreamError> {
    let query = args.query(follower.left);
    client.stream(&args.path(), &query, "text/event-stream", follower.cursor.as_deref())
}

/// Waits; nothing else happens in this thread.
fn pause(time: Duration) {
    let until = std::time::Instant::now() + time;
    while let Some(left) = until.checked_duration_since(std::time::Instant::now()) {
        std::thread::park_timeout(left);
    }
}

impl Follower<'_> {
    fn read(&mut self, mut frames: Frames<impl std::io::BufRead>) -> Result<Ended, CliError> {
        loop {
            let frame = match frames.next() {
                Ok(Some(frame)) => frame,
                Ok(None) => return Ok(lost("the server closed the connection")),
                Err(error) => return Ok(lost(format!("the connection was lost: {error}"))),
            };
            self.progress = true;
            match frame.event.as_deref() {
                None | Some("message") => self.message(&frame)?,
                Some("end") => return end(&frame.data),
                Some(_) => {}
            }
            self.cursor = frame.id.or(self.cursor.take());
            if self.left == Some(0) {
                return Ok(Ended::Done);
            }
        }
    }

    fn message(&mut self, frame: &Frame) -> Result<(), CliError> {
        // A frame without data only moves the cursor, and shows that both ends live.
        if !frame.data.is_empty() {
            self.printer.event(frame.data.as_bytes())?;
            self.left = self.left.map(|left| left - 1);
        }
        self.printer.flush()
    }
}

fn lost(message: impl Into<String>) -> Ended {
    Ended::Lost(CliError::failed("broken-stream", message.into()))
}

/// What the server's last frame says.
fn end(data: &str) -> Result<Ended, CliError> {
    let document: Value = serde_json::from_str(data).unwrap_or_default();
    let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("reason") {
        "limit" => Ok(Ended::Done),
        "shutdown" => Ok(lost("the server is shutting down")),
        reason => {
            let detail = if text("detail").is_empty() { reason } else { text("detail") };
            let message = format!("the server ended the stream: {detail}");
            Err(CliError::failed(if reason.is_empty() { "ended" } else { reason }, message))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_servers_reason_decides_whether_to_come_back() {
        assert!(matches!(end(r#"{"reason":"limit"}"#), Ok(Ended::Done)));
        assert!(matches!(end(r#"{"reason":"shutdown"}"#), Ok(Ended::Lost(_))));
        let gone =
            end(r#"{"reason":"topic-deleted","detail":"orders was deleted"}"#).err().unwrap();
        assert_eq!(gone.code(), "topic-deleted");
        assert!(gone.to_string().contains("orders was deleted"));
    }

    #[test]
    fn attempts_are_bounded_to_minutes() {
        assert!(BACKOFF_SECONDS.iter().sum::<u64>() < 180);
    }
}

//! Reads events from lines or rows, and puts them into the queue.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use factum_event::event::json;

use super::complete::event_line;
use super::csv_rows::Rows;
use super::data::MAX_DATA_BYTES;
use super::queue::{Item, Queue};
use super::{Attributes, Columns, Format, Stamp};
use crate::cli::CliError;

/// How many skipped lines are shown with their reason; the rest is counted.
const SHOWN_SKIPPED: usize = 10;

/// What to read, and how.
pub struct Source {
    pub(super) format: Format,
    pub(super) attributes: Attributes,
    pub(super) columns: Columns,
    pub(super) skip_invalid: bool,
}

/// Where to read, how much there is, and how much was read.
pub struct Input {
    reader: Box<dyn Read + Send>,
    /// Bytes, where it is a file.
    pub total: Option<u64>,
    /// Bytes read.
    pub read: Arc<AtomicU64>,
}

/// Lines that were left out.
#[derive(Debug, Default)]
pub struct Skipped {
    /// How many.
    pub count: u64,
    /// The first of them, with the reason.
    pub shown: Vec<String>,
}

/// Opens a file, or stdin.
pub fn open(file: Option<&Path>) -> Result<Input, CliError> {
    let (reader, total): (Box<dyn Read + Send>, _) = match file {
        None => (Box::new(io::stdin()), None),
        Some(path) => {
            let failed = |error| {
                CliError::failed("input", format!("cannot read {}: {error}", path.display()))
            };
            let file = File::open(path).map_err(failed)?;
            let metadata = file.metadata().map_err(failed)?;
            (Box::new(file), metadata.is_file().then_some(metadata.len()))
        }
    };
    let read = Arc::new(AtomicU64::new(0));
    let reader = Box::new(Counted { inner: reader, read: Arc::clone(&read) });
    Ok(Input { reader, total, read })
}

struct Counted {
    inner: Box<dyn Read + Send>,
    read: Arc<AtomicU64>,
}

impl Read for Counted {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.read.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Source {
    /// Reads everything into the queue, and ends it.
    pub fn fill(&self, input: Input, queue: &Queue) -> Skipped {
        let mut skipped = Skipped::default();
        let ended = match self.format {
            Format::Csv => self.rows(input.reader, queue, &mut skipped),
            Format::Events | Format::Data => self.lines(input.reader, queue, &mut skipped),
        };
        queue.end(ended);
        skipped
    }

    fn lines(
        &self,
        reader: impl Read,
        queue: &Queue,
        skipped: &mut Skipped,
    ) -> Result<(), CliError> {
        let stamp = Stamp::new();
        let mut reader = BufReader::with_capacity(256 * 1024, reader);
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            let read = (&mut reader).take(MAX_DATA_BYTES + 1).read_until(b'\n', &mut bytes);
            if read.map_err(|error| cannot_read(number, &error))? == 0 {
                break;
            }
            if bytes.len() as u64 > MAX_DATA_BYTES {
                let text = format!("line {number} is longer than {MAX_DATA_BYTES} bytes");
                return Err(CliError::failed("invalid-line", text));
            }
            if bytes.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            let json = self.line(&bytes, &stamp);
            if !self.deliver(number, json, queue, skipped)? {
                break;
            }
        }
        Ok(())
    }

    fn line(&self, bytes: &[u8], stamp: &Stamp) -> Result<String, String> {
        let text = std::str::from_utf8(bytes).map_err(|error| format!("not UTF-8: {error}"))?;
        if self.format == Format::Events {
            return event_line(text, &self.attributes, stamp);
        }
        let data = Bytes::copy_from_slice(text.trim().as_bytes());
        let event = self.attributes.builder()?.json_text(data).stamp(&stamp.ids, stamp.now());
        event.build().map(|event| json::encode_line(&event)).map_err(|error| error.to_string())
    }

    fn rows(
        &self,
        reader: impl Read,
        queue: &Queue,
        skipped: &mut Skipped,
    ) -> Result<(), CliError> {
        let stamp = Stamp::new();
        let mut rows = Rows::new(reader, &self.attributes, &self.columns)?;
        while let Some((number, row)) = rows.next(&stamp) {
            if !self.deliver(number, row, queue, skipped)? {
                break;
            }
        }
        Ok(())
    }

    /// Queues an event, or counts or refuses what is none. False if nobody takes any more.
    fn deliver(
        &self,
        line: u64,
        event: Result<String, String>,
        queue: &Queue,
        skipped: &mut Skipped,
    ) -> Result<bool, CliError> {
        match event {
            Ok(json) => Ok(queue.put(Item { line, json })),
            Err(reason) if self.skip_invalid => {
                skipped.count += 1;
                if skipped.shown.len() < SHOWN_SKIPPED {
                    skipped.shown.push(format!("line {line}: {reason}"));
                }
                Ok(true)
            }
            Err(reason) => Err(CliError::failed("invalid-line", format!("line {line}: {reason}"))
                .advise("correct it, or leave such lines out with --skip-invalid")),
        }
    }
}

fn cannot_read(line: u64, error: &io::Error) -> CliError {
    CliError::failed("input", format!("cannot read line {line}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(format: Format, skip_invalid: bool) -> Source {
        let attributes = Attributes {
            event_type: Some("t".into()),
            source: Some("/s".into()),
            ..Attributes::default()
        };
        Source { format, attributes, columns: Columns::default(), skip_invalid }
    }

    fn fill(source: &Source, text: &'static str) -> (Vec<Item>, Skipped, Result<(), CliError>) {
        let queue = Queue::default();
        let input = Input { reader: Box::new(text.as_bytes()), total: None, read: Arc::default() };
        let skipped = source.fill(input, &queue);
        let mut items = Vec::new();
        let how = loop {
            match queue.take(100, 1 << 20) {
                Ok(taken) if taken.is_empty() => break Ok(()),
                Ok(taken) => items.extend(taken),
                Err(error) => break Err(error),
            }
        };
        (items, skipped, how)
    }

    #[test]
    fn each_line_of_data_is_an_event() {
        let (items, skipped, how) = fill(&source(Format::Data, false), "{\"a\": 1}\n\n[2]\n");
        assert!(how.is_ok() && skipped.count == 0);
        assert_eq!(items.iter().map(|item| item.line).collect::<Vec<_>>(), [1, 3]);
        let event = json::decode(items[0].json.as_bytes()).unwrap();
        assert_eq!(&event.data().bytes()[..], b"{\"a\":1}");
    }

    #[test]
    fn a_bad_line_stops_with_its_number_and_reason() {
        let (items, _, how) = fill(&source(Format::Data, false), "1\nx\n3\n");
        assert_eq!(items.len(), 1);
        let error = how.unwrap_err();
        assert!(error.to_string().starts_with("line 2: "), "{error}");
        assert!(error.advice().unwrap().contains("--skip-invalid"));
    }

    #[test]
    fn bad_lines_are_counted_where_they_may_be_skipped() {
        let (items, skipped, how) = fill(&source(Format::Events, true), "{}\nno\n{}\n[]\n");
        assert!(how.is_ok());
        assert_eq!((items.len(), skipped.count, skipped.shown.len()), (2, 2, 2));
        assert!(skipped.shown[0].starts_with("line 2: "), "{:?}", skipped.shown);
    }
}

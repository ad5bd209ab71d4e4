//! Rows of a CSV as events: named columns become attributes, the others data.

use std::io::Read;

use csv::{Reader, ReaderBuilder, StringRecord};
use factum_event::Timestamp;
use factum_event::event::{EventBuilder, EventTime, json};
use serde_json::Value;

use super::{Attributes, Columns, Stamp};
use crate::cli::CliError;

/// Integers with more digits stay text: JSON's readers would round them.
const MAX_NUMBER_DIGITS: usize = 15;

/// Seconds since 1970 that are rather milliseconds: they would be after the year 5138.
const MILLISECONDS_FROM: i64 = 100_000_000_000;

type Set = fn(EventBuilder, &str) -> EventBuilder;

/// The rows of a CSV.
pub struct Rows<'a, R> {
    reader: Reader<R>,
    attributes: &'a Attributes,
    columns: &'a Columns,
    places: Places,
    row: StringRecord,
}

/// Where the columns stand.
struct Places {
    event_type: Option<usize>,
    time: Option<usize>,
    texts: Vec<(usize, Set)>,
    /// Columns that become data, with their headings.
    data: Vec<(usize, String)>,
}

impl<'a, R: Read> Rows<'a, R> {
    /// Reads the heading and finds the columns.
    pub fn new(
        input: R,
        attributes: &'a Attributes,
        columns: &'a Columns,
    ) -> Result<Self, CliError> {
        let mut reader = ReaderBuilder::new().flexible(false).from_reader(input);
        let headings = reader
            .headers()
            .map_err(|error| CliError::failed("invalid-line", format!("the heading: {error}")))?;
        let places = Places::find(headings, columns)?;
        if places.event_type.is_none() && attributes.event_type.is_none() {
            return Err(CliError::usage("rows need a type: say --type, or --type-column COLUMN"));
        }
        if attributes.source.is_none() {
            return Err(CliError::usage("rows need a source: say --source, such as /shop"));
        }
        Ok(Self { reader, attributes, columns, places, row: StringRecord::new() })
    }

    /// The next row as an event in a line of JSON, or why it is none; with its line.
    pub fn next(&mut self, stamp: &Stamp) -> Option<(u64, Result<String, String>)> {
        let read = self.reader.read_record(&mut self.row);
        let line = self.row.position().map_or(0, csv::Position::line);
        match read {
            Ok(false) => None,
            Ok(true) => Some((line, self.event(stamp))),
            Err(error) => {
                let at = error.position().map_or(line, csv::Position::line);
                Some((at, Err(error.to_string())))
            }
        }
    }

    fn event(&self, stamp: &Stamp) -> Result<String, String> {
        let cell = |index: usize| self.row.get(index).unwrap_or_default();
        let mut builder = match self.places.event_type.map(cell) {
            Some(event_type) => self.attributes.builder_of(event_type)?,
            None => self.attributes.builder()?,
        };
        for (index, set) in &self.places.texts {
            if !cell(*index).is_empty() {
                builder = set(builder, cell(*index));
            }
        }
        if let Some(index) = self.places.time {
            builder = builder.time(time(cell(index), self.columns.utc)?);
        }
        let event = builder.json_text(self.data()).stamp(&stamp.ids, stamp.now()).build();
        event.map(|event| json::encode_line(&event)).map_err(|error| error.to_string())
    }

    fn data(&self) -> String {
        let mut out = String::with_capacity(256);
        out.push('{');
        for (index, heading) in &self.places.data {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&Value::from(heading.as_str()).to_string());
            out.push(':');
            push_value(&mut out, self.row.get(*index).unwrap_or_default(), self.columns.strings);
        }
        out.push('}');
        out
    }
}

impl Places {
    fn find(headings: &StringRecord, columns: &Columns) -> Result<Self, CliError> {
        let find = |name: &Option<String>| match name {
            None => Ok(None),
            Some(name) => match headings.iter().position(|heading| heading.trim() == name) {
                Some(index) => Ok(Some(index)),
                None => Err(no_column(name, headings)),
            },
        };
        let text: [(&Option<String>, Set); 4] = [
            (&columns.subject_column, |b, v| b.subject(v)),
            (&columns.id_column, |b, v| b.id(v)),
            (&columns.correlation_column, |b, v| b.correlationid(v)),
            (&columns.partition_key_column, |b, v| b.partitionkey(v)),
        ];
        let mut texts = Vec::new();
        for (name, set) in text {
            if let Some(index) = find(name)? {
                texts.push((index, set));
            }
        }
        let (event_type, time) = (find(&columns.type_column)?, find(&columns.time_column)?);
        let taken = |index: usize| {
            event_type == Some(index)
                || time == Some(index)
                || texts.iter().any(|(place, _)| *place == index)
        };
        let data = headings.iter().enumerate().filter(|(index, _)| !taken(*index));
        let data = data.map(|(index, heading)| (index, heading.trim().to_owned())).collect();
        Ok(Self { event_type, time, texts, data })
    }
}

fn no_column(name: &str, headings: &StringRecord) -> CliError {
    let known: Vec<&str> = headings.iter().take(50).collect();
    CliError::usage(format!("there is no column {name:?}; the heading has {}", known.join(", ")))
}

fn time(text: &str, utc: bool) -> Result<EventTime, String> {
    let text = text.trim();
    if let Ok(number) = text.parse::<i64>() {
        let millis =
            if number.abs() >= MILLISECONDS_FROM { Some(number) } else { number.checked_mul(1000) };
        let time = millis.map(Timestamp::from_millis).and_then(EventTime::from_timestamp);
        return time.ok_or_else(|| format!("{text} is no time since 1970"));
    }
    match EventTime::parse(text) {
        Ok(time) => Ok(time),
        Err(_) if utc => {
            let seconds = if text.matches(':').count() == 1 { ":00" } else { "" };
            let text = text.replacen(' ', "T", 1).replace('/', "-");
            let day = if text.contains('T') { "" } else { "T00:00:00" };
            EventTime::parse(&format!("{text}{day}{seconds}Z")).map_err(|error| error.to_string())
        }
        Err(error) => Err(format!("{error} (times without a zone are taken as UTC by --utc)")),
    }
}

fn push_value(out: &mut String, cell: &str, strings: bool) {
    if !strings {
        let trimmed = cell.trim();
        match trimmed {
            "" => return out.push_str("null"),
            "true" | "false" => return out.push_str(trimmed),
            _ if is_number(trimmed) => return out.push_str(trimmed),
            _ => {}
        }
    }
    out.push_str(&Value::from(cell).to_string());
}

/// Whether the text is a number of JSON that its readers keep as it is.
fn is_number(text: &str) -> bool {
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    digits > 0
        && digits <= MAX_NUMBER_DIGITS
        && text.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte))
        && serde_json::from_str::<serde_json::Number>(text).is_ok()
}

#[cfg(test)]
mod tests {
    use factum_event::event::Event;

    use super::*;

    fn rows(text: &str, columns: &Columns) -> Vec<(u64, Result<Event, String>)> {
        let attributes = Attributes {
            event_type: Some("quake".into()),
            source: Some("/usgs".into()),
            ..Attributes::default()
        };
        let stamp = Stamp::new();
        let mut rows = Rows::new(text.as_bytes(), &attributes, columns).unwrap();
        let mut out = Vec::new();
        while let Some((line, row)) = rows.next(&stamp) {
            out.push((line, row.map(|row| json::decode(row.as_bytes()).unwrap())));
        }
        out
    }

    fn columns() -> Columns {
        Columns {
            id_column: Some("id".into()),
            time_column: Some("time".into()),
            subject_column: Some("place".into()),
            ..Columns::default()
        }
    }

    #[test]
    fn named_columns_become_attributes_and_the_others_data() {
        let text =
            "id,time,mag,place,note,zip\nus1,2018-01-31T01:00:00Z,2.50,\"Big, Lake\",,01234\n";
        let rows = rows(text, &columns());
        let event = rows[0].1.as_ref().unwrap();
        assert_eq!(rows[0].0, 2);
        assert_eq!((event.id(), event.subject()), ("us1", Some("Big, Lake")));
        assert_eq!(event.time().unwrap().as_str(), "2018-01-31T01:00:00Z");
        assert_eq!(&event.data().bytes()[..], br#"{"mag":2.50,"note":null,"zip":"01234"}"#);
    }

    #[test]
    fn a_row_of_another_length_is_refused_with_its_line() {
        let rows = rows("id,time,place\na,1,b\nc\nd,2,e\n", &columns());
        assert!(rows[0].1.is_ok());
        assert_eq!(rows[1].0, 3);
        assert!(rows[1].1.is_err());
        assert!(rows[2].1.is_ok());
    }

    #[test]
    fn a_column_that_is_missing_is_named_with_those_that_are_there() {
        let attributes = Attributes::default();
        let error = Rows::new("a,b\n".as_bytes(), &attributes, &columns()).err().unwrap();
        assert!(
            error.to_string().contains("\"place\"") && error.to_string().contains("a, b"),
            "{error}"
        );
    }

    #[test]
    fn times_are_rfc_3339_or_since_1970_or_said_to_be_utc() {
        let read = |text, utc| time(text, utc).map(|time| time.timestamp().as_millis());
        assert_eq!(read("1970-01-01T00:00:01Z", false), Ok(1000));
        assert_eq!(read("1500000000", false), Ok(1_500_000_000_000));
        assert_eq!(read("1500000000123", false), Ok(1_500_000_000_123));
        assert!(read("1970-01-01 00:00:01", false).unwrap_err().contains("--utc"));
        assert_eq!(read("1970-01-01 00:00:01", true), Ok(1000));
        assert_eq!(read("1970/01/01 00:01", true), Ok(60_000));
        assert_eq!(read("1970-01-02", true), Ok(86_400_000));
        assert!(read("soon", true).is_err());
    }

    #[test]
    fn numbers_that_would_be_rounded_stay_text() {
        for number in ["0", "-1.5", "2.50", "1e3"] {
            assert!(is_number(number), "{number}");
        }
        for text in ["01", "1.", "+1", "NaN", "-", "12345678901234567", "1e999"] {
            assert!(!is_number(text), "{text}");
        }
    }
}

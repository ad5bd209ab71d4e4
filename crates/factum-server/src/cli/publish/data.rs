//! The data of an event from a flag: given, from a file, or from stdin.

use std::fs::File;
use std::io::{self, Read};

use bytes::Bytes;
use factum_event::Event;
use factum_event::event::{EventBuilder, Json};

use super::Attributes;
use crate::cli::CliError;

/// The most that one event may carry: what the server takes in a request.
pub const MAX_DATA_BYTES: u64 = 16 << 20;

/// Puts an attribute into an event.
type Set = fn(EventBuilder, String) -> EventBuilder;

/// What `--data` means: itself, the content of `@FILE`, or stdin for `-`.
pub fn read(given: &str) -> Result<Bytes, CliError> {
    match given.strip_prefix('@') {
        Some(path) => File::open(path)
            .and_then(limited)
            .map_err(|error| CliError::failed("input", format!("cannot read {path}: {error}"))),
        None if given == "-" => limited(io::stdin().lock())
            .map_err(|error| CliError::failed("input", format!("cannot read stdin: {error}"))),
        None => Ok(Bytes::copy_from_slice(given.as_bytes())),
    }
}

fn limited(input: impl Read) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    input.take(MAX_DATA_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_DATA_BYTES {
        let text = format!("more than {MAX_DATA_BYTES} bytes; an event is not a file transfer");
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(bytes.into())
}

/// Puts data into an event: of the given media type, else JSON if it is, else text if it is.
pub fn attach(builder: EventBuilder, data: Bytes, attributes: &Attributes) -> EventBuilder {
    if attributes.datacontenttype.is_some() {
        return builder.bytes(data);
    }
    if Json::parse(data.clone()).is_ok() {
        return builder.json_text(data);
    }
    match std::str::from_utf8(&data) {
        Ok(text) => builder.text(text),
        Err(_) => builder.binary(data),
    }
}

impl Attributes {
    /// An event with these attributes, yet without data.
    ///
    /// # Errors
    /// What is missing, as a flag.
    pub fn builder(&self) -> Result<EventBuilder, String> {
        let Some(event_type) = &self.event_type else {
            return Err("an event needs a type: say --type, such as order.placed".to_owned());
        };
        self.builder_of(event_type)
    }

    /// The same with a type from elsewhere.
    ///
    /// # Errors
    /// What is missing, as a flag.
    pub fn builder_of(&self, event_type: &str) -> Result<EventBuilder, String> {
        let Some(source) = &self.source else {
            return Err("an event needs a source: say --source, such as /shop".to_owned());
        };
        let mut builder = Event::builder(source, event_type);
        let setters: [(&Option<String>, Set); 7] = [
            (&self.id, |b, v| b.id(v)),
            (&self.subject, |b, v| b.subject(v)),
            (&self.datacontenttype, |b, v| b.datacontenttype(v)),
            (&self.dataschema, |b, v| b.dataschema(v)),
            (&self.correlation_id, |b, v| b.correlationid(v)),
            (&self.causation_id, |b, v| b.causationid(v)),
            (&self.partition_key, |b, v| b.partitionkey(v)),
        ];
        for (value, set) in setters {
            if let Some(value) = value {
                builder = set(builder, value.clone());
            }
        }
        if let Some(time) = &self.time {
            builder = builder.time(time.clone());
        }
        for (name, value) in &self.extensions {
            builder = builder.extension(name, value.as_str());
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn data_of(text: &[u8], media: Option<&str>) -> Option<String> {
        let attributes = Attributes {
            event_type: Some("t".into()),
            source: Some("/s".into()),
            id: Some("1".into()),
            datacontenttype: media.map(str::to_owned),
            ..Attributes::default()
        };
        let builder = attributes.builder().unwrap();
        let event = attach(builder, Bytes::copy_from_slice(text), &attributes).build().unwrap();
        event.datacontenttype().map(str::to_owned)
    }

    #[test]
    fn data_is_json_if_it_is_else_text_else_binary() {
        assert_eq!(data_of(b"{\"a\":1}", None).as_deref(), Some("application/json"));
        assert_eq!(data_of(b"hello", None).as_deref(), Some("text/plain; charset=utf-8"));
        assert_eq!(data_of(&[0xff, 0], None).as_deref(), Some("application/octet-stream"));
        assert_eq!(data_of(b"{}", Some("text/x")).as_deref(), Some("text/x"));
    }

    #[test]
    fn a_file_that_is_missing_is_named() {
        let error = read("@/no/such/file").unwrap_err().to_string();
        assert!(error.contains("/no/such/file"), "{error}");
    }
}

//! The envelope: [CloudEvents 1.0.2](https://github.com/cloudevents/spec/tree/v1.0.2).
//!
//! An [`Event`] is valid by construction: whoever holds one need not check it again. It is made
//! by [`Event::builder`], or read by one of the bindings:
//!
//! * [`json`]: the JSON event format, structured and batched;
//! * [`http`]: the HTTP binding, in binary, structured and batched mode;
//! * [`kafka`]: the Kafka binding, in binary and structured mode.
//!
//! A record without a valid envelope is read by [`Event::from_stored`], which derives what is
//! missing and says so. [`StoredEvent`] is an event with its place in the log and the time at
//! which the log took it, as apart from the time at which it occurred.
//!
//! Data stays as it came, to the byte. What no binding does: read a clock, transcode a charset,
//! or know a schema.

mod attribute;
mod builder;
mod data;
mod derive;
mod draft;
mod error;
pub mod http;
mod id;
pub mod json;
pub mod kafka;
mod media;
mod stored;
mod time;

#[cfg(test)]
mod arbitrary;

use std::borrow::Cow;

pub use attribute::{MAX_EXTENSIONS, MAX_NAME_BYTES, MAX_VALUE_BYTES, Value};
pub use builder::EventBuilder;
pub use data::{Data, Json, MAX_DEPTH};
pub use derive::{DERIVED, DERIVED_TYPE, DROPPED};
pub use error::EventError;
pub use id::EventIds;
pub use stored::{POSITION_ATTRIBUTES, StoredEvent};
pub use time::EventTime;

/// A valid CloudEvent.
///
/// Two events are equal if they are the same in every binding: extensions by their canonical
/// text in any order, data by its bytes (no data and empty data do not differ over HTTP), and JSON
/// data without a media type as `application/json`.
///
/// ```
/// use factum_event::event::{Event, EventIds, json, kafka};
/// use factum_event::Timestamp;
///
/// let ids = EventIds::new();
/// let now = Timestamp::from_millis(1_769_860_800_123);
/// let ordered = Event::builder("/services/shop", "com.example.shop.OrderPlaced")
///     .subject("order-42")
///     .json(&serde_json::json!({"total": 99.5}))
///     .stamp(&ids, now)
///     .build()?;
/// let issued = Event::builder("/services/billing", "com.example.billing.InvoiceIssued")
///     .caused_by(&ordered)
///     .stamp(&ids, now)
///     .build()?;
/// assert_eq!(issued.correlationid().as_deref(), Some(ordered.id()));
///
/// let text = json::encode(&ordered);
/// assert_eq!(json::decode(text.as_bytes())?, ordered);
///
/// let record = kafka::encode(&ordered, kafka::Mode::Binary, now);
/// assert_eq!(record.value.as_deref(), Some(&b"{\"total\":99.5}"[..]));
/// assert_eq!(kafka::decode(&record)?, ordered);
/// # Ok::<(), factum_event::event::EventError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Event {
    id: String,
    source: String,
    event_type: String,
    subject: Option<String>,
    time: Option<EventTime>,
    datacontenttype: Option<String>,
    dataschema: Option<String>,
    extensions: Vec<(String, Value)>,
    data: Data,
}

impl Event {
    /// Begins an event: `source` is a URI reference such as `/services/billing`, `event_type` a
    /// name such as `com.example.billing.InvoiceIssued`.
    pub fn builder(source: impl Into<String>, event_type: impl Into<String>) -> EventBuilder {
        EventBuilder::new(source.into(), event_type.into())
    }

    /// An event to be changed: a builder that has all of it.
    pub fn into_builder(self) -> EventBuilder {
        EventBuilder::from_event(self)
    }

    /// Together with the source, what makes the event one of its kind.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Who says so.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The attribute `type`: what happened.
    #[must_use]
    pub fn event_type(&self) -> &str {
        &self.event_type
    }

    /// What it happened to, within the source.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.subject.as_deref()
    }

    /// When it happened; when the log took it is another matter.
    #[must_use]
    pub const fn time(&self) -> Option<&EventTime> {
        self.time.as_ref()
    }

    /// The media type of the data.
    #[must_use]
    pub fn datacontenttype(&self) -> Option<&str> {
        self.datacontenttype.as_deref()
    }

    /// The URI of the schema of the data.
    #[must_use]
    pub fn dataschema(&self) -> Option<&str> {
        self.dataschema.as_deref()
    }

    /// The data.
    #[must_use]
    pub const fn data(&self) -> &Data {
        &self.data
    }

    /// An extension attribute.
    #[must_use]
    pub fn extension(&self, name: &str) -> Option<&Value> {
        self.extensions.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// All extension attributes, in the order in which they came.
    pub fn extensions(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.extensions.iter().map(|(name, value)| (name.as_str(), value))
    }

    /// The id of the business process that the event is part of.
    #[must_use]
    pub fn correlationid(&self) -> Option<Cow<'_, str>> {
        self.extension("correlationid").map(Value::text)
    }

    /// The id of the event that caused this one.
    #[must_use]
    pub fn causationid(&self) -> Option<Cow<'_, str>> {
        self.extension("causationid").map(Value::text)
    }

    /// What decides the partition.
    #[must_use]
    pub fn partitionkey(&self) -> Option<Cow<'_, str>> {
        self.extension("partitionkey").map(Value::text)
    }

    /// The trace that the event belongs to, in W3C's form.
    #[must_use]
    pub fn traceparent(&self) -> Option<Cow<'_, str>> {
        self.extension("traceparent").map(Value::text)
    }

    /// The place of the event among its source's events.
    #[must_use]
    pub fn sequence(&self) -> Option<Cow<'_, str>> {
        self.extension("sequence").map(Value::text)
    }

    /// Any attribute, of the standard or an extension, as its canonical string.
    #[must_use]
    pub fn attribute(&self, name: &str) -> Option<Cow<'_, str>> {
        let text = match name {
            "specversion" => draft::SPECVERSION,
            "id" => &self.id,
            "type" => &self.event_type,
            "source" => &self.source,
            "subject" => self.subject()?,
            "time" => self.time.as_ref()?.as_str(),
            "datacontenttype" => self.datacontenttype()?,
            "dataschema" => self.dataschema()?,
            _ => return self.extension(name).map(Value::text),
        };
        Some(Cow::Borrowed(text))
    }

    /// The attributes of the standard that the event has, but for `specversion`, in the order in
    /// which every binding writes them.
    fn core(&self) -> impl Iterator<Item = (&'static str, &str)> {
        let time = self.time.as_ref().map(EventTime::as_str);
        [
            ("id", Some(self.id())),
            ("type", Some(self.event_type())),
            ("source", Some(self.source())),
            ("subject", self.subject()),
            ("time", time),
            ("datacontenttype", self.datacontenttype()),
            ("dataschema", self.dataschema()),
        ]
        .into_iter()
        .filter_map(|(name, text)| Some((name, text?)))
    }

    /// The media type of the data, with the one that JSON without a type implies (section 3.1.2
    /// of the JSON format): what a binding must say where JSON is not implied.
    fn explicit_datacontenttype(&self) -> Option<&str> {
        let implied = self.data.as_json().map(|_| "application/json");
        self.datacontenttype().or(implied)
    }

    /// The header bindings' attributes: all but data and media type, as canonical strings.
    fn headers(&self) -> impl Iterator<Item = (&str, Cow<'_, str>)> {
        let version = std::iter::once(("specversion", draft::SPECVERSION));
        let core = self.core().filter(|(name, _)| *name != "datacontenttype");
        let core = version.chain(core).map(|(name, text)| (name, Cow::Borrowed(text)));
        core.chain(self.extensions().map(|(name, value)| (name, value.text())))
    }

    /// What a [`draft::Draft`] begins with; not an event yet.
    const fn blank() -> Self {
        Self {
            id: String::new(),
            source: String::new(),
            event_type: String::new(),
            subject: None,
            time: None,
            datacontenttype: None,
            dataschema: None,
            extensions: Vec::new(),
            data: Data::None,
        }
    }

    fn set_extension(&mut self, name: &str, value: Value) {
        match self.extensions.iter_mut().find(|(own, _)| own == name) {
            Some((_, old)) => *old = value,
            None => self.extensions.push((name.to_owned(), value)),
        }
    }

    /// The data as equality sees it: space around JSON does not survive the JSON format.
    fn content(&self) -> &[u8] {
        let bytes = self.data.as_bytes();
        let media_type = self.explicit_datacontenttype();
        if media_type.is_some() && data::declares_json(media_type) {
            data::trim(bytes)
        } else {
            bytes
        }
    }
}

impl PartialEq for Event {
    fn eq(&self, other: &Self) -> bool {
        let same = |(name, value): (&str, &Value)| {
            other.extension(name).is_some_and(|theirs| theirs.text() == value.text())
        };
        (&self.id, &self.source, &self.event_type) == (&other.id, &other.source, &other.event_type)
            && (&self.subject, &self.time) == (&other.subject, &other.time)
            && self.dataschema == other.dataschema
            && self.explicit_datacontenttype() == other.explicit_datacontenttype()
            && self.content() == other.content()
            && self.extensions.len() == other.extensions.len()
            && self.extensions().all(same)
    }
}

impl Eq for Event {}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::arbitrary::any_event;
    use super::*;

    fn event() -> EventBuilder {
        Event::builder("/s", "t").id("1")
    }

    #[test]
    fn equality_is_that_of_the_bindings() {
        let one = event().extension("a", 5).extension("b", "x").build().unwrap();
        let other = event().extension("b", "x").extension("a", "5").build().unwrap();
        assert_eq!(one, other);
        assert_ne!(one, event().extension("a", 5).build().unwrap());
        assert_ne!(one, event().extension("a", 6).extension("b", "x").build().unwrap());
        let json = event().json_text(" [1] ").build().unwrap();
        assert_eq!(json, event().bytes("[1]").build().unwrap());
        assert_ne!(json, event().text("[1]").build().unwrap());
        assert_ne!(json, event().json_text("[1.0]").build().unwrap());
    }

    #[test]
    fn only_whole_events_can_be_had() {
        assert!(EventBuilder::new(String::new(), String::new()).build().is_err());
    }

    #[test]
    fn every_attribute_has_its_canonical_string() {
        let event = event().subject("x").extension("flag", true).build().unwrap();
        for (name, text) in [
            ("specversion", Some("1.0")),
            ("id", Some("1")),
            ("type", Some("t")),
            ("source", Some("/s")),
            ("subject", Some("x")),
            ("flag", Some("true")),
            ("time", None),
            ("data", None),
        ] {
            assert_eq!(event.attribute(name).as_deref(), text, "{name}");
        }
    }

    proptest! {
        #[test]
        fn an_event_is_the_same_after_a_journey_through_every_binding(event in any_event()) {
            let now = crate::Timestamp::from_millis(0);
            let message = http::encode_binary(&event);
            let headers = message.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes()));
            let read = http::decode(headers, message.body.clone(), 1).unwrap().into_events();
            let record = kafka::encode(&read[0], kafka::Mode::Binary, now);
            let read = kafka::decode(&record).unwrap();
            let record = kafka::encode(&read, kafka::Mode::Structured, now);
            let read = kafka::decode(&record).unwrap();
            let message = http::encode_structured(&read);
            prop_assert_eq!(json::decode(&message.body).unwrap(), event);
        }
    }
}

//! Making an event.

use bytes::Bytes;
use serde::Serialize;

use super::attribute::Value;
use super::draft::Draft;
use super::{Data, Event, EventError, EventIds, EventTime, data};
use crate::Timestamp;

/// Puts an event together. What is wrong is said by [`build`](Self::build): the first mistake.
#[derive(Debug, Clone)]
#[must_use = "an event is made by build()"]
pub struct EventBuilder {
    draft: Draft,
    content: Content,
    error: Option<EventError>,
}

/// Data as it was given; its media type may come later.
#[derive(Debug, Clone)]
enum Content {
    /// In a form, with the media type that it has where none is set.
    Form(Data, Option<&'static str>),
    /// In the form that the media type says.
    Bytes(Bytes),
}

impl EventBuilder {
    pub(super) fn new(source: String, event_type: String) -> Self {
        let draft = Draft { has_specversion: true, ..Draft::new() };
        let builder = Self { draft, content: Content::Form(Data::None, None), error: None };
        builder.set("source", source).set("type", event_type)
    }

    pub(super) fn from_event(mut event: Event) -> Self {
        let content = Content::Form(std::mem::take(&mut event.data), None);
        Self { draft: Draft { event, has_specversion: true }, content, error: None }
    }

    /// The id; [`stamp`](Self::stamp) makes one.
    pub fn id(self, id: impl Into<String>) -> Self {
        self.set("id", id.into())
    }

    /// When the fact occurred.
    pub fn time(mut self, time: EventTime) -> Self {
        self.draft.event.time = Some(time);
        self
    }

    /// What the event is about, within its source.
    pub fn subject(self, subject: impl Into<String>) -> Self {
        self.set("subject", subject.into())
    }

    /// The media type of the data.
    pub fn datacontenttype(self, media_type: impl Into<String>) -> Self {
        self.set("datacontenttype", media_type.into())
    }

    /// The URI of the schema that the data has.
    pub fn dataschema(self, uri: impl Into<String>) -> Self {
        self.set("dataschema", uri.into())
    }

    /// The id of the business process that the event is part of.
    pub fn correlationid(self, id: impl Into<String>) -> Self {
        self.set("correlationid", id.into())
    }

    /// The id of the event that caused this one.
    pub fn causationid(self, id: impl Into<String>) -> Self {
        self.set("causationid", id.into())
    }

    /// What decides the partition; events of one key stay in order.
    pub fn partitionkey(self, key: impl Into<String>) -> Self {
        self.set("partitionkey", key.into())
    }

    /// The trace that the event belongs to, in W3C's form.
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        self.set("traceparent", traceparent.into())
    }

    /// The place of the event among its source's events.
    pub fn sequence(self, sequence: impl Into<String>) -> Self {
        self.set("sequence", sequence.into())
    }

    /// Any other extension: letters `a-z` and digits, at best 20 of them or fewer.
    pub fn extension(mut self, name: &str, value: impl Into<Value>) -> Self {
        let result = self.draft.put_extension(name, value.into());
        self.note(result);
        self
    }

    /// Data that becomes JSON; `application/json`, unless another type is set.
    pub fn json(mut self, value: &impl Serialize) -> Self {
        match data::to_json(value) {
            Ok(json) => self.content(Data::Json(json), "application/json"),
            Err(error) => {
                self.note(Err(error));
                self
            }
        }
    }

    /// Data that is JSON text already and is kept to the byte; `application/json`, unless another
    /// type is set.
    pub fn json_text(mut self, text: impl Into<Bytes>) -> Self {
        match data::Json::parse(text) {
            Ok(json) => self.content(Data::Json(json), "application/json"),
            Err(error) => {
                self.note(Err(error));
                self
            }
        }
    }

    /// Data that is text; `text/plain; charset=utf-8`, unless another type is set.
    pub fn text(self, text: impl Into<String>) -> Self {
        self.content(Data::Text(text.into()), "text/plain; charset=utf-8")
    }

    /// Data that is bytes; `application/octet-stream`, unless another type is set.
    pub fn binary(self, bytes: impl Into<Bytes>) -> Self {
        self.content(Data::Binary(bytes.into()), "application/octet-stream")
    }

    /// Data of which the media type says what it is, as in binary mode; JSON without one, if it
    /// can be.
    pub fn bytes(mut self, bytes: impl Into<Bytes>) -> Self {
        self.content = Content::Bytes(bytes.into());
        self
    }

    /// Makes the event a consequence of `cause`: `causationid` is its id, `correlationid` is its
    /// own or, as it then begins the process, its id. What is set already stays.
    pub fn caused_by(self, cause: &Event) -> Self {
        let correlation = cause.correlationid().unwrap_or(cause.id().into()).into_owned();
        self.set_new("correlationid", correlation).set_new("causationid", cause.id().to_owned())
    }

    /// Gives the event an id (UUID version 7) and the time `now`, where it has none.
    pub fn stamp(mut self, ids: &EventIds, now: Timestamp) -> Self {
        if self.draft.event.time.is_none() {
            self.draft.event.time = EventTime::from_timestamp(now);
        }
        if self.draft.event.id.is_empty() {
            self.draft.event.id = ids.next(now).to_string();
        }
        self
    }

    /// The event.
    ///
    /// # Errors
    /// The first [`EventError`] of what was given, or the attribute that is missing.
    pub fn build(self) -> Result<Event, EventError> {
        if let Some(error) = self.error {
            return Err(error);
        }
        let mut draft = self.draft;
        let media_type = &mut draft.event.datacontenttype;
        let data = match self.content {
            Content::Form(data, default) => {
                *media_type = media_type.take().or_else(|| default.map(str::to_owned));
                data
            }
            Content::Bytes(bytes) => Data::classify(bytes, media_type.as_deref()),
        };
        draft.finish(data)
    }

    fn content(mut self, data: Data, default_type: &'static str) -> Self {
        self.content = Content::Form(data, Some(default_type));
        self
    }

    fn set(mut self, name: &'static str, text: String) -> Self {
        let result = self.draft.put(name, Value::String(text));
        self.note(result);
        self
    }

    fn set_new(self, name: &'static str, text: String) -> Self {
        if self.draft.event.extension(name).is_some() { self } else { self.set(name, text) }
    }

    fn note(&mut self, result: Result<(), EventError>) {
        if let Err(error) = result {
            self.error.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::attribute::MAX_EXTENSIONS;
    use super::*;

    fn event() -> EventBuilder {
        Event::builder("/services/billing", "com.example.billing.InvoiceIssued").id("1")
    }

    #[test]
    fn a_missing_attribute_is_named() {
        let error = Event::builder("/s", "t").build().unwrap_err();
        assert_eq!(error, EventError::Missing { attribute: "id" });
        assert_eq!(Event::builder("", "t").build().unwrap_err().attribute(), Some("source"));
        assert_eq!(Event::builder("/s", "").build().unwrap_err().attribute(), Some("type"));
    }

    #[test]
    fn the_attribute_at_fault_is_named() {
        let faults = [
            ("id", event().id("")),
            ("source", Event::builder("a b", "t").id("1")),
            ("subject", event().subject("")),
            ("subject", event().subject("a\nb")),
            ("datacontenttype", event().datacontenttype("json")),
            ("dataschema", event().dataschema("/relative")),
            ("correlationid", event().correlationid("")),
            ("partitionkey", event().partitionkey("")),
            ("traceparent", event().traceparent("00-0-0-0")),
            ("data", event().extension("data", "x")),
            ("id", event().extension("id", "x")),
            ("Upper", event().extension("Upper", 1)),
        ];
        for (attribute, builder) in faults {
            let error = builder.build().unwrap_err();
            assert_eq!(error.attribute(), Some(attribute), "{error}");
        }
    }

    #[test]
    fn extensions_have_a_limit() {
        let name = |index: usize| format!("x{index}");
        let many = (0..MAX_EXTENSIONS).fold(event(), |e, i| e.extension(&name(i), 1));
        assert!(many.clone().build().is_ok());
        assert!(many.clone().extension("x0", 2).build().is_ok());
        let error = many.extension("more", 1).build().unwrap_err();
        assert_eq!(error.code(), "too-large");
    }

    #[test]
    fn a_stamp_gives_id_and_time_but_changes_neither() {
        let now = Timestamp::from_millis(1_769_860_800_123);
        let ids = EventIds::new();
        let stamped = Event::builder("/s", "t").stamp(&ids, now).build().unwrap();
        assert_eq!(stamped.time().unwrap().as_str(), "2026-01-31T12:00:00.123Z");
        let id: uuid::Uuid = stamped.id().parse().unwrap();
        assert_eq!(id.get_version_num(), 7);
        let again = stamped.clone().into_builder().stamp(&ids, Timestamp::from_millis(0));
        assert_eq!(again.build().unwrap(), stamped);
    }

    #[test]
    fn a_consequence_carries_correlation_and_causation() {
        let root = event().build().unwrap();
        let first = event().id("2").caused_by(&root).build().unwrap();
        assert_eq!(first.correlationid().as_deref(), Some("1"));
        assert_eq!(first.causationid().as_deref(), Some("1"));
        let second = event().id("3").caused_by(&first).build().unwrap();
        assert_eq!(second.correlationid().as_deref(), Some("1"));
        assert_eq!(second.causationid().as_deref(), Some("2"));
        let own = event().correlationid("mine").caused_by(&first).build().unwrap();
        assert_eq!(own.correlationid().as_deref(), Some("mine"));
    }

    #[test]
    fn data_and_media_type_agree() {
        let built = |builder: EventBuilder| builder.build().unwrap();
        let json = built(event().json(&serde_json::json!({"a": 1})));
        assert_eq!(json.datacontenttype(), Some("application/json"));
        assert_eq!(json.data().bytes(), "{\"a\":1}");
        let text = built(event().text("hi"));
        assert_eq!(text.datacontenttype(), Some("text/plain; charset=utf-8"));
        let binary = built(event().datacontenttype("image/png").binary(&b"\xff"[..]));
        assert_eq!(binary.datacontenttype(), Some("image/png"));
        let late = built(event().bytes(&b"[1]"[..]).datacontenttype("application/json"));
        assert!(late.data().as_json().is_some());
        assert!(event().json_text("{").build().is_err());
        assert!(event().datacontenttype("application/json").text("{").build().is_err());
    }
}

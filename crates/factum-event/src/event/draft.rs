//! An event while it is put together: by a builder, or by a binding that reads it.
//!
//! Each attribute is checked as it comes, so that an error names it; what must be there is
//! checked at the end.

use super::attribute::{self, CORE, MAX_EXTENSIONS, Value};
use super::stored::POSITION_ATTRIBUTES;
use super::{Data, Event, EventError, EventTime};

/// The version of the standard, as `specversion` says it.
pub(super) const SPECVERSION: &str = "1.0";

/// An event that may lack what it must have: an empty text is a missing one.
#[derive(Debug, Clone)]
pub(super) struct Draft {
    pub(super) event: Event,
    pub(super) has_specversion: bool,
}

impl Draft {
    /// A draft of nothing.
    pub(super) const fn new() -> Self {
        Self { event: Event::blank(), has_specversion: false }
    }

    /// Takes an attribute; one that is there already is refused.
    pub(super) fn add(&mut self, name: &str, value: Value) -> Result<(), EventError> {
        let seen = match name {
            "specversion" => self.has_specversion,
            _ => self.event.attribute(name).is_some_and(|text| !text.is_empty()),
        };
        // An extension may be an empty text, and is there all the same.
        if seen || self.event.extension(name).is_some() {
            return Err(EventError::Duplicate { attribute: name.to_owned() });
        }
        self.put(name, value)
    }

    /// Takes an attribute in place of the one that may be there.
    pub(super) fn put(&mut self, name: &str, value: Value) -> Result<(), EventError> {
        if !CORE.contains(&name) {
            return self.put_extension(name, value);
        }
        let Value::String(text) = value else {
            return Err(EventError::invalid(name, "a string", &value.text()));
        };
        attribute::check_text(name, &text)?;
        attribute::check_meaning(name, &text)?;
        let event = &mut self.event;
        match name {
            "specversion" if text != SPECVERSION => {
                return Err(EventError::SpecVersion { came: super::error::excerpt(&text) });
            }
            "specversion" => self.has_specversion = true,
            "id" => event.id = text,
            "type" => event.event_type = text,
            "source" => event.source = text,
            "subject" => event.subject = Some(text),
            "time" => event.time = Some(EventTime::parse(&text)?),
            "datacontenttype" => event.datacontenttype = Some(text),
            _ => event.dataschema = Some(text),
        }
        Ok(())
    }

    /// Takes an extension in place of the one that may be there.
    pub(super) fn put_extension(&mut self, name: &str, value: Value) -> Result<(), EventError> {
        attribute::check_name(name)?;
        let text = value.text();
        attribute::check_text(name, &text)?;
        attribute::check_meaning(name, &text)?;
        let names = self.event.extensions().map(|(name, _)| name);
        let count = names.filter(|name| !POSITION_ATTRIBUTES.contains(name)).count();
        let is_new = self.event.extension(name).is_none();
        if is_new && count >= MAX_EXTENSIONS && !POSITION_ATTRIBUTES.contains(&name) {
            return Err(EventError::TooLarge {
                what: "extension attributes",
                came: count + 1,
                limit: MAX_EXTENSIONS,
            });
        }
        self.event.set_extension(name, value);
        Ok(())
    }

    /// The event, if nothing is missing.
    pub(super) fn finish(mut self, data: Data) -> Result<Event, EventError> {
        let event = &self.event;
        let required = [
            ("specversion", self.has_specversion),
            ("id", !event.id.is_empty()),
            ("source", !event.source.is_empty()),
            ("type", !event.event_type.is_empty()),
        ];
        if let Some((attribute, _)) = required.into_iter().find(|(_, there)| !there) {
            return Err(EventError::Missing { attribute });
        }
        self.event.data = data.settle(self.event.datacontenttype.as_deref())?;
        Ok(self.event)
    }
}

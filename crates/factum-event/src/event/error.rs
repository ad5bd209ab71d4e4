//! Why something is not an event: each error names the attribute at fault, says what was
//! expected, what came, and what to do.

use thiserror::Error;

/// Longest excerpt of what came that an error repeats, in characters.
const EXCERPT: usize = 64;

/// Why something is not a valid CloudEvent.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum EventError {
    /// A required attribute is not there.
    #[error("attribute {attribute} is missing; every event has specversion, id, source and type")]
    Missing {
        /// Its name.
        attribute: &'static str,
    },
    /// A value that the attribute cannot have.
    #[error("attribute {attribute} is {came:?}; expected {expected}")]
    Invalid {
        /// Its name.
        attribute: String,
        /// What it may be.
        expected: &'static str,
        /// The beginning of what came.
        came: String,
    },
    /// A name that no extension attribute can have.
    #[error("{name:?} cannot name an extension attribute; expected {expected}")]
    InvalidName {
        /// The beginning of what came.
        name: String,
        /// What it may be.
        expected: &'static str,
    },
    /// An attribute that is there twice.
    #[error("attribute {attribute} is there more than once; send it once")]
    Duplicate {
        /// Its name.
        attribute: String,
    },
    /// Another version of the standard.
    #[error("specversion is {came:?}; only \"1.0\" is understood")]
    SpecVersion {
        /// The beginning of what came.
        came: String,
    },
    /// Both forms of data at once.
    #[error("data and data_base64 are both there; send one of them")]
    DataTwice,
    /// Data that contradicts its media type, or has a form that it cannot have.
    #[error("data is not valid: expected {expected}")]
    Data {
        /// What it may be.
        expected: &'static str,
    },
    /// Text that is not JSON, or not JSON of the right shape.
    #[error("not an event in JSON, at line {line} column {column}: {reason}")]
    NotJson {
        /// The line, counted from 1; 0 where there is no place.
        line: usize,
        /// The column, counted from 1; 0 where there is no place.
        column: usize,
        /// What is wrong there.
        reason: String,
    },
    /// An event format that is not spoken here.
    #[error(
        "media type {came:?} is not an event format that is understood; send \
         application/cloudevents+json, application/cloudevents-batch+json, or binary mode"
    )]
    Format {
        /// The beginning of what came.
        came: String,
    },
    /// More than the limit.
    #[error("{what}: {came} is more than the limit of {limit}")]
    TooLarge {
        /// What is limited.
        what: &'static str,
        /// What came, as far as it was counted.
        came: usize,
        /// The limit.
        limit: usize,
    },
    /// An event of a batch is at fault.
    #[error("event {index} of the batch, counted from 0: {error}")]
    InBatch {
        /// Its place in the batch, counted from 0.
        index: usize,
        /// What is wrong with it.
        error: Box<Self>,
    },
}

impl EventError {
    /// The attribute at fault, if it is one.
    #[must_use]
    pub fn attribute(&self) -> Option<&str> {
        match self {
            Self::Missing { attribute } => Some(attribute),
            Self::Invalid { attribute, .. } | Self::Duplicate { attribute } => Some(attribute),
            Self::InvalidName { name, .. } => Some(name),
            Self::SpecVersion { .. } => Some("specversion"),
            Self::DataTwice | Self::Data { .. } => Some("data"),
            Self::InBatch { error, .. } => error.attribute(),
            Self::NotJson { .. } | Self::Format { .. } | Self::TooLarge { .. } => None,
        }
    }

    /// A word for programs that stays the same when the message is improved.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "missing-attribute",
            Self::Invalid { .. } => "invalid-attribute",
            Self::InvalidName { .. } => "invalid-attribute-name",
            Self::Duplicate { .. } => "duplicate-attribute",
            Self::SpecVersion { .. } => "unknown-specversion",
            Self::DataTwice | Self::Data { .. } => "invalid-data",
            Self::NotJson { .. } => "not-json",
            Self::Format { .. } => "unknown-event-format",
            Self::TooLarge { .. } => "too-large",
            Self::InBatch { error, .. } => error.code(),
        }
    }

    /// Which event of a batch is at fault, counted from 0.
    #[must_use]
    pub const fn index(&self) -> Option<usize> {
        if let Self::InBatch { index, .. } = self { Some(*index) } else { None }
    }

    pub(super) fn invalid(attribute: &str, expected: &'static str, came: &str) -> Self {
        Self::Invalid { attribute: excerpt(attribute), expected, came: excerpt(came) }
    }

    pub(super) fn not_json(error: &serde_json::Error) -> Self {
        let text = error.to_string();
        let reason = text.split(" at line ").next().unwrap_or(&text);
        Self::NotJson { line: error.line(), column: error.column(), reason: excerpt(reason) }
    }
}

/// The beginning of what came: enough to recognise it, too little to flood a log.
pub(super) fn excerpt(text: &str) -> String {
    text.chars().take(EXCERPT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_repeats_only_the_beginning_of_what_came() {
        let error = EventError::invalid("id", "a text", &"ä".repeat(1000));
        assert!(error.to_string().chars().count() < 120);
        assert_eq!(error.attribute(), Some("id"));
    }

    #[test]
    fn an_error_in_a_batch_speaks_for_its_event() {
        let error = Box::new(EventError::Missing { attribute: "id" });
        let error = EventError::InBatch { index: 3, error };
        assert_eq!((error.index(), error.attribute()), (Some(3), Some("id")));
        assert_eq!(error.code(), "missing-attribute");
        assert!(error.to_string().starts_with("event 3 of the batch"));
    }
}

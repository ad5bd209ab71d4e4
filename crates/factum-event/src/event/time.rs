//! The time at which the fact occurred, as its producer wrote it (RFC 3339).

use std::fmt;
use std::str::FromStr;

use ::time::OffsetDateTime;
use ::time::format_description::well_known::Rfc3339;

use super::EventError;
use crate::Timestamp;

/// A point in time that keeps its text, so that zone and digits survive every round trip.
///
/// Equality is that of the text; compare [`unix_nanos`](Self::unix_nanos) for the instant.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct EventTime {
    text: String,
    nanos: i128,
}

impl EventTime {
    /// Reads RFC 3339; a time without a zone is refused.
    ///
    /// # Errors
    /// [`EventError::Invalid`], which names the attribute `time`.
    pub fn parse(text: &str) -> Result<Self, EventError> {
        let expected = "RFC 3339 with its zone, such as 2026-01-31T12:00:00.123456Z";
        let at = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| EventError::invalid("time", expected, text))?;
        Ok(Self { text: text.to_owned(), nanos: at.unix_timestamp_nanos() })
    }

    /// The time of a timestamp, in UTC with milliseconds; none where the year has more than four
    /// digits.
    #[must_use]
    pub fn from_timestamp(at: Timestamp) -> Option<Self> {
        let text = at.to_rfc3339()?;
        Some(Self { text, nanos: i128::from(at.as_millis()) * 1_000_000 })
    }

    /// The text as it came.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The instant in milliseconds; smaller units are cut off.
    #[must_use]
    pub fn timestamp(&self) -> Timestamp {
        let millis = self.nanos.div_euclid(1_000_000);
        Timestamp::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
    }

    /// Nanoseconds since 1970-01-01T00:00:00Z; smaller units are cut off.
    #[must_use]
    pub const fn unix_nanos(&self) -> i128 {
        self.nanos
    }

    /// How many digits of a second were written: 3 for milliseconds, 6 for microseconds.
    #[must_use]
    pub fn fraction_digits(&self) -> usize {
        let fraction = self.text.split_once('.').map_or("", |(_, fraction)| fraction);
        fraction.bytes().take_while(u8::is_ascii_digit).count()
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.text)
    }
}

impl FromStr for EventTime {
    type Err = EventError;
    fn from_str(text: &str) -> Result<Self, EventError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_instant_and_precision_are_kept() {
        for (text, nanos, digits) in [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01T00:00:00.000001Z", 1_000, 6),
            ("1970-01-01T01:00:00.5+01:00", 500_000_000, 1),
            ("1969-12-31T23:59:59.999999999Z", -1, 9),
            ("1970-01-01T00:00:00.1234567891Z", 123_456_789, 10),
        ] {
            let time = EventTime::parse(text).unwrap();
            assert_eq!(time.as_str(), text);
            assert_eq!((time.unix_nanos(), time.fraction_digits()), (nanos, digits), "{text}");
        }
    }

    #[test]
    fn a_time_without_zone_is_refused() {
        for bad in [
            "",
            "2026-01-31",
            "2026-01-31T12:00:00",
            "2026-01-31T12:00Z",
            "2026-02-30T12:00:00Z",
            "2026-01-31T25:00:00Z",
            "now",
        ] {
            let error = EventTime::parse(bad).unwrap_err();
            assert_eq!(error.attribute(), Some("time"), "{bad}");
        }
    }

    #[test]
    fn timestamps_become_times_and_times_timestamps() {
        let at = Timestamp::from_millis(1_769_860_800_123);
        let time = EventTime::from_timestamp(at).unwrap();
        assert_eq!(time.as_str(), "2026-01-31T12:00:00.123Z");
        assert_eq!(time.timestamp(), at);
        assert_eq!(EventTime::parse(time.as_str()), Ok(time));
        assert_eq!(EventTime::from_timestamp(Timestamp::from_millis(i64::MAX)), None);
    }
}

//! The query of a read: which events, from where, how many.

use std::str::FromStr;

use axum::extract::Query;
use axum::http::Uri;
use factum_event::event::Event;
use factum_event::{Partition, Place};

use super::cursor::Cursor;
use super::problem::Problem;

const PLACE: &str = "start, end, an offset (0 or more) or a time with its zone \
                     such as 2026-01-31T12:00:00Z";

/// Attributes that are matched by parameters of their own name.
const FILTERS: [&str; 4] = ["subject", "source", "correlationid", "id"];

/// All parameters of a read, for the message about one that is none of them.
const PARAMETERS: &str =
    "from, until, partition, type, subject, source, correlationid, id, limit or cursor";

/// What a client wants to read.
#[derive(Debug, Default)]
pub(super) struct ReadQuery {
    /// Where to begin.
    pub(super) from: Option<Place>,
    /// Where to go on, from an earlier answer.
    pub(super) cursor: Option<Cursor>,
    /// Where to stop, exclusive.
    pub(super) until: Option<Place>,
    /// The only partition to read.
    pub(super) partition: Option<Partition>,
    /// How many events to answer.
    pub(super) limit: Option<u64>,
    /// Which events to answer.
    pub(super) filter: Filter,
}

/// Which events to answer: all that have every value that is named here.
#[derive(Debug, Default, Clone)]
pub(super) struct Filter {
    types: Vec<String>,
    exact: Vec<(&'static str, String)>,
}

impl Filter {
    /// Whether an event is to be answered.
    pub(super) fn takes(&self, event: &Event) -> bool {
        (self.types.is_empty() || self.types.iter().any(|wanted| wanted == event.event_type()))
            && self.exact.iter().all(|(name, wanted)| {
                event.attribute(name).is_some_and(|have| have.as_ref() == wanted)
            })
    }
}

/// The names and values of a query in their order.
pub(super) fn pairs(uri: &Uri) -> Result<Vec<(String, String)>, Problem> {
    let query = uri.query().unwrap_or_default();
    Query::<Vec<(String, String)>>::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|_| Problem::parameter("query", query, "names with values, percent-encoded"))
}

impl ReadQuery {
    /// Reads the parameters; one that is unknown, empty or repeated is refused, so that a filter
    /// with a slip in its name does not silently let everything through.
    pub(super) fn parse(pairs: &[(String, String)]) -> Result<Self, Problem> {
        let mut query = Self::default();
        for (at, (name, value)) in pairs.iter().enumerate() {
            if name != "type" && pairs[..at].iter().any(|(earlier, _)| earlier == name) {
                return Err(Problem::parameter(name, value, "it only once"));
            }
            query.take(name, value)?;
        }
        if query.cursor.is_some() && query.from.is_some() {
            return Err(Problem::parameter("from", "beside a cursor", "one of the two"));
        }
        Ok(query)
    }

    fn take(&mut self, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            _ if value.is_empty() => return Err(Problem::parameter(name, value, "a value")),
            "from" => self.from = Some(place(name, value)?),
            "until" => self.until = Some(place(name, value)?),
            "cursor" => {
                let cursor = value.parse().map_err(|error| Problem::parameter(name, value, error));
                self.cursor = Some(cursor?);
            }
            "partition" => self.partition = Some(partition(value)?),
            "limit" => self.limit = Some(number(name, value, "a number from 1 on")?),
            "type" => self.filter.types.push(value.to_owned()),
            _ => match FILTERS.into_iter().find(|filter| *filter == name) {
                Some(filter) => self.filter.exact.push((filter, value.to_owned())),
                None => return Err(Problem::parameter(name, value, PARAMETERS)),
            },
        }
        if self.limit == Some(0) {
            return Err(Problem::parameter(name, value, "a number from 1 on"));
        }
        Ok(())
    }
}

/// Reads a partition's number.
pub(super) fn partition(value: &str) -> Result<Partition, Problem> {
    const EXPECTED: &str = "the number of a partition, from 0 on";
    Partition::new(number("partition", value, EXPECTED)?)
        .ok_or_else(|| Problem::parameter("partition", value, EXPECTED))
}

/// Reads a place. No place has a space in it: it is the `+` of a zone that was not encoded.
fn place(name: &str, value: &str) -> Result<Place, Problem> {
    value.replace(' ', "+").parse().map_err(|_| Problem::parameter(name, value, PLACE))
}

fn number<T: FromStr>(name: &str, value: &str, expected: &str) -> Result<T, Problem> {
    value.parse().map_err(|_| Problem::parameter(name, value, expected))
}

#[cfg(test)]
mod tests {
    use factum_event::{Offset, Timestamp};

    use super::*;

    fn parse(query: &str) -> Result<ReadQuery, Problem> {
        let uri: Uri = format!("/events?{query}").parse().expect("a URI");
        ReadQuery::parse(&pairs(&uri)?)
    }

    #[test]
    fn parameters_are_read() {
        let query =
            parse("from=7&until=1970-01-01T01:00:01+01:00&partition=2&limit=5&type=a&type=b")
                .expect("a query");
        assert_eq!(query.from, Some(Place::At(Offset::ZERO.plus(7))));
        assert_eq!(query.until, Some(Place::Time(Timestamp::from_millis(1000))));
        assert_eq!(query.partition, Partition::new(2));
        assert_eq!(query.limit, Some(5));
        assert_eq!(query.filter.types, ["a", "b"]);
        let query = parse("correlationid=A%201&subject=x").expect("a query");
        assert_eq!(query.filter.exact[0], ("correlationid", "A 1".to_owned()));
        assert_eq!(parse("").expect("a query").from, None);
    }

    #[test]
    fn a_parameter_that_is_wrong_is_named() {
        let table = [
            ("from=yesterday", "from"),
            ("from=-1", "from"),
            ("from=2026-01-31T12:00:00", "from"),
            ("until=2026-01-31", "until"),
            ("partition=-1", "partition"),
            ("partition=one", "partition"),
            ("limit=0", "limit"),
            ("limit=99999999999999999999", "limit"),
            ("cursor=nonsense", "cursor"),
            ("subjct=x", "subjct"),
            ("subject=x&subject=y", "subject"),
            ("type=", "type"),
            ("from=start&cursor=0:1", "from"),
        ];
        for (query, parameter) in table {
            let problem = parse(query).err().unwrap_or_else(|| panic!("{query} was taken"));
            let start = format!("parameter {parameter} is ");
            assert!(problem.detail().starts_with(&start), "{query}: {}", problem.detail());
        }
    }

    #[test]
    fn a_filter_takes_events_that_have_every_value() {
        let event = Event::builder("shop", "placed").id("1").subject("o-1").correlationid("c");
        let event = event.build().expect("an event");
        let takes = |query| parse(query).expect("a query").filter.takes(&event);
        assert!(takes(""));
        assert!(takes("type=other&type=placed&source=shop&subject=o-1&correlationid=c&id=1"));
        assert!(!takes("type=other"));
        assert!(!takes("type=placed&subject=o-2"));
        assert!(!takes("correlationid=d"));
    }
}

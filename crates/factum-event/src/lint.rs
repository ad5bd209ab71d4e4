//! Advice on events that are valid, but will cost somebody time: [`lint`] judges one event by
//! rules that need nothing but the event.
//!
//! A finding is advice; whether it refuses anything is for the caller to decide. Rules that need
//! a topic's history or several events are not here.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::Serialize;
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

use crate::event::{Event, Json};

/// Longest name of an extension that the standard advises.
const ADVISED_NAME_BYTES: usize = 20;

/// Most members of an event's data that are looked at.
const MAX_MEMBERS: usize = 1000;

/// What to look for beyond what is always advised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    /// The convention that types follow; none, if any will do.
    pub type_naming: Option<TypeNaming>,
    /// Whether every event must carry a correlation id.
    pub require_correlation: bool,
}

/// A convention for the attribute `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TypeNaming {
    /// `com.example.billing.InvoiceIssued`: a domain turned round, then what happened.
    ReverseDomain,
    /// `billing.invoice.issued`: lower case with dots.
    Dotted,
    /// `InvoiceIssued`.
    PascalCase,
}

/// A convention that is none of the known ones.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no naming convention; expected reverse-domain, dotted or pascal")]
pub struct UnknownNaming(String);

impl TypeNaming {
    const ALL: [Self; 3] = [Self::ReverseDomain, Self::Dotted, Self::PascalCase];

    /// The convention's name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReverseDomain => "reverse-domain",
            Self::Dotted => "dotted",
            Self::PascalCase => "pascal",
        }
    }

    /// Whether a type follows it.
    #[must_use]
    pub fn allows(self, event_type: &str) -> bool {
        let labels: Vec<&str> = event_type.split('.').collect();
        match self {
            Self::ReverseDomain => {
                labels.len() >= 3 && is_top_level(labels[0]) && labels.iter().all(|l| is_label(l))
            }
            Self::Dotted => {
                let lower = |label: &&str| is_label(label) && !has_upper(label);
                labels.len() >= 2 && labels.iter().all(lower)
            }
            Self::PascalCase => {
                event_type.starts_with(|c: char| c.is_ascii_uppercase())
                    && event_type.chars().all(|c| c.is_ascii_alphanumeric())
                    && event_type.chars().any(|c| c.is_ascii_lowercase())
            }
        }
    }

    const fn advice(self) -> &'static str {
        match self {
            Self::ReverseDomain => "name it as in com.example.billing.InvoiceIssued",
            Self::Dotted => "name it as in billing.invoice.issued",
            Self::PascalCase => "name it as in InvoiceIssued",
        }
    }
}

impl fmt::Display for TypeNaming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TypeNaming {
    type Err = UnknownNaming;
    fn from_str(text: &str) -> Result<Self, UnknownNaming> {
        let found = Self::ALL.into_iter().find(|naming| naming.as_str() == text);
        found.ok_or_else(|| UnknownNaming(text.chars().take(64).collect()))
    }
}

/// What a rule has to say about an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule's name, for settings and statistics.
    pub rule: &'static str,
    /// The attribute; `data.x` for a member of the data.
    pub attribute: String,
    /// What is the matter.
    pub message: String,
    /// What to do.
    pub advice: &'static str,
}

impl Finding {
    fn new(rule: &'static str, attribute: &str, message: String, advice: &'static str) -> Self {
        Self { rule, attribute: attribute.to_owned(), message, advice }
    }
}

/// What there is to say about an event; nothing, if all is well.
#[must_use]
pub fn lint(event: &Event, rules: &Rules) -> Vec<Finding> {
    let mut findings = Vec::new();
    findings.extend(id(event.id()));
    findings.extend(time(event));
    findings.extend(source(event.source()));
    findings.extend(rules.type_naming.and_then(|naming| type_name(event, naming)));
    findings.extend(rules.require_correlation.then(|| correlation(event)).flatten());
    findings.extend(event.extensions().filter_map(|(name, _)| extension_name(name)));
    findings.extend(event.data().as_json().map(data).unwrap_or_default());
    findings
}

fn id(id: &str) -> Option<Finding> {
    let digits = id.strip_prefix('-').unwrap_or(id);
    digits.bytes().all(|b| b.is_ascii_digit()).then(|| {
        let message = format!("{id} is a number: it is not unique beyond its source's counter");
        Finding::new("integer-id", "id", message, "use a UUID, best of version 7")
    })
}

fn time(event: &Event) -> Option<Finding> {
    let Some(time) = event.time() else {
        let message = "the event does not say when it occurred".to_owned();
        return Some(Finding::new("time-missing", "time", message, "set time where it occurs"));
    };
    (time.fraction_digits() < 3).then(|| {
        let message = format!("{time} has no milliseconds");
        let advice = "write at least milliseconds, better microseconds";
        Finding::new("time-precision", "time", message, advice)
    })
}

fn source(source: &str) -> Option<Finding> {
    let host = host(source);
    let (rule, what) = if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        ("source-ip", "an IP address")
    } else if host == "localhost" || host.ends_with(".local") || host.ends_with(".internal") {
        ("source-host", "the name of a host")
    } else if is_pod(host.split('.').next().unwrap_or(host)) || source.split('/').any(is_pod) {
        ("source-pod", "the name of a pod")
    } else {
        return None;
    };
    let message = format!("{source} holds {what}, which changes with each deployment");
    let advice = "name the service, as in /services/billing";
    Some(Finding::new(rule, "source", message, advice))
}

/// The host of a URI with an authority, or the first segment of a path, without its port.
fn host(source: &str) -> &str {
    let rest = source.split_once("//").map_or(source, |(_, rest)| rest);
    let host = rest.trim_start_matches('/').split(['/', '?', '#']).next().unwrap_or(rest);
    let host = host.rsplit('@').next().unwrap_or(host);
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            name
        }
        _ => host,
    }
}

/// Kubernetes names a deployment's pods `{deployment}-{8 to 10 of its letters}-{5 of them}`; the
/// letters are those without vowels and without digits that look like letters.
fn is_pod(name: &str) -> bool {
    let coded = |part: &str| part.bytes().all(|b| b"bcdfghjklmnpqrstvwxz2456789".contains(&b));
    let mut parts = name.rsplitn(3, '-');
    let (Some(pod), Some(set), Some(_)) = (parts.next(), parts.next(), parts.next()) else {
        return false;
    };
    pod.len() == 5 && coded(pod) && (8..=10).contains(&set.len()) && coded(set)
}

fn type_name(event: &Event, naming: TypeNaming) -> Option<Finding> {
    let came = event.event_type();
    (!naming.allows(came)).then(|| {
        let message = format!("{came} does not follow the convention {naming}");
        Finding::new("type-naming", "type", message, naming.advice())
    })
}

fn is_label(label: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    label.starts_with(|c: char| c.is_ascii_alphabetic()) && label.bytes().all(legal)
}

fn has_upper(label: &str) -> bool {
    label.bytes().any(|b| b.is_ascii_uppercase())
}

/// A country's code, or one of the generic domains that organisations have.
fn is_top_level(label: &str) -> bool {
    const GENERIC: [&str; 20] = [
        "com", "org", "net", "edu", "gov", "mil", "int", "info", "biz", "name", "dev", "app",
        "cloud", "tech", "shop", "online", "bank", "health", "example", "test",
    ];
    let country = label.len() == 2 && label.bytes().all(|b| b.is_ascii_lowercase());
    country || GENERIC.contains(&label)
}

fn correlation(event: &Event) -> Option<Finding> {
    event.correlationid().is_none().then(|| {
        let message = "the event cannot be found as part of its business process".to_owned();
        let advice = "set correlationid: that of the event that caused this one, or its id";
        Finding::new("correlation-missing", "correlationid", message, advice)
    })
}

fn extension_name(name: &str) -> Option<Finding> {
    (name.len() > ADVISED_NAME_BYTES).then(|| {
        let message = format!("the name has {} characters", name.len());
        let advice = "keep names of extensions within 20 characters";
        Finding::new("extension-name", name, message, advice)
    })
}

/// Metadata among the top members of the data.
fn data(json: &Json) -> Vec<Finding> {
    let Ok(Names(names)) = json.decode::<Names>() else {
        return Vec::new();
    };
    names.iter().filter_map(|name| metadata(name)).collect()
}

fn metadata(name: &str) -> Option<Finding> {
    let plain: String = name.chars().filter(|c| !matches!(c, '_' | '-')).collect();
    let extension = match plain.to_ascii_lowercase().as_str() {
        "correlationid" => "correlationid",
        "causationid" => "causationid",
        "traceid" | "spanid" | "traceparent" => "traceparent",
        "tracestate" => "tracestate",
        _ => return None,
    };
    let message = format!("{name} is metadata; it belongs into the extension {extension}");
    let advice = "keep data to the business, and metadata to attributes";
    Some(Finding::new("metadata-in-data", &format!("data.{name}"), message, advice))
}

/// The names of an object's members.
struct Names(Vec<String>);

impl<'de> Deserialize<'de> for Names {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(NamesVisitor)
    }
}

struct NamesVisitor;

impl<'de> Visitor<'de> for NamesVisitor {
    type Value = Names;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Names, A::Error> {
        let mut names = Vec::new();
        while let Some((name, _)) = map.next_entry::<String, IgnoredAny>()? {
            if names.len() < MAX_MEMBERS {
                names.push(name);
            }
        }
        Ok(Names(names))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{EventBuilder, EventTime};

    fn good() -> EventBuilder {
        Event::builder("/services/billing", "com.example.billing.InvoiceIssued")
            .id("0190a5c8-7d3e-7c4b-9a51-3f2e1d0c9b8a")
            .time(EventTime::parse("2026-01-31T12:00:00.123456Z").unwrap())
    }

    fn found(event: EventBuilder, rules: Rules) -> Vec<(&'static str, String)> {
        let findings = lint(&event.build().unwrap(), &rules);
        findings.into_iter().map(|finding| (finding.rule, finding.attribute)).collect()
    }

    #[test]
    fn a_good_event_has_no_findings() {
        let rules =
            Rules { type_naming: Some(TypeNaming::ReverseDomain), require_correlation: true };
        let data = serde_json::json!({"invoice": 7, "trace": {"traceId": 1}});
        assert_eq!(found(good().correlationid("c").json(&data), rules), []);
    }

    #[test]
    fn each_rule_names_its_attribute() {
        let none = Rules::default();
        let correlated = Rules { require_correlation: true, ..none };
        let at = |text| good().time(EventTime::parse(text).unwrap());
        let json = |text: &'static str| good().json_text(text);
        let untimed = Event::builder("/s", "t").id("a");
        let long = "x".repeat(21);
        let cases = [
            (good().id("42"), none, ("integer-id", "id")),
            (good().id("-7"), none, ("integer-id", "id")),
            (untimed, none, ("time-missing", "time")),
            (at("2026-01-31T12:00:00Z"), none, ("time-precision", "time")),
            (at("2026-01-31T12:00:00.12+01:00"), none, ("time-precision", "time")),
            (good(), correlated, ("correlation-missing", "correlationid")),
            (good().extension(&long, 1), none, ("extension-name", &*long)),
            (json("{\"trace_id\":1}"), none, ("metadata-in-data", "data.trace_id")),
            (json("{\"correlationId\":1}"), none, ("metadata-in-data", "data.correlationId")),
        ];
        for (event, rules, (rule, attribute)) in cases {
            assert_eq!(found(event, rules), [(rule, attribute.to_owned())]);
        }
    }

    #[test]
    fn sources_are_services_not_machines() {
        for (text, rule) in [
            ("/services/billing/eu-west-1", None),
            ("billing-service", None),
            ("https://example.com/billing", None),
            ("urn:uuid:6e8bc430-9c3a-11d9-9669-0800200c9a66", None),
            ("1-555-123-4567", None),
            ("/services/order-management-queue", None),
            ("10.0.0.7", Some("source-ip")),
            ("http://10.0.0.7:8080/billing", Some("source-ip")),
            ("http://[::1]:80/", Some("source-ip")),
            ("//macbook.local/billing", Some("source-host")),
            ("http://localhost:3000", Some("source-host")),
            ("ip-10-0-0-7.ec2.internal", Some("source-host")),
            ("billing-7d4b9c6f5d-x2x4z", Some("source-pod")),
            ("/services/billing-6799fc88d8-jk5tw", Some("source-pod")),
        ] {
            assert_eq!(source(text).map(|finding| finding.rule), rule, "{text}");
        }
    }

    #[test]
    fn types_follow_the_convention_that_is_set() {
        use TypeNaming::{Dotted, PascalCase, ReverseDomain};
        for (name, followed) in [
            ("com.example.billing.InvoiceIssued", &[ReverseDomain][..]),
            ("com.example.object.deleted.v2", &[ReverseDomain, Dotted]),
            ("de.firma.rechnung_gestellt", &[ReverseDomain, Dotted]),
            ("billing.invoice.issued", &[Dotted]),
            ("InvoiceIssued", &[PascalCase]),
            ("invoiceIssued", &[]),
            ("INVOICE", &[]),
            ("billing..issued", &[]),
            ("com.example.", &[]),
            ("billing.InvoiceIssued", &[]),
        ] {
            for naming in TypeNaming::ALL {
                assert_eq!(naming.allows(name), followed.contains(&naming), "{name}: {naming}");
            }
        }
        let rules = Rules { type_naming: Some(ReverseDomain), ..Rules::default() };
        let event = good().build().unwrap();
        assert_eq!(lint(&event, &rules), []);
        let renamed = Event::builder("/s", "InvoiceIssued").id("a").build().unwrap();
        let finding = lint(&renamed, &rules).into_iter().find(|f| f.attribute == "type").unwrap();
        assert!(finding.message.contains("reverse-domain"), "{finding:?}");
    }

    #[test]
    fn conventions_are_known_by_name() {
        for naming in TypeNaming::ALL {
            assert_eq!(naming.to_string().parse(), Ok(naming));
        }
        assert!("camel".parse::<TypeNaming>().unwrap_err().to_string().contains("pascal"));
    }
}

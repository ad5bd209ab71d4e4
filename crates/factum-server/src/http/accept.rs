//! Which of the forms of an answer a client wants (RFC 9110, section 12.5.1).

use axum::http::header::ACCEPT;
use axum::http::{HeaderMap, StatusCode};
use factum_event::event::json::BATCH_MEDIA_TYPE;

use super::problem::Problem;

/// The form of an answer with events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A JSON array, page by page.
    Page,
    /// One event per line up to the end.
    Lines,
    /// Server-sent events, for as long as the client wants.
    Stream,
}

/// A form under the media type by which it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Offer {
    /// The media type of the answer.
    pub(super) media_type: &'static str,
    /// Its form.
    pub(super) form: Form,
}

/// What there is; of equals the first is taken.
const OFFERS: [Offer; 4] = [
    Offer { media_type: BATCH_MEDIA_TYPE, form: Form::Page },
    Offer { media_type: "application/x-ndjson", form: Form::Lines },
    Offer { media_type: "text/event-stream", form: Form::Stream },
    Offer { media_type: "application/json", form: Form::Page },
];

/// The form that the client likes most.
pub(super) fn negotiate(headers: &HeaderMap) -> Result<Offer, Problem> {
    let accept: Vec<&str> =
        headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).collect();
    if accept.is_empty() {
        return Ok(OFFERS[0]);
    }
    let accept = accept.join(",");
    let mut best: Option<(f32, Offer)> = None;
    for offer in OFFERS {
        let quality = quality(&accept, offer.media_type);
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, offer));
        }
    }
    best.map(|(_, offer)| offer).ok_or_else(|| refused(&accept))
}

fn refused(accept: &str) -> Problem {
    let offered: Vec<&str> = OFFERS.iter().map(|offer| offer.media_type).collect();
    let came: String = accept.chars().take(64).collect();
    let detail = format!("{came:?} cannot be answered; accept one of {}", offered.join(", "));
    Problem::new(StatusCode::NOT_ACCEPTABLE, "not-acceptable", "Not acceptable", detail)
        .with("expected", offered)
        .with("came", came)
}

/// How much the client likes a media type, from 0 to 1, by the range that names it best.
fn quality(accept: &str, media_type: &str) -> f32 {
    let mut best = (0, 0.0);
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let rank = rank(parts.next().unwrap_or_default(), media_type);
        if rank > best.0 {
            let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, weight);
            best = (rank, quality);
        }
    }
    best.1
}

/// How exactly a range names a media type; 0 is not at all.
fn rank(range: &str, media_type: &str) -> u8 {
    let all_of_kind = range.strip_suffix("/*").is_some_and(|kind| {
        media_type.split_once('/').is_some_and(|(have, _)| have.eq_ignore_ascii_case(kind))
    });
    match range {
        _ if range.eq_ignore_ascii_case(media_type) => 3,
        _ if all_of_kind => 2,
        "*/*" => 1,
        _ => 0,
    }
}

fn weight(text: &str) -> f32 {
    text.parse().ok().filter(|weight| (0.0..=1.0).contains(weight)).unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_form_follows_the_accept_header() {
        let table = [
            ("*/*", Some("application/cloudevents-batch+json")),
            ("application/x-ndjson", Some("application/x-ndjson")),
            ("text/event-stream", Some("text/event-stream")),
            ("text/*", Some("text/event-stream")),
            ("application/json", Some("application/json")),
            ("text/html, */*;q=0.8", Some("application/cloudevents-batch+json")),
            ("application/x-ndjson;q=0.5, text/event-stream", Some("text/event-stream")),
            ("Text/Event-Stream; charset=utf-8", Some("text/event-stream")),
            ("*/*, application/cloudevents-batch+json;q=0", Some("application/x-ndjson")),
            ("text/html", None),
            ("*/*;q=0", None),
            ("*/*;q=often", None),
            ("", None),
        ];
        for (accept, expected) in table {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let have = negotiate(&headers).ok().map(|offer| offer.media_type);
            assert_eq!(have, expected, "{accept}");
        }
        assert_eq!(negotiate(&HeaderMap::new()).ok(), Some(OFFERS[0]));
    }
}

//! A page of events: a JSON batch of bounded size that says where to go on.

use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, LINK};
use axum::http::{HeaderName, Uri};
use axum::response::{AppendHeaders, IntoResponse, Response};
use factum_event::event::{StoredEvent, json};
use percent_encoding::{NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};

use super::accept::Offer;
use super::problem::Problem;
use super::query::Filter;
use super::reading::Reading;
use super::session::Session;

/// The header that says where to go on, at the end of what there is as well.
const CURSOR: HeaderName = HeaderName::from_static("factum-cursor");

/// After how many records the thread is offered to other requests.
pub(super) const YIELD_EVERY: u64 = 256;

/// What a page is made of.
pub(super) struct Page {
    /// The records.
    pub(super) reading: Reading,
    /// Which of them.
    pub(super) filter: Filter,
    /// How many, if the client says.
    pub(super) limit: Option<u64>,
}

/// What the link to the next page is made of.
pub(super) struct Next<'a> {
    /// The address of this page.
    pub(super) uri: &'a Uri,
    /// Its query.
    pub(super) pairs: &'a [(String, String)],
}

/// Answers one page.
pub(super) async fn answer(
    session: &Session,
    mut page: Page,
    offer: Offer,
    next: Next<'_>,
) -> Result<Response, Problem> {
    let (body, events) = fill(session, &mut page).await?;
    session.door.metrics.http_read(events);
    let cursor = page.reading.cursor().to_string();
    let link = page.reading.has_more().then(|| AppendHeaders([(LINK, next.link(&cursor))]));
    let headers = [(CONTENT_TYPE, offer.media_type.to_owned()), (CURSOR, cursor)];
    let response = (headers, [(CACHE_CONTROL, "no-store")], body);
    Ok(match link {
        Some(link) => (link, response).into_response(),
        None => response.into_response(),
    })
}

/// The JSON array, and how many events it has.
async fn fill(session: &Session, page: &mut Page) -> Result<(String, u64), Problem> {
    let limits = &session.door.limits;
    let limit = page.limit.unwrap_or(limits.page_events).min(limits.max_page_events);
    let mut body = String::from("[");
    let (mut events, mut scanned) = (0, 0);
    while events < limit && scanned < limits.page_scan && body.len() < limits.page_bytes {
        let Some(record) = page.reading.next().await? else {
            break;
        };
        scanned += 1;
        let stored = StoredEvent::from(record);
        if page.filter.takes(&stored.event) {
            body.push_str(if events > 0 { "," } else { "" });
            body.push_str(&json::encode(&stored.to_event()));
            events += 1;
        }
        if scanned % YIELD_EVERY == 0 {
            tokio::task::yield_now().await;
        }
    }
    body.push(']');
    Ok((body, events))
}

impl Next<'_> {
    fn link(&self, cursor: &str) -> String {
        let kept = self.pairs.iter().filter(|(name, _)| name != "from" && name != "cursor");
        let mut link = format!("<{}?", self.uri.path());
        for (name, value) in kept {
            link.push_str(&format!("{name}={}&", encoded(value)));
        }
        link.push_str(&format!("cursor={}>; rel=\"next\"", encoded(cursor)));
        link
    }
}

fn encoded(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, NON_ALPHANUMERIC)
}

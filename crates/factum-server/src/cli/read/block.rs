//! An event as a block of text for people.

use factum_event::event::{Data, Event, StoredEvent};
use serde_json::Value;

use super::fold::{Fold, printable};
use crate::byte_size::ByteSize;
use crate::cli::Colors;
use crate::cli::terminal::{BOLD, DIM, TYPE};

/// Lines of text data that are shown folded.
const FOLDED_TEXT_LINES: usize = 6;
/// Characters of a line of text data that are shown folded.
const FOLDED_LINE_CHARS: usize = 160;
/// Bytes of binary data that are shown.
const SHOWN_BINARY_BYTES: usize = 16;

/// Attributes with a place of their own, or that say what is obvious.
const SHOWN_ELSEWHERE: [&str; 6] = [
    "correlationid",
    "causationid",
    "factumtopic",
    "factumpartition",
    "factumoffset",
    "factumappendtime",
];

/// How events are shown.
pub struct Blocks {
    colors: Colors,
    full: bool,
}

impl Blocks {
    /// Blocks in these colours, folded unless `full`.
    pub const fn new(colors: Colors, full: bool) -> Self {
        Self { colors, full }
    }

    /// The block of an event, with an empty line after it.
    pub fn show(&self, stored: &StoredEvent) -> String {
        let (event, colors) = (&stored.event, self.colors);
        let occurred = event.time().map(|time| time.as_str().to_owned());
        let appended = stored.appended_at.to_rfc3339();
        let time = occurred.or(appended).unwrap_or_default();
        let mut text = format!(
            "{time}  {}  {}",
            colors.paint(DIM, &stored.position),
            colors.paint(TYPE, printable(event.event_type())),
        );
        if let Some(subject) = event.subject() {
            text.push_str(&format!("  {}", colors.paint(BOLD, printable(subject))));
        }
        text.push_str(&format!("\n  {}\n", colors.paint(DIM, attributes(event))));
        for line in self.data(event).lines() {
            text.push_str(&format!("  {line}\n"));
        }
        text
    }

    fn data(&self, event: &Event) -> String {
        match event.data() {
            Data::None => String::new(),
            Data::Json(json) => match serde_json::from_str::<Value>(json.as_str()) {
                Ok(value) => Fold::new(self.colors, self.full).show(&value),
                Err(_) => printable(json.as_str()),
            },
            Data::Text(text) if self.full => printable_lines(text, usize::MAX, usize::MAX),
            Data::Text(text) => printable_lines(text, FOLDED_TEXT_LINES, FOLDED_LINE_CHARS),
            Data::Binary(bytes) => {
                let shown = if self.full { bytes.len() } else { SHOWN_BINARY_BYTES };
                let hex: Vec<String> =
                    bytes.iter().take(shown).map(|b| format!("{b:02x}")).collect();
                let more = if bytes.len() > shown { " …" } else { "" };
                let size = ByteSize::from(bytes.len() as u64);
                format!("{size} of binary: {}{more}", hex.join(" "))
            }
        }
    }
}

fn printable_lines(text: &str, lines: usize, chars: usize) -> String {
    let mut out: Vec<String> = text
        .lines()
        .take(lines)
        .map(|line| {
            let cut: String = line.chars().take(chars).collect();
            let more = if cut.len() < line.len() { "…" } else { "" };
            format!("{}{more}", printable(&cut))
        })
        .collect();
    let left = text.lines().count().saturating_sub(out.len());
    if left > 0 {
        out.push(format!("… {left} more lines"));
    }
    out.join("\n")
}

/// Source, ids and extensions in one line.
fn attributes(event: &Event) -> String {
    let mut parts = vec![format!("source {}", event.source()), format!("id {}", event.id())];
    let mut add = |name: &str, value: Option<&str>| {
        if let Some(value) = value {
            parts.push(format!("{name} {value}"));
        }
    };
    add("correlation", event.correlationid().as_deref());
    add("causation", event.causationid().as_deref());
    let media = event.datacontenttype().filter(|media| *media != "application/json");
    add("content", media);
    add("schema", event.dataschema());
    for (name, value) in event.extensions().filter(|(name, _)| !SHOWN_ELSEWHERE.contains(name)) {
        add(name, Some(&value.text()));
    }
    printable(&parts.join(" · "))
}

#[cfg(test)]
mod tests {
    use factum_event::{Offset, Partition, Position, Timestamp};

    use super::*;

    fn stored(event: Event) -> StoredEvent {
        let position = Position {
            topic: "orders".parse().unwrap(),
            partition: Partition::ZERO,
            offset: Offset::new(12).unwrap(),
        };
        StoredEvent { position, appended_at: Timestamp::from_millis(0), event }
    }

    fn show(event: Event, full: bool) -> String {
        Blocks::new(Colors::OFF, full).show(&stored(event))
    }

    #[test]
    fn a_block_has_time_position_type_subject_ids_and_data() {
        let event = Event::builder("/shop", "order.placed")
            .id("e-1")
            .subject("order/7")
            .correlationid("c-1")
            .extension("tenant", "acme")
            .json_text(r#"{"total":12}"#)
            .build()
            .unwrap();
        let expected = "1970-01-01T00:00:00.000Z  orders/0@12  order.placed  order/7\n  \
            source /shop · id e-1 · correlation c-1 · tenant acme\n  {\"total\": 12}\n";
        assert_eq!(show(event, false), expected);
    }

    #[test]
    fn long_text_is_cut_unless_all_is_wanted() {
        let text = "line\n".repeat(10);
        let event = Event::builder("/s", "t").id("1").text(text).build().unwrap();
        assert!(show(event.clone(), false).contains("… 4 more lines"));
        assert_eq!(show(event, true).matches("  line\n").count(), 10);
    }

    #[test]
    fn an_event_cannot_send_escape_sequences_to_the_terminal() {
        let event = Event::builder("/s", "t").id("1").text("a\u{1b}[2Jb\u{9b}c").build().unwrap();
        let text = show(event, false);
        assert!(!text.contains('\u{1b}') && !text.contains('\u{9b}'), "{text:?}");
        let event = Event::builder("/s", "t").id("1").json_text("\"\u{9b}2J\"").build().unwrap();
        assert!(!show(event, false).contains('\u{9b}'));
    }
}

//! JSON as people read it: short values in one line, long ones folded to what fits.

use serde_json::Value;

use crate::cli::Colors;
use crate::cli::terminal::{DIM, KEY, NUMBER, STRING};

/// What fits into a line before an object or array is spread over several.
const LINE_CHARS: usize = 88;

/// How much of a value is shown.
#[derive(Debug, Clone, Copy)]
struct Limits {
    string_chars: usize,
    items: usize,
    members: usize,
    depth: usize,
}

const FOLDED: Limits = Limits { string_chars: 120, items: 6, members: 24, depth: 4 };
/// JSON is not parsed deeper than this anyway.
const ALL: Limits =
    Limits { string_chars: usize::MAX, items: usize::MAX, members: usize::MAX, depth: 128 };

/// Shows JSON.
#[derive(Debug, Clone, Copy)]
pub struct Fold {
    colors: Colors,
    limits: Limits,
}

impl Fold {
    /// In these colours, folded unless `full`.
    pub const fn new(colors: Colors, full: bool) -> Self {
        Self { colors, limits: if full { ALL } else { FOLDED } }
    }

    /// The value as text of one or more lines.
    pub fn show(&self, value: &Value) -> String {
        let mut out = String::new();
        self.put(&mut out, value, 0);
        out
    }

    fn put(&self, out: &mut String, value: &Value, depth: usize) {
        let colors = self.colors;
        match value {
            Value::String(text) => out.push_str(&self.string(text)),
            Value::Array(items) if items.is_empty() => out.push_str("[]"),
            Value::Object(members) if members.is_empty() => out.push_str("{}"),
            Value::Array(items) if depth >= self.limits.depth => {
                out.push_str(&colors.paint(DIM, format!("[… {}]", items.len())));
            }
            Value::Object(members) if depth >= self.limits.depth => {
                out.push_str(&colors.paint(DIM, format!("{{… {}}}", members.len())));
            }
            Value::Array(items) => {
                let shown = items.iter().take(self.limits.items);
                let parts = shown.map(|item| self.part(None, item, depth + 1)).collect();
                self.spread(out, ('[', ']'), parts, items.len(), depth, fits(value, depth));
            }
            Value::Object(members) => {
                let shown = members.iter().take(self.limits.members);
                let parts =
                    shown.map(|(key, item)| self.part(Some(key), item, depth + 1)).collect();
                self.spread(out, ('{', '}'), parts, members.len(), depth, fits(value, depth));
            }
            other => out.push_str(&colors.paint(NUMBER, other)),
        }
    }

    fn part(&self, key: Option<&String>, value: &Value, depth: usize) -> String {
        let mut out = String::new();
        if let Some(key) = key {
            out.push_str(
                &self.colors.paint(KEY, printable(&Value::from(key.as_str()).to_string())),
            );
            out.push_str(": ");
        }
        self.put(&mut out, value, depth);
        out
    }

    /// Puts parts between brackets, in one line or each in its own.
    fn spread(
        &self,
        out: &mut String,
        (open, close): (char, char),
        mut parts: Vec<String>,
        total: usize,
        depth: usize,
        one_line: bool,
    ) {
        if total > parts.len() {
            let left = total - parts.len();
            parts.push(self.colors.paint(DIM, format!("… {left} more")));
        }
        out.push(open);
        if one_line {
            out.push_str(&parts.join(", "));
        } else {
            let indent = "  ".repeat(depth + 1);
            out.push_str(&format!("\n{indent}{}\n", parts.join(&format!(",\n{indent}"))));
            out.push_str(&"  ".repeat(depth));
        }
        out.push(close);
    }

    fn string(&self, text: &str) -> String {
        let limit = self.limits.string_chars;
        let cut = text.char_indices().nth(limit).map(|(index, _)| index);
        let shown = Value::from(&text[..cut.unwrap_or(text.len())]).to_string();
        let shown = self.colors.paint(STRING, printable(&shown));
        match cut {
            None => shown,
            Some(index) => {
                let left = text[index..].chars().count();
                format!("{shown}{}", self.colors.paint(DIM, format!(" … {left} more characters")))
            }
        }
    }
}

/// Whether the value fits into a line; a string that is cut counts as long.
fn fits(value: &Value, depth: usize) -> bool {
    fn measure(value: &Value, room: &mut usize) -> bool {
        let own = match value {
            Value::String(text) => text.len() + 2,
            Value::Array(_) | Value::Object(_) => 2,
            other => other.to_string().len(),
        };
        let inner =
            |key: usize, item: &Value, room: &mut usize| take(room, key + 2) && measure(item, room);
        take(room, own)
            && match value {
                Value::Array(items) => items.iter().all(|item| inner(0, item, room)),
                Value::Object(members) => {
                    members.iter().all(|(key, item)| inner(key.len() + 4, item, room))
                }
                _ => true,
            }
    }
    fn take(room: &mut usize, need: usize) -> bool {
        let left = room.checked_sub(need);
        *room = left.unwrap_or(0);
        left.is_some()
    }
    measure(value, &mut LINE_CHARS.saturating_sub(2 * depth))
}

/// The text with control characters made visible, so that no event can steer the terminal.
pub fn printable(text: &str) -> String {
    if !text.chars().any(char::is_control) {
        return text.to_owned();
    }
    let shown = |c: char| {
        if c.is_control() { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() }
    };
    text.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn show(value: &Value, full: bool) -> String {
        Fold::new(Colors::OFF, full).show(value)
    }

    #[test]
    fn what_fits_stands_in_one_line() {
        assert_eq!(
            show(&json!({"a": 1, "b": [true, null], "c": {}}), false),
            r#"{"a": 1, "b": [true, null], "c": {}}"#
        );
    }

    #[test]
    fn what_does_not_fit_is_spread() {
        let long = "x".repeat(80);
        let expected = format!("{{\n  \"a\": \"{long}\",\n  \"b\": [1, 2]\n}}");
        assert_eq!(show(&json!({"a": long, "b": [1, 2]}), false), expected);
    }

    #[test]
    fn long_strings_arrays_and_objects_are_cut_unless_all_is_wanted() {
        let value = json!({"s": "y".repeat(130), "a": (0..50).collect::<Vec<_>>()});
        let text = show(&value, false);
        assert!(text.contains("… 10 more characters"), "{text}");
        assert!(text.contains("… 44 more"), "{text}");
        let full = show(&value, true);
        assert!(!full.contains('…') && full.contains("49"), "{full}");
        assert_eq!(serde_json::from_str::<Value>(&full).unwrap(), value);
    }

    #[test]
    fn depth_is_limited() {
        let deep = json!({"a": {"b": {"c": {"d": {"e": 1, "f": 2}}}}});
        assert!(show(&deep, false).contains("{… 2}"));
        assert!(show(&deep, true).contains("\"f\": 2"));
    }

    #[test]
    fn keys_and_strings_are_escaped() {
        assert_eq!(show(&json!({"a\"b": "c\nd"}), false), r#"{"a\"b": "c\nd"}"#);
    }
}

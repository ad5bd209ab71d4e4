//! What members subscribe to: topics by name, and by a regular expression.
//!
//! A regular expression must match all of a topic's name. Its syntax is that of RE2, of which the
//! `regex` crate has all but `\Q…\E`, which is translated, and `\C`. Topics' names are ASCII, so
//! that it does not matter that `\w` means more here. Time is linear in the length of the name;
//! memory is limited by [`MAX_COMPILED_BYTES`].

use std::collections::BTreeSet;
use std::hash::{Hash, Hasher};

use factum_event::TopicId;
use regex::{Regex, RegexBuilder};

use crate::groups::GroupError;

/// The longest regular expression, in bytes.
pub(super) const MAX_PATTERN_BYTES: usize = 4_096;

/// The most memory that a regular expression may take, in bytes.
const MAX_COMPILED_BYTES: usize = 1 << 20;

/// A topic as groups see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// Its identity.
    pub id: TopicId,
    /// Its name.
    pub name: String,
    /// How many partitions it has.
    pub partitions: i32,
}

/// The topics that exist, for groups that assign their partitions.
pub trait TopicsView {
    /// A number that grows whenever topics change, after they did.
    fn changes(&self) -> u64;
    /// The topic of a name.
    fn by_name(&self, name: &str) -> Option<TopicInfo>;
    /// The topics of the names that pass; not Factum's own.
    fn matching(&self, passes: &dyn Fn(&str) -> bool) -> Vec<TopicInfo>;
}

/// A regular expression of whole names.
#[derive(Debug)]
pub(super) struct Pattern {
    text: String,
    regex: Regex,
}

impl Pattern {
    pub(super) fn new(text: &str) -> Result<Self, GroupError> {
        if text.len() > MAX_PATTERN_BYTES {
            let (came, limit) = (text.len(), MAX_PATTERN_BYTES);
            let refusal = format!("{came} bytes of a regular expression are more than {limit}");
            return Err(GroupError::InvalidRegularExpression(refusal));
        }
        let translated = unquoted(text);
        // By itself too: brackets that close what is put around it would make another one of it.
        let compiled = compile(&translated).and_then(|_| compile(&format!("^(?:{translated})$")));
        match compiled {
            Ok(regex) => Ok(Self { text: text.to_owned(), regex }),
            Err(error) => Err(GroupError::InvalidRegularExpression(error.to_string())),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        &self.text
    }

    fn matches(&self, name: &str) -> bool {
        self.regex.is_match(name)
    }
}

fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let limit = MAX_COMPILED_BYTES;
    RegexBuilder::new(pattern).size_limit(limit).dfa_size_limit(limit).build()
}

/// The pattern with what stands between `\Q` and `\E` escaped, as RE2 reads it.
fn unquoted(pattern: &str) -> String {
    let mut translated = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        translated.push_str(before);
        if let Some(quoted) = escape.strip_prefix("\\Q") {
            let (literal, after) = quoted.split_once("\\E").unwrap_or((quoted, ""));
            translated.push_str(&regex::escape(literal));
            rest = after;
        } else {
            // The backslash with what it escapes, which may be another one.
            let escaped = escape.chars().nth(1).map_or(0, char::len_utf8);
            let (escape, after) = escape.split_at(1 + escaped);
            translated.push_str(escape);
            rest = after;
        }
    }
    translated.push_str(rest);
    translated
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Pattern {}

impl Hash for Pattern {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// What a member subscribes to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Subscription {
    pub(super) names: BTreeSet<String>,
    pub(super) pattern: Option<std::sync::Arc<Pattern>>,
}

impl Subscription {
    /// The topics of it that exist.
    pub(super) fn resolve(&self, topics: &dyn TopicsView) -> Vec<TopicInfo> {
        let mut found: Vec<_> = self.names.iter().filter_map(|name| topics.by_name(name)).collect();
        if let Some(pattern) = &self.pattern {
            let passes = |name: &str| !self.names.contains(name) && pattern.matches(name);
            found.extend(topics.matching(&passes));
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_matches_whole_names_by_the_rules_of_re2() {
        let matches = |pattern: &str, name: &str| Pattern::new(pattern).unwrap().matches(name);
        assert!(matches("orders", "orders") && !matches("orders", "orders.eu"));
        assert!(matches("orders.*", "orders.eu") && !matches("rders.*", "orders.eu"));
        assert!(matches("^orders$", "orders"));
        assert!(matches("a|ab", "ab"), "either side is whole");
        assert!(matches(r"\Qa.b\E\d+", "a.b12") && !matches(r"\Qa.b\E", "axb"));
        assert!(matches(r"\Qa.b", "a.b") && matches(r"\\Q|a\.b", "a.b"));
        assert!(matches("(?i)ORDERS", "orders") && matches(r"\w+-\d{1,3}", "orders-7"));
        assert!(matches("", "") && !matches("", "a"));
    }

    #[test]
    fn what_is_no_pattern_or_too_large_is_refused() {
        let long = "a".repeat(MAX_PATTERN_BYTES + 1);
        let large = r"\w{999}{999}";
        for bad in ["(", "a)|(b", "*", r"(a)\1", "(?=a)", "\\", &long, large] {
            let error = Pattern::new(bad).unwrap_err();
            assert_eq!(error.code(), 128, "{bad}: {error}");
        }
    }
}

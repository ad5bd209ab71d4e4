//! Which topics and groups: patterns to include and exclude, each of a whole name.

use regex::Regex;

/// Names that no cluster gives to what users have written: Kafka's and Factum's own.
const INTERNAL: &str = "__";

/// Names by patterns.
#[derive(Debug, Clone)]
pub struct Selection {
    include: Vec<Regex>,
    exclude: Vec<Regex>,
}

impl Selection {
    /// What any of `include` is, or everything where there is none, but for what any of `exclude`
    /// is.
    pub const fn new(include: Vec<Regex>, exclude: Vec<Regex>) -> Self {
        Self { include, exclude }
    }

    /// Whether it has this name.
    pub fn has(&self, name: &str) -> bool {
        let any = |patterns: &[Regex]| patterns.iter().any(|pattern| pattern.is_match(name));
        (self.include.is_empty() || any(&self.include)) && !any(&self.exclude)
    }

    /// Whether it has this topic: those that begin with two underscores belong to a cluster itself.
    pub fn has_topic(&self, name: &str) -> bool {
        !name.starts_with(INTERNAL) && self.has(name)
    }
}

/// A regular expression for whole names.
pub fn pattern(text: &str) -> Result<Regex, String> {
    Regex::new(&format!("^(?:{text})$")).map_err(|error| {
        format!(
            "{text:?} is no regular expression: {error}; expected one such as 'orders|shop\\..*'"
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn selection(include: &[&str], exclude: &[&str]) -> Selection {
        let all = |texts: &[&str]| texts.iter().map(|text| pattern(text).unwrap()).collect();
        Selection::new(all(include), all(exclude))
    }

    #[test]
    fn patterns_are_of_whole_names_and_exclusion_wins() {
        let all = selection(&[], &[]);
        assert!(all.has("orders") && all.has_topic("_schemas"));
        assert!(!all.has_topic("__consumer_offsets") && all.has("__a group"));
        let some = selection(&["orders", r"shop\..*"], &[r".*\.test"]);
        assert!(some.has("orders") && some.has("shop.carts"));
        assert!(!some.has("orders2") && !some.has("my.orders") && !some.has("shop.test"));
        assert!(pattern("(").unwrap_err().contains("expected one such as"));
    }
}

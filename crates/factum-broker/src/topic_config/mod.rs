//! Topic settings by Kafka's names.
//!
//! A topic keeps the texts that it was given; [`TopicSettings`] is what they mean. Where a setting
//! has no effect here because what it asks for is so in any case, any value is taken, and its
//! documentation says so; where a value would promise what is not kept, only the default is.

mod edit;
mod keys;
mod settings;

use std::collections::BTreeMap;

use thiserror::Error;

pub use edit::{Configure, Edit};
pub(crate) use edit::{difference, over};
pub use keys::TOPIC_CONFIGS;
pub use settings::{CleanupPolicy, TimestampType, TopicSettings};

/// Settings by name, as they are kept.
pub type Configs = BTreeMap<String, String>;

/// A setting of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Its value where a topic does not set it.
    pub default: &'static str,
    /// What values it takes.
    pub kind: ConfigKind,
    /// What it does.
    pub doc: &'static str,
}

/// What values a setting takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    /// A whole number of 32 bits.
    Int {
        /// The smallest.
        min: i32,
    },
    /// A whole number of 64 bits.
    Long {
        /// The smallest.
        min: i64,
    },
    /// A number from 0 to 1.
    Ratio,
    /// `true` or `false`, in any case.
    Boolean,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Some of these words, each at most once, with commas between; none is a list too.
    List(&'static [&'static str]),
    /// Any text without control characters.
    Text {
        /// The longest.
        max_bytes: usize,
    },
    /// Only its default: what others promise is not kept here.
    Fixed(ConfigType),
}

/// The type of a setting, as Kafka tells it to clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "Kafka's names of types")]
pub enum ConfigType {
    Boolean,
    String,
    Int,
    Long,
    Double,
    List,
}

/// A setting that a topic cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidConfig {
    /// No setting of this name.
    #[error("there is no topic setting {name:?}; known are {}", known())]
    Unknown {
        /// What came.
        name: String,
    },
    /// Not a value of the setting's type.
    #[error("{name} is {expected}, not {came:?}")]
    Value {
        /// The setting.
        name: &'static str,
        /// What it takes.
        expected: String,
        /// What came.
        came: String,
    },
    /// Two settings that contradict each other.
    #[error("{smaller} is {smaller_value}, which is more than {larger}, which is {larger_value}")]
    Order {
        /// The setting that must not be larger.
        smaller: &'static str,
        /// Its value.
        smaller_value: u64,
        /// The setting that it is compared with.
        larger: &'static str,
        /// Its value.
        larger_value: u64,
    },
    /// Words were to be added to or taken from what is no list.
    #[error("{name} is no list: it can be set or deleted, not appended to or subtracted from")]
    NotAList {
        /// The setting.
        name: &'static str,
    },
}

fn known() -> String {
    TOPIC_CONFIGS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

impl ConfigKey {
    /// The setting of this name.
    ///
    /// # Errors
    /// [`InvalidConfig::Unknown`].
    pub fn find(name: &str) -> Result<&'static Self, InvalidConfig> {
        let found = TOPIC_CONFIGS.iter().find(|key| key.name == name);
        found.ok_or_else(|| InvalidConfig::Unknown { name: name.to_owned() })
    }

    /// Its type.
    #[must_use]
    pub const fn config_type(&self) -> ConfigType {
        match self.kind {
            ConfigKind::Int { .. } => ConfigType::Int,
            ConfigKind::Long { .. } => ConfigType::Long,
            ConfigKind::Ratio => ConfigType::Double,
            ConfigKind::Boolean => ConfigType::Boolean,
            ConfigKind::Choice(_) | ConfigKind::Text { .. } => ConfigType::String,
            ConfigKind::List(_) => ConfigType::List,
            ConfigKind::Fixed(fixed) => fixed,
        }
    }

    /// Whether it has only its default.
    #[must_use]
    pub const fn is_fixed(&self) -> bool {
        matches!(self.kind, ConfigKind::Fixed(_))
    }

    /// What it takes, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.kind {
            ConfigKind::Int { min } => format!("a whole number from {min} to {}", i32::MAX),
            ConfigKind::Long { min } if min == i64::MIN => {
                "a whole number; below 0 is no limit".to_owned()
            }
            ConfigKind::Long { min } => format!("a whole number from {min} to {}", i64::MAX),
            ConfigKind::Ratio => "a number from 0 to 1".to_owned(),
            ConfigKind::Boolean => "true or false".to_owned(),
            ConfigKind::Choice(words) => words.join(" or "),
            ConfigKind::List(words) => {
                format!("a list of any of {}, each at most once", words.join(", "))
            }
            ConfigKind::Text { max_bytes } => format!("a text of at most {max_bytes} bytes"),
            ConfigKind::Fixed(_) => format!("always {:?} in this version", self.default),
        }
    }

    pub(crate) fn check(&self, value: &str) -> Result<(), InvalidConfig> {
        let text = value.trim();
        let taken = match self.kind {
            ConfigKind::Int { min } => text.parse::<i32>().is_ok_and(|number| number >= min),
            ConfigKind::Long { min } => text.parse::<i64>().is_ok_and(|number| number >= min),
            ConfigKind::Ratio => text.parse().is_ok_and(|ratio: f64| (0.0..=1.0).contains(&ratio)),
            ConfigKind::Boolean => {
                ["true", "false"].iter().any(|word| text.eq_ignore_ascii_case(word))
            }
            ConfigKind::Choice(words) => words.contains(&text),
            ConfigKind::List(words) => {
                let mut seen = std::collections::BTreeSet::new();
                list(text).all(|word| words.contains(&word) && seen.insert(word))
            }
            ConfigKind::Text { max_bytes } => {
                text.len() <= max_bytes && !text.contains(char::is_control)
            }
            ConfigKind::Fixed(_) => text == self.default,
        };
        if taken {
            return Ok(());
        }
        let (name, expected) = (self.name, self.expected());
        Err(InvalidConfig::Value { name, expected, came: value.to_owned() })
    }
}

/// The words of a list.
fn list(text: &str) -> impl Iterator<Item = &str> {
    let text = text.trim();
    let words = (!text.is_empty()).then(|| text.split(','));
    words.into_iter().flatten().map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, value: &str) -> Result<(), InvalidConfig> {
        TopicSettings::parse(&Configs::from([(name.to_owned(), value.to_owned())])).map(drop)
    }

    #[test]
    fn what_would_not_be_kept_is_refused() {
        assert!(check_one("min.insync.replicas", "1").is_ok());
        let error = check_one("min.insync.replicas", "2").unwrap_err();
        let expected = "min.insync.replicas is always \"1\" in this version, not \"2\"";
        assert_eq!(error.to_string(), expected);
        let error = check_one("no.such", "1").unwrap_err();
        assert!(error.to_string().contains("known are cleanup.policy, compression"), "{error}");
    }

    #[test]
    fn values_of_each_kind_are_checked() {
        let good = [
            ("max.message.bytes", &["0", " 17 ", "2147483647"][..]),
            ("segment.bytes", &["14", "1048576"]),
            ("retention.ms", &["-1", "0", "9223372036854775807"]),
            ("retention.bytes", &["-1", "-7", "0"]),
            ("min.cleanable.dirty.ratio", &["0", "1", "0.5", "1e-3"]),
            ("cleanup.policy", &["delete", "compact", "compact, delete", "delete,compact", ""]),
            ("message.timestamp.type", &["CreateTime", "LogAppendTime"]),
            ("max.compaction.lag.ms", &["1"]),
            ("compression.type", &["producer", "uncompressed", "gzip", "snappy", "lz4", "zstd"]),
            ("preallocate", &["true", "false", "TRUE"]),
            ("flush.messages", &["1", "10000"]),
            ("file.delete.delay.ms", &["0", "10000"]),
        ];
        for (name, values) in good {
            for value in values {
                assert_eq!(check_one(name, value), Ok(()), "{name}={value}");
            }
        }
        let bad = [
            ("max.message.bytes", &["-1", "", "x", "4294967296", "1.5"][..]),
            ("segment.bytes", &["13", "2147483648"]),
            ("retention.ms", &["-2", "9223372036854775808", "7d"]),
            ("min.cleanable.dirty.ratio", &["-0.1", "1.1", "NaN", "inf", ""]),
            ("cleanup.policy", &["none", "compact,", "delete,delete", "Compact", "compact delete"]),
            ("message.timestamp.type", &["createtime", ""]),
            ("max.compaction.lag.ms", &["0"]),
            ("compression.type", &["none", "ZSTD", ""]),
            ("preallocate", &["yes", ""]),
            ("flush.messages", &["0", "often"]),
        ];
        for (name, values) in bad {
            for value in values {
                assert!(check_one(name, value).is_err(), "{name}={value}");
            }
        }
    }

    #[test]
    fn every_default_is_a_value_that_its_setting_takes() {
        for key in TOPIC_CONFIGS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
        assert!(TOPIC_CONFIGS.is_sorted_by_key(|key| key.name), "clients see them in this order");
    }

    #[test]
    fn the_documentation_has_every_setting_with_its_values_default_and_meaning() {
        let page = include_str!("../../../../docs/topic-settings.md");
        let row = |key: &ConfigKey| {
            let default = if key.default.is_empty() { "(empty)" } else { key.default };
            format!("| `{}` | `{default}` | {} | {} |", key.name, key.expected(), key.doc)
        };
        let (fixed, free): (Vec<_>, Vec<_>) = TOPIC_CONFIGS.iter().partition(|key| key.is_fixed());
        let expected: Vec<_> = free.into_iter().chain(fixed).map(row).collect();
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        assert_eq!(rows, expected, "docs/topic-settings.md must have:\n{}", expected.join("\n"));
    }
}

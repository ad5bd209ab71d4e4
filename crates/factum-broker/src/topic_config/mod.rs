//! Topic settings by Kafka's names.
//!
//! A setting that does not work yet is known, so that clients see its value, but it can only be
//! set to what it already is: nothing is accepted and then ignored.

use std::collections::BTreeMap;

use thiserror::Error;

/// A setting of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigKey {
    /// Kafka's name.
    pub name: &'static str,
    /// Its value where a topic does not set it.
    pub default: &'static str,
    /// Its type.
    pub kind: ConfigKind,
    /// What it does.
    pub doc: &'static str,
}

/// The type of a setting, which says what values it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigKind {
    /// A whole number of 32 bits in this range.
    Int {
        /// The smallest value.
        min: i32,
    },
    /// Fixed for now: text of Kafka's type `LIST`.
    FixedList,
    /// Fixed for now: text of Kafka's type `STRING`.
    FixedString,
    /// Fixed for now: text of Kafka's type `LONG`.
    FixedLong,
    /// Fixed for now: text of Kafka's type `INT`.
    FixedInt,
}

/// Kafka's name of the largest batch that a topic takes.
pub const MAX_MESSAGE_BYTES: &str = "max.message.bytes";

/// Kafka's default of [`MAX_MESSAGE_BYTES`].
pub const DEFAULT_MAX_MESSAGE_BYTES: usize = 1_048_588;

/// All settings of a topic, by name.
pub const TOPIC_CONFIGS: &[ConfigKey] = &[
    ConfigKey {
        name: "cleanup.policy",
        default: "delete",
        kind: ConfigKind::FixedList,
        doc: "What happens to old records. Only delete; with retention.ms=-1 all are kept.",
    },
    ConfigKey {
        name: "compression.type",
        default: "producer",
        kind: ConfigKind::FixedString,
        doc: "Batches keep the compression that their producer chose.",
    },
    ConfigKey {
        name: MAX_MESSAGE_BYTES,
        default: "1048588",
        kind: ConfigKind::Int { min: 0 },
        doc: "The largest record batch, as it comes (compressed), in bytes.",
    },
    ConfigKey {
        name: "message.timestamp.type",
        default: "CreateTime",
        kind: ConfigKind::FixedString,
        doc: "Records keep the timestamp that their producer gave them.",
    },
    ConfigKey {
        name: "min.insync.replicas",
        default: "1",
        kind: ConfigKind::FixedInt,
        doc: "One machine keeps the log; an acknowledgement follows its flush to the disk.",
    },
    ConfigKey {
        name: "retention.bytes",
        default: "-1",
        kind: ConfigKind::FixedLong,
        doc: "Records are kept whatever their size.",
    },
    ConfigKey {
        name: "retention.ms",
        default: "-1",
        kind: ConfigKind::FixedLong,
        doc: "Records are kept for ever.",
    },
];

/// A setting that a topic cannot have.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
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
}

fn known() -> String {
    TOPIC_CONFIGS.iter().map(|key| key.name).collect::<Vec<_>>().join(", ")
}

/// Checks every setting, by name and value.
///
/// # Errors
/// [`InvalidConfig`] for the first that is not known or has a value it cannot have.
pub fn check(configs: &BTreeMap<String, String>) -> Result<(), InvalidConfig> {
    for (name, value) in configs {
        let key = TOPIC_CONFIGS
            .iter()
            .find(|key| key.name == name)
            .ok_or_else(|| InvalidConfig::Unknown { name: name.clone() })?;
        key.check(value)?;
    }
    Ok(())
}

impl ConfigKey {
    fn check(&self, value: &str) -> Result<(), InvalidConfig> {
        let expected = match self.kind {
            ConfigKind::Int { min } => {
                if value.parse::<i32>().is_ok_and(|number| number >= min) {
                    return Ok(());
                }
                format!("a whole number from {min} to {}", i32::MAX)
            }
            _ if value == self.default => return Ok(()),
            _ => format!("always {:?} in this version", self.default),
        };
        Err(InvalidConfig::Value { name: self.name, expected, came: value.to_owned() })
    }
}

/// The largest batch that a topic with these settings takes.
#[must_use]
pub fn max_message_bytes(configs: &BTreeMap<String, String>) -> usize {
    configs
        .get(MAX_MESSAGE_BYTES)
        .and_then(|value| value.parse().ok())
        .unwrap_or(DEFAULT_MAX_MESSAGE_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check_one(name: &str, value: &str) -> Result<(), InvalidConfig> {
        check(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    }

    #[test]
    fn what_would_be_ignored_is_refused() {
        assert!(check_one("retention.ms", "-1").is_ok());
        let error = check_one("retention.ms", "1000").unwrap_err();
        assert_eq!(
            error.to_string(),
            "retention.ms is always \"-1\" in this version, not \"1000\""
        );
        assert!(check_one("cleanup.policy", "compact").is_err());
        assert!(check_one("no.such", "1").unwrap_err().to_string().contains("known are cleanup"));
    }

    #[test]
    fn numbers_are_checked() {
        assert!(check_one(MAX_MESSAGE_BYTES, "0").is_ok());
        for bad in ["-1", "", "x", "4294967296"] {
            assert!(check_one(MAX_MESSAGE_BYTES, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn every_default_is_a_value_that_its_setting_takes() {
        for key in TOPIC_CONFIGS {
            assert_eq!(key.check(key.default), Ok(()), "{}", key.name);
        }
    }
}

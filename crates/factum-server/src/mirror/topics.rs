//! The topics of the target: made, grown and configured as those of the source are.
//!
//! A topic of the target is a copy if its setting `factum.mirror.source` names the source: the
//! cluster's id and the topic's. One that is no copy, or that of another topic, is left alone and
//! told of. So two mirrors cannot copy in a circle, and a topic that was deleted at the source and
//! made anew is not taken for the one before.

use std::collections::BTreeMap;

use factum_wire::messages::{
    CreatableTopic, CreatableTopicConfig, CreatePartitionsRequest, CreatePartitionsTopic,
    CreateTopicsRequest, IncrementalAlterConfigsRequest, IncrementalAlterConfigsResource,
    IncrementalAlterableConfig,
};
use factum_wire::{ErrorCode, Str};
use uuid::Uuid;

use super::cluster::{Cluster, Setting, Settings, TOPIC_RESOURCE, TopicView, View};
use crate::kafka_client::{ClientError, check};

/// The setting of a copy.
pub const MIRROR_SOURCE: &str = "factum.mirror.source";

const TIMEOUT_MS: i32 = 30_000;
/// The most topics in one request to make them.
const TOPICS_AT_ONCE: usize = 100;
/// IncrementalAlterConfigs: set a value.
const SET: i8 = 0;

/// A topic of the source and its copy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// Its name in the source.
    pub source: String,
    /// Its name in the target.
    pub target: String,
    /// How many partitions the source has.
    pub partitions: i32,
    /// What the copy's setting says.
    pub identity: String,
}

/// What is to be done that topics are copies.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Work {
    /// Those that are not there yet.
    pub create: Vec<Pair>,
    /// Those that have fewer partitions.
    pub grow: Vec<Pair>,
    /// Those that can be copied once that is done.
    pub copied: Vec<Pair>,
    /// By the topic's name in the source, why it cannot be copied.
    pub refused: BTreeMap<String, String>,
}

/// What a copy of a topic says of where it comes from.
pub fn identity(cluster: &str, topic: Uuid) -> String {
    if topic.is_nil() { cluster.to_owned() } else { format!("{cluster}/{topic}") }
}

/// Compares the source's topics with the target's, of which `sources` says what they are copies of.
pub fn compare(wanted: Vec<Pair>, target: &View, sources: &BTreeMap<String, String>) -> Work {
    let mut work = Work::default();
    for pair in wanted {
        let Some(there) = target.topics.get(&pair.target) else {
            work.create.push(pair.clone());
            work.copied.push(pair);
            continue;
        };
        match refusal(&pair, there, sources.get(&pair.target).map_or("", String::as_str)) {
            Some(why) => {
                work.refused.insert(pair.source, why);
            }
            None => {
                if partitions(there) < pair.partitions {
                    work.grow.push(pair.clone());
                }
                work.copied.push(pair);
            }
        }
    }
    work
}

fn refusal(pair: &Pair, there: &TopicView, source: &str) -> Option<String> {
    let Pair { target, identity, .. } = pair;
    if source.is_empty() {
        return Some(format!(
            "is left alone: {target} is there in the target and is no copy ({MIRROR_SOURCE} is not \
             set); delete it there, exclude it, or say --prefix"
        ));
    }
    if source != identity {
        let topic = |identity: &str| identity.split('/').next().map(str::to_owned);
        return Some(if topic(source) == topic(identity) {
            format!(
                "was deleted at the source and made anew; {target} is a copy of the one before: \
                 delete it in the target to copy the new one"
            )
        } else {
            format!("is left alone: {target} is a copy of {source}, not of {identity}")
        });
    }
    (partitions(there) > pair.partitions).then(|| {
        format!(
            "has {} partitions, but its copy {target} has {}: it cannot shrink",
            pair.partitions,
            partitions(there)
        )
    })
}

fn partitions(topic: &TopicView) -> i32 {
    i32::try_from(topic.leaders.len()).unwrap_or(i32::MAX)
}

impl Cluster {
    /// Makes and grows topics; what is refused goes from `work.copied` to `work.refused`.
    pub fn make(&mut self, work: &mut Work) -> Result<(), ClientError> {
        let mut refused = BTreeMap::new();
        for some in work.create.chunks(TOPICS_AT_ONCE) {
            let topics = some.iter().map(creatable).collect();
            let request =
                CreateTopicsRequest { topics, timeout_ms: TIMEOUT_MS, ..Default::default() };
            for topic in self.ask_any(&request)?.topics {
                note(&mut refused, &topic.name, topic.error_code, topic.error_message.as_deref());
            }
        }
        for some in work.grow.chunks(TOPICS_AT_ONCE) {
            let topics = some.iter().map(|pair| CreatePartitionsTopic {
                name: Str::from(pair.target.as_str()),
                count: pair.partitions,
                ..Default::default()
            });
            let request = CreatePartitionsRequest {
                topics: topics.collect(),
                timeout_ms: TIMEOUT_MS,
                ..Default::default()
            };
            for topic in self.ask_any(&request)?.results {
                note(&mut refused, &topic.name, topic.error_code, topic.error_message.as_deref());
            }
        }
        work.copied.retain(|pair| match refused.remove(&pair.target) {
            Some(why) => {
                work.refused.insert(pair.source.clone(), why);
                false
            }
            None => true,
        });
        Ok(())
    }

    /// Sets settings of a topic: all, or where one is refused, each on its own. What is refused
    /// comes back in words.
    pub fn configure(
        &mut self,
        topic: &str,
        changes: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, ClientError> {
        if changes.is_empty() || self.try_configure(topic, changes)?.is_none() {
            return Ok(Vec::new());
        }
        let mut refused = Vec::new();
        for (name, value) in changes {
            let one = BTreeMap::from([(name.clone(), value.clone())]);
            if let Some(why) = self.try_configure(topic, &one)? {
                refused.push(format!("{name}={value} ({why})"));
            }
        }
        Ok(refused)
    }

    fn try_configure(
        &mut self,
        topic: &str,
        changes: &BTreeMap<String, String>,
    ) -> Result<Option<String>, ClientError> {
        let configs = changes.iter().map(|(name, value)| IncrementalAlterableConfig {
            name: Str::from(name.as_str()),
            config_operation: SET,
            value: Some(Str::from(value.as_str())),
        });
        let request = IncrementalAlterConfigsRequest {
            resources: vec![IncrementalAlterConfigsResource {
                resource_type: TOPIC_RESOURCE,
                resource_name: Str::from(topic),
                configs: configs.collect(),
            }],
            validate_only: false,
        };
        let answer = self.ask_any(&request)?;
        let refused = answer.responses.iter().find(|one| one.error_code != 0);
        Ok(refused.map(|one| {
            let words = one.error_message.as_deref().map(str::to_owned);
            words.unwrap_or_else(|| crate::kafka_client::code_name(one.error_code))
        }))
    }
}

fn creatable(pair: &Pair) -> CreatableTopic {
    CreatableTopic {
        name: Str::from(pair.target.as_str()),
        num_partitions: pair.partitions,
        replication_factor: 1,
        configs: vec![CreatableTopicConfig {
            name: Str::from_static(MIRROR_SOURCE),
            value: Some(Str::from(pair.identity.as_str())),
        }],
        ..CreatableTopic::default()
    }
}

fn note(refused: &mut BTreeMap<String, String>, topic: &str, code: i16, words: Option<&str>) {
    // Another mirror was faster: the next look tells whether it is the same copy.
    if code != ErrorCode::TopicAlreadyExists.code()
        && let Err(error) = check(&format!("to make or grow {topic}"), code, words)
    {
        refused.insert(topic.to_owned(), error.to_string());
    }
}

/// What of a topic's settings becomes of those of its copy.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Reconfigured {
    /// To be set.
    pub set: BTreeMap<String, String>,
    /// Set at the source by the topic itself, and not kept by the target.
    pub unknown: Vec<String>,
}

/// Compares settings. What the source has from its brokers counts too: a copy must not lose
/// records sooner because another default holds here.
pub fn reconfigure(source: &Settings, target: &Settings) -> Reconfigured {
    let mut out = Reconfigured::default();
    for (name, Setting { value, own, .. }) in source {
        if name == MIRROR_SOURCE {
            continue;
        }
        match target.get(name) {
            Some(there) if there.value == *value => {}
            Some(there) if !there.fixed => {
                out.set.insert(name.clone(), value.clone());
            }
            _ if *own => out.unknown.push(format!("{name}={value}")),
            _ => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(name: &str, partitions: i32) -> Pair {
        let (source, target) = (name.to_owned(), format!("west.{name}"));
        Pair { source, target, partitions, identity: "C/T".to_owned() }
    }

    fn target(topics: &[(&str, i32)]) -> View {
        let topic = |&(name, partitions): &(&str, i32)| {
            let leaders = (0..partitions).map(|partition| (partition, None)).collect();
            (name.to_owned(), TopicView { leaders, ..TopicView::default() })
        };
        View { topics: topics.iter().map(topic).collect(), ..View::default() }
    }

    #[test]
    fn topics_are_made_and_grown_and_those_of_others_are_left_alone() {
        let names = ["new", "small", "same", "large", "plain", "other", "anew"];
        let there = target(&[
            ("west.small", 1),
            ("west.same", 2),
            ("west.large", 3),
            ("west.plain", 2),
            ("west.other", 2),
            ("west.anew", 2),
        ]);
        let sources = [
            ("west.small", "C/T"),
            ("west.same", "C/T"),
            ("west.large", "C/T"),
            ("west.plain", ""),
            ("west.other", "D/T"),
            ("west.anew", "C/U"),
        ];
        let sources = sources.map(|(name, source)| (name.to_owned(), source.to_owned())).into();
        let work = compare(names.iter().map(|name| pair(name, 2)).collect(), &there, &sources);
        let of =
            |pairs: &[Pair]| -> Vec<_> { pairs.iter().map(|pair| pair.source.clone()).collect() };
        assert_eq!(of(&work.create), ["new"]);
        assert_eq!(of(&work.grow), ["small"]);
        assert_eq!(of(&work.copied), ["new", "small", "same"]);
        assert!(work.refused["plain"].contains("is no copy"));
        assert!(work.refused["other"].contains("is a copy of D/T, not of C/T"));
        assert!(work.refused["anew"].contains("made anew"));
        assert!(work.refused["large"].contains("cannot shrink"));
    }

    #[test]
    fn settings_become_those_of_the_source_and_what_is_not_kept_is_named() {
        let settings = |all: &[(&str, &str, bool, bool)]| -> Settings {
            let one = |&(name, value, own, fixed): &(&str, &str, bool, bool)| {
                (name.to_owned(), Setting { value: value.to_owned(), own, fixed })
            };
            all.iter().map(one).collect()
        };
        let source = settings(&[
            ("cleanup.policy", "compact", true, false),
            ("retention.ms", "-1", false, false),
            ("segment.bytes", "100", true, false),
            ("min.insync.replicas", "2", true, false),
            ("remote.storage.enable", "true", true, false),
            ("leader.replication.throttled.replicas", "", false, false),
            (MIRROR_SOURCE, "X", true, false),
        ]);
        let target = settings(&[
            ("cleanup.policy", "delete", false, false),
            ("retention.ms", "604800000", false, false),
            ("segment.bytes", "100", true, false),
            ("min.insync.replicas", "1", false, true),
            (MIRROR_SOURCE, "C/T", true, false),
        ]);
        let out = reconfigure(&source, &target);
        let set = [("cleanup.policy", "compact"), ("retention.ms", "-1")];
        assert_eq!(out.set, set.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        assert_eq!(out.unknown, ["min.insync.replicas=2", "remote.storage.enable=true"]);
    }
}

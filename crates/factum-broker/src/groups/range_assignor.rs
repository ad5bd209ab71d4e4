//! The `range` assignor: who reads which partitions, as the Java client and librdkafka compute it.
//!
//! By topic: the members that subscribe to it are sorted, static ones first by their instance
//! ids, then the others by member id; each takes the next partitions, as many as the others, and
//! the first ones take one more while they do not divide evenly. So partitions of the same number
//! of topics with equally many partitions go to the same member. It knows no racks.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;

use super::JoinedMember;
use super::consumer_protocol::{Assignment, Subscription, TopicPartitions};

/// Its name as a protocol of a group.
pub const NAME: &str = "range";

/// A member with what it wants to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscriber {
    /// Its id.
    pub member_id: String,
    /// Its `group.instance.id`.
    pub instance_id: Option<String>,
    /// The topics that it subscribes to.
    pub topics: Vec<String>,
}

impl Subscriber {
    /// Static members come first.
    fn rank(&self) -> (bool, Option<&str>, &str) {
        (self.instance_id.is_none(), self.instance_id.as_deref(), &self.member_id)
    }
}

/// The assignments that a leader brings to the group, from what its join was answered and the
/// number of partitions of a topic, if the topic exists. A member whose metadata is not a
/// subscription gets nothing.
pub fn assign_encoded(
    members: &[JoinedMember],
    partitions: &dyn Fn(&str) -> Option<u32>,
) -> Vec<(String, Bytes)> {
    let subscriber = |member: &JoinedMember| Subscriber {
        member_id: member.member_id.clone(),
        instance_id: member.instance_id.clone(),
        topics: Subscription::decode_topics(&member.metadata).unwrap_or_default(),
    };
    let subscribers: Vec<_> = members.iter().map(subscriber).collect();
    let encode = |(member_id, partitions)| {
        // Version 0, which every client reads; topics came as strings of the same protocol, so
        // they fit.
        let assignment = Assignment { partitions, user_data: None };
        (member_id, assignment.encode(0).unwrap_or_default())
    };
    assign(&subscribers, partitions).into_iter().map(encode).collect()
}

/// Each member's partitions, by member id and topic; every member has an entry.
#[must_use]
pub fn assign(
    members: &[Subscriber],
    partitions: &dyn Fn(&str) -> Option<u32>,
) -> BTreeMap<String, Vec<TopicPartitions>> {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort_by(|a, b| a.rank().cmp(&b.rank()));
    let mut readers: BTreeMap<&str, Vec<&Subscriber>> = BTreeMap::new();
    for member in sorted {
        // A topic that a member names twice counts once.
        for topic in member.topics.iter().map(String::as_str).collect::<BTreeSet<_>>() {
            readers.entry(topic).or_default().push(member);
        }
    }
    let mut assignments: BTreeMap<_, _> =
        members.iter().map(|m| (m.member_id.clone(), Vec::new())).collect();
    for (topic, readers) in readers {
        let count = partitions(topic).and_then(|count| i32::try_from(count).ok()).unwrap_or(0);
        for (member, range) in readers.iter().zip(ranges(count, readers.len())) {
            if let Some(assigned) = assignments.get_mut(&member.member_id)
                && !range.is_empty()
            {
                let topic = topic.to_owned();
                assigned.push(TopicPartitions { topic, partitions: range.collect() });
            }
        }
    }
    assignments
}

/// `count` partitions in `readers` ranges; the first ones are longer by one at most.
pub(super) fn ranges(count: i32, readers: usize) -> impl Iterator<Item = std::ops::Range<i32>> {
    let readers = i32::try_from(readers).unwrap_or(i32::MAX).max(1);
    let (each, extra) = (count / readers, count % readers);
    (0..readers).map(move |index| {
        let start = index * each + index.min(extra);
        start..start + each + i32::from(index < extra)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subscriber(member_id: &str, instance_id: Option<&str>, topics: &[&str]) -> Subscriber {
        Subscriber {
            member_id: member_id.to_owned(),
            instance_id: instance_id.map(str::to_owned),
            topics: topics.iter().map(|&topic| topic.to_owned()).collect(),
        }
    }

    fn shown(members: &[Subscriber], partitions: &[(&str, u32)]) -> String {
        let counts: BTreeMap<_, _> = partitions.iter().copied().collect();
        let assigned = assign(members, &|topic| counts.get(topic).copied());
        let topic = |t: &TopicPartitions| format!("{}{:?}", t.topic, t.partitions);
        let member = |(id, topics): (&String, &Vec<TopicPartitions>)| {
            format!("{id}: {}", topics.iter().map(topic).collect::<Vec<_>>().join(" "))
        };
        assigned.iter().map(member).collect::<Vec<_>>().join("; ")
    }

    #[test]
    fn the_first_members_take_what_does_not_divide_evenly() {
        let members = [subscriber("c2", None, &["t"]), subscriber("c1", None, &["t"])];
        assert_eq!(shown(&members, &[("t", 3)]), "c1: t[0, 1]; c2: t[2]");
    }

    #[test]
    fn each_topic_is_divided_on_its_own() {
        let members = [subscriber("c1", None, &["t", "u"]), subscriber("c2", None, &["u", "t"])];
        let expected = "c1: t[0, 1] u[0, 1]; c2: t[2] u[2]";
        assert_eq!(shown(&members, &[("t", 3), ("u", 3)]), expected);
    }

    #[test]
    fn only_subscribers_of_a_topic_that_exists_get_partitions() {
        let members = [
            subscriber("c1", None, &["t"]),
            subscriber("c2", None, &["t", "u", "gone"]),
            subscriber("c3", None, &["t"]),
        ];
        let expected = "c1: t[0]; c2: t[1] u[0, 1]; c3: t[2]";
        assert_eq!(shown(&members, &[("t", 3), ("u", 2)]), expected);
    }

    #[test]
    fn members_beyond_the_partitions_get_nothing() {
        let members = [subscriber("c1", None, &["t"]), subscriber("c2", None, &["t"])];
        assert_eq!(shown(&members, &[("t", 1)]), "c1: t[0]; c2: ");
    }

    #[test]
    fn static_members_come_first_by_instance_id() {
        let members = [
            subscriber("a", None, &["t"]),
            subscriber("z", Some("i1"), &["t"]),
            subscriber("b", Some("i2"), &["t"]),
        ];
        assert_eq!(shown(&members, &[("t", 4)]), "a: t[3]; b: t[2]; z: t[0, 1]");
    }

    #[test]
    fn metadata_that_is_no_subscription_gets_nothing() {
        let member = |id: &str, metadata| JoinedMember {
            member_id: id.to_owned(),
            instance_id: None,
            metadata,
        };
        let good = Subscription::of(["t".to_owned()]).encode(3).unwrap();
        let members = [member("a", Bytes::from_static(b"?")), member("b", good)];
        let assigned = assign_encoded(&members, &|_| Some(2));
        let decoded: Vec<_> = assigned
            .into_iter()
            .map(|(id, bytes)| (id, Assignment::decode(&bytes).unwrap().partitions))
            .collect();
        let all = vec![TopicPartitions { topic: "t".to_owned(), partitions: vec![0, 1] }];
        assert_eq!(decoded, [("a".to_owned(), vec![]), ("b".to_owned(), all)]);
    }

    proptest! {
        #[test]
        fn every_partition_goes_once_to_a_subscriber_and_evenly(
            subscriptions in prop::collection::vec(
                (prop::collection::btree_set("[tuv]", 0..4), any::<bool>()), 0..9),
            counts in prop::collection::btree_map("[tuv]", 0_u32..20, 0..4),
        ) {
            let members: Vec<_> = subscriptions.iter().enumerate().map(|(i, (topics, fixed))| {
                let instance_id = fixed.then(|| format!("i{i}"));
                Subscriber {
                    member_id: format!("m{i}"),
                    instance_id,
                    topics: topics.iter().cloned().collect(),
                }
            }).collect();
            let assigned = assign(&members, &|topic| counts.get(topic).copied());
            prop_assert_eq!(assigned.len(), members.len());
            let mut seen = BTreeSet::new();
            for member in &members {
                for topic in &assigned[&member.member_id] {
                    prop_assert!(member.topics.contains(&topic.topic));
                    for partition in &topic.partitions {
                        prop_assert!(seen.insert((topic.topic.clone(), *partition)), "twice");
                    }
                }
            }
            for (topic, count) in &counts {
                let readers: Vec<_> =
                    members.iter().filter(|m| m.topics.contains(topic)).collect();
                let expected = if readers.is_empty() { 0 } else { *count };
                let given = seen.iter().filter(|(t, _)| t == topic).count();
                prop_assert_eq!(given, expected as usize);
                let shares: Vec<_> = readers.iter().map(|m| {
                    let of = assigned[&m.member_id].iter().find(|t| &t.topic == topic);
                    of.map_or(0, |t| t.partitions.len())
                }).collect();
                let (least, most) = (shares.iter().min(), shares.iter().max());
                prop_assert!(most.zip(least).is_none_or(|(most, least)| most - least <= 1));
            }
        }
    }
}

//! Committed offsets of consumer groups: what a group has read at the source, it has read here.
//!
//! Records keep their offsets, so an offset is committed as it is. It is not committed behind what
//! was copied, where a consumer would find nothing and begin anew; and never is an offset of the
//! target moved back, since the group may have gone on there. Who has members in the target rules
//! its offsets itself: the target refuses to have them changed.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use factum_wire::messages::{
    ListGroupsRequest, OffsetCommitRequest, OffsetCommitRequestPartition, OffsetCommitRequestTopic,
    OffsetFetchRequest, OffsetFetchResponse,
};
use factum_wire::{ErrorCode, Str};

use super::cluster::{Cluster, Place};
use super::error::MirrorError;
use super::selection::Selection;
use crate::kafka_client::{ClientError, check, code_name};

/// What consumers commit in: other protocols use groups for other things.
const CONSUMER: &str = "consumer";

/// A committed offset with what its consumer has noted.
type Commit = (i64, Option<String>);
type Commits = BTreeMap<Place, Commit>;

/// Where the places of the source are in the target: topic, and the offset up to where it was
/// copied.
pub trait Copies {
    /// None where it is not copied.
    fn of(&self, source: &Place) -> Option<(String, i64)>;
}

/// The groups and what was committed for them.
#[derive(Debug, Default)]
pub struct Groups {
    /// What the target has of each group, as far as this mirror has committed it.
    done: HashMap<String, Commits>,
}

/// What one look at the groups has brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Synced {
    /// The groups that the target has.
    pub groups: BTreeSet<String>,
    /// Those that have members in the target, which rule their offsets.
    pub left: BTreeSet<String>,
    /// Why the offsets of others are not those of the source, by group; the next look tries again.
    pub troubles: BTreeMap<String, String>,
}

/// What the target made of a commit.
#[derive(Debug, PartialEq, Eq)]
enum Taken {
    /// It has it.
    Yes,
    /// The group has members there, which rule its offsets.
    LeftToMembers,
    /// It does not take it, and why.
    No(String),
}

impl Groups {
    /// Brings the offsets of the target's groups to those of the source.
    pub fn sync(
        &mut self,
        (source, brokers): (&mut Cluster, &BTreeSet<String>),
        target: &mut Cluster,
        selection: &Selection,
        copies: &dyn Copies,
    ) -> Result<Synced, MirrorError> {
        let mut synced = Synced::default();
        for broker in brokers {
            for group in groups(source, broker, selection).map_err(MirrorError::Source)? {
                let answer =
                    source.ask(broker, &all_offsets(&group)).map_err(MirrorError::Source)?;
                if answer.error_code != 0 {
                    if !is_moving(answer.error_code) {
                        let why = format!(
                            "has offsets that the source does not tell: it says {}",
                            code_name(answer.error_code)
                        );
                        synced.troubles.insert(group, why);
                    }
                    continue;
                }
                let wanted = wanted(&commits(&answer), copies);
                if wanted.is_empty() {
                    continue;
                }
                let taken = self.bring(target, &group, wanted).map_err(MirrorError::Target)?;
                match taken {
                    Taken::Yes => drop(synced.groups.insert(group)),
                    Taken::LeftToMembers => drop(synced.left.insert(group)),
                    Taken::No(why) => drop(synced.troubles.insert(group, why)),
                }
            }
        }
        Ok(synced)
    }

    /// Commits for a group what was not committed yet.
    fn bring(
        &mut self,
        target: &mut Cluster,
        group: &str,
        wanted: Commits,
    ) -> Result<Taken, ClientError> {
        if self.done.get(group) == Some(&wanted) {
            return Ok(Taken::Yes);
        }
        let taken = commit(target, group, &wanted)?;
        if taken == Taken::Yes {
            self.done.insert(group.to_owned(), wanted);
        }
        Ok(taken)
    }
}

/// The groups of consumers that a broker coordinates.
fn groups(
    source: &mut Cluster,
    broker: &str,
    selection: &Selection,
) -> Result<Vec<String>, ClientError> {
    let answer = source.ask(broker, &ListGroupsRequest::default())?;
    // While a coordinator loads its groups, there are none to be seen.
    if !is_moving(answer.error_code) {
        check("to list groups", answer.error_code, None)?;
    }
    let groups = answer.groups.iter().filter(|group| {
        let protocol = &*group.protocol_type;
        (protocol.is_empty() || protocol == CONSUMER) && selection.has(&group.group_id)
    });
    Ok(groups.map(|group| group.group_id.to_string()).collect())
}

fn is_moving(code: i16) -> bool {
    let passing = [
        ErrorCode::CoordinatorNotAvailable,
        ErrorCode::CoordinatorLoadInProgress,
        ErrorCode::NotCoordinator,
        ErrorCode::GroupIdNotFound,
    ];
    passing.iter().any(|known| known.code() == code)
}

fn all_offsets(group: &str) -> OffsetFetchRequest {
    OffsetFetchRequest { group_id: Str::from(group), topics: None, ..Default::default() }
}

fn commits(answer: &OffsetFetchResponse) -> Commits {
    let mut commits = Commits::new();
    for topic in &answer.topics {
        for partition in &topic.partitions {
            if partition.error_code == 0 && partition.committed_offset >= 0 {
                let (topic, partition_index) = (topic.name.to_string(), partition.partition_index);
                let place = Place { topic, partition: partition_index };
                let metadata = partition.metadata.as_ref().map(ToString::to_string);
                commits.insert(place, (partition.committed_offset, metadata));
            }
        }
    }
    commits
}

/// What the target is to have, by its own topics.
fn wanted(source: &Commits, copies: &dyn Copies) -> Commits {
    let here = |(place, (offset, metadata)): (&Place, &Commit)| {
        let (topic, copied) = copies.of(place)?;
        let partition = place.partition;
        if copied == 0 && *offset > 0 {
            return None;
        }
        Some((Place { topic, partition }, (copied.min(*offset), metadata.clone())))
    };
    source.iter().filter_map(here).collect()
}

/// Commits what moves a group on. That one group is refused does not hinder the others.
fn commit(target: &mut Cluster, group: &str, wanted: &Commits) -> Result<Taken, ClientError> {
    let answer = target.ask_any(&all_offsets(group))?;
    if answer.error_code != 0 {
        return Ok(refusal(answer.error_code));
    }
    let there = commits(&answer);
    let mut topics: BTreeMap<&str, Vec<OffsetCommitRequestPartition>> = BTreeMap::new();
    for (place, (offset, metadata)) in ahead(wanted, &there) {
        topics.entry(&place.topic).or_default().push(OffsetCommitRequestPartition {
            partition_index: place.partition,
            committed_offset: *offset,
            committed_metadata: metadata.as_deref().map(Str::from),
            ..Default::default()
        });
    }
    if topics.is_empty() {
        return Ok(Taken::Yes);
    }
    let topics = topics.into_iter().map(|(name, partitions)| OffsetCommitRequestTopic {
        name: Str::from(name),
        partitions,
        ..Default::default()
    });
    let request = OffsetCommitRequest {
        group_id: Str::from(group),
        topics: topics.collect(),
        ..Default::default()
    };
    let answer = target.ask_any(&request)?;
    let mut codes = answer.topics.iter().flat_map(|topic| &topic.partitions);
    let refused = codes.find(|partition| partition.error_code != 0);
    Ok(refused.map_or(Taken::Yes, |partition| refusal(partition.error_code)))
}

/// Those that are further on than what is there.
fn ahead<'a>(
    wanted: &'a Commits,
    there: &'a Commits,
) -> impl Iterator<Item = (&'a Place, &'a Commit)> {
    wanted.iter().filter(|(place, (offset, _))| {
        there.get(*place).is_none_or(|(committed, _)| committed < offset)
    })
}

fn refusal(code: i16) -> Taken {
    let active = [
        ErrorCode::UnknownMemberId,
        ErrorCode::IllegalGeneration,
        ErrorCode::RebalanceInProgress,
        ErrorCode::StaleMemberEpoch,
    ];
    if active.iter().any(|known| known.code() == code) {
        Taken::LeftToMembers
    } else {
        Taken::No(format!("has other offsets in the target, which says {}", code_name(code)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct To(BTreeMap<Place, i64>);

    impl Copies for To {
        fn of(&self, source: &Place) -> Option<(String, i64)> {
            Some((format!("west.{}", source.topic), *self.0.get(source)?))
        }
    }

    fn place(topic: &str, partition: i32) -> Place {
        Place { topic: topic.to_owned(), partition }
    }

    fn commits_at(all: &[(&str, i64)]) -> Commits {
        all.iter().map(|(topic, offset)| (place(topic, 0), (*offset, None))).collect()
    }

    #[test]
    fn offsets_are_committed_as_they_are_but_not_behind_what_was_copied() {
        let source = commits_at(&[("a", 5), ("b", 50), ("c", 5)]);
        let copies = To([(place("a", 0), 10), (place("b", 0), 10)].into());
        assert_eq!(wanted(&source, &copies), commits_at(&[("west.a", 5), ("west.b", 10)]));
    }

    #[test]
    fn a_group_is_never_moved_back() {
        let wanted = commits_at(&[("a", 5), ("b", 5), ("c", 5)]);
        let there = commits_at(&[("a", 7), ("b", 3)]);
        let moved: Vec<_> = ahead(&wanted, &there).map(|(place, _)| place.topic.clone()).collect();
        assert_eq!(moved, ["b", "c"]);
    }

    #[test]
    fn a_refusal_is_either_the_members_right_or_a_trouble() {
        assert_eq!(refusal(ErrorCode::UnknownMemberId.code()), Taken::LeftToMembers);
        let denied = ErrorCode::GroupAuthorizationFailed;
        let Taken::No(why) = refusal(denied.code()) else { panic!("it is no member") };
        assert!(why.contains(denied.name()), "{why}");
    }
}

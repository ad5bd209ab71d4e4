//! Committing, reading and deleting the offsets of consumer groups.

use std::collections::BTreeSet;

use factum_event::{GroupName, Offset, Partition, TopicName};
use thiserror::Error;

use crate::Broker;
use crate::fold::FoldError;
use crate::groups::GroupError;
use crate::offsets::{
    self, CommitChange, CommitKey, Committed, MAX_METADATA_BYTES, OFFSETS_TOPIC, OFFSETS_TOPIC_ID,
};
use crate::produce::ProduceError;

/// An offset to be committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Commit {
    /// The topic.
    pub topic: TopicName,
    /// The partition.
    pub partition: Partition,
    /// The offset of the next record to process.
    pub offset: Offset,
    /// The leader epoch that the client knows, or -1.
    pub leader_epoch: i32,
    /// Whatever the client wants to keep with it.
    pub metadata: String,
}

/// Why an offset was not committed or deleted.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum CommitError {
    /// No such topic or partition.
    #[error("topic {topic} has no partition {partition}")]
    UnknownPartition {
        /// The topic.
        topic: TopicName,
        /// The partition.
        partition: Partition,
    },
    /// Metadata above the limit.
    #[error("metadata of {came} bytes; at most {MAX_METADATA_BYTES} are kept with an offset")]
    MetadataTooLarge {
        /// What came.
        came: usize,
    },
    /// As many offsets as are kept.
    #[error("{limit} committed offsets are kept already; delete groups that are no longer used")]
    TooMany {
        /// The limit.
        limit: usize,
    },
    /// The group does not allow it.
    #[error(transparent)]
    Group(#[from] GroupError),
    /// The log takes nothing.
    #[error(transparent)]
    Produce(#[from] ProduceError),
    /// It is durable, but could not be applied; a restart applies it.
    #[error(transparent)]
    Fold(#[from] FoldError),
}

/// The changes of those commits that can be taken, and for each commit whether it can.
type CheckedCommits = (Vec<CommitChange>, Vec<Result<(), CommitError>>);

impl Broker {
    /// Commits offsets, durably; says for each, in their order, whether it was taken. Whether
    /// the committer may is for the caller to ask ([`Groups::validate_commit`]).
    ///
    /// # Errors
    /// [`CommitError`] where none was.
    ///
    /// [`Groups::validate_commit`]: crate::groups::Groups::validate_commit
    pub async fn commit_offsets(
        &self,
        group: &GroupName,
        commits: Vec<Commit>,
    ) -> Result<Vec<Result<(), CommitError>>, CommitError> {
        let (changes, results) = self.check_commits(group, commits)?;
        self.change_offsets(&changes).await?;
        Ok(results)
    }

    /// The changes of those commits that can be taken, and for each commit whether it can.
    pub(crate) fn check_commits(
        &self,
        group: &GroupName,
        commits: Vec<Commit>,
    ) -> Result<CheckedCommits, CommitError> {
        let limit = self.settings().max_committed_offsets;
        if self.offsets().len().saturating_add(commits.len()) > limit {
            return Err(CommitError::TooMany { limit });
        }
        let mut results = Vec::with_capacity(commits.len());
        let mut changes = Vec::with_capacity(commits.len());
        for commit in commits {
            let change = self.check_commit(group, commit);
            results.push(change.map(|change| changes.push(change)));
        }
        Ok((changes, results))
    }

    fn check_commit(&self, group: &GroupName, commit: Commit) -> Result<CommitChange, CommitError> {
        let Commit { topic, partition, offset, leader_epoch, metadata } = commit;
        let known = self.topic(topic.as_str());
        let Some(known) = known.filter(|known| known.partition_id(partition).is_some()) else {
            return Err(CommitError::UnknownPartition { topic, partition });
        };
        if metadata.len() > MAX_METADATA_BYTES {
            return Err(CommitError::MetadataTooLarge { came: metadata.len() });
        }
        let committed_at = self.clock().now();
        let topic_id = known.id;
        let committed = Committed { offset, leader_epoch, metadata, committed_at, topic_id };
        Ok((CommitKey { group: group.clone(), topic, partition }, Some(committed)))
    }

    /// Deletes committed offsets of a group, durably; those that are not there are skipped. A group
    /// does not end with its last offset: it is known for as long as one that its members have left.
    ///
    /// # Errors
    /// [`CommitError`].
    pub async fn delete_offsets(
        &self,
        group: &GroupName,
        partitions: impl IntoIterator<Item = (TopicName, Partition)>,
    ) -> Result<(), CommitError> {
        let had_some = self.offsets().has(group.as_str());
        self.drop_offsets(group, partitions).await?;
        if had_some {
            self.remember_without_offsets(group);
        }
        Ok(())
    }

    fn remember_without_offsets(&self, group: &GroupName) {
        if !self.offsets().has(group.as_str()) {
            self.groups().remember(self.clock().monotonic(), group);
        }
    }

    async fn drop_offsets(
        &self,
        group: &GroupName,
        partitions: impl IntoIterator<Item = (TopicName, Partition)>,
    ) -> Result<(), CommitError> {
        let there = |(topic, partition): &(TopicName, Partition)| {
            self.offsets().get(group.as_str(), topic, *partition).is_some()
        };
        let change =
            |(topic, partition)| (CommitKey { group: group.clone(), topic, partition }, None);
        let changes: Vec<_> = partitions.into_iter().filter(there).map(change).collect();
        self.change_offsets(&changes).await
    }

    /// Deletes a group that has no members, with its offsets.
    ///
    /// # Errors
    /// [`CommitError::Group`] where it has members, or neither members nor offsets.
    pub async fn delete_group(&self, group: &GroupName) -> Result<(), CommitError> {
        let offsets = self.offsets().of(group.as_str());
        match self.groups().delete(group) {
            Err(GroupError::GroupIdNotFound) if !offsets.is_empty() => {}
            deleted => deleted?,
        }
        let partitions = offsets.into_iter().map(|(topic, partition, _)| (topic, partition));
        self.drop_offsets(group, partitions).await
    }

    /// Deletes offsets that nobody can ask for any more, so that compaction can drop them. Their
    /// groups stay known for a while.
    pub(crate) async fn forget_offsets(&self, keys: Vec<CommitKey>) {
        let groups: BTreeSet<_> = keys.iter().map(|key| key.group.clone()).collect();
        groups.iter().for_each(|group| self.remember_without_offsets(group));
        let changes: Vec<_> = keys.into_iter().map(|key| (key, None)).collect();
        if let Err(error) = self.change_offsets(&changes).await {
            tracing::warn!(%error, "offsets of a deleted topic take room in {OFFSETS_TOPIC}");
        }
    }

    /// Catches up with all commits that are durable, also those of transactions, and those whose
    /// committer did not wait for the answer.
    ///
    /// # Errors
    /// [`FoldError`].
    pub async fn refresh_offsets(&self) -> Result<(), FoldError> {
        self.apply_commits().await
    }

    /// A committed offset.
    #[must_use]
    pub fn committed(
        &self,
        group: &GroupName,
        topic: &TopicName,
        partition: Partition,
    ) -> Option<Committed> {
        self.offsets().get(group.as_str(), topic, partition)
    }

    /// All committed offsets of a group, by topic and partition.
    #[must_use]
    pub fn all_committed(&self, group: &GroupName) -> Vec<(TopicName, Partition, Committed)> {
        self.offsets().of(group.as_str())
    }

    /// The groups that have committed offsets.
    #[must_use]
    pub fn groups_with_offsets(&self) -> Vec<GroupName> {
        self.offsets().groups()
    }

    /// Whether there is such a group: with members, until recently, or with offsets.
    #[must_use]
    pub fn knows_group(&self, group: &GroupName) -> bool {
        self.groups().kind(group).is_some() || self.offsets().has(group.as_str())
    }

    async fn change_offsets(&self, changes: &[CommitChange]) -> Result<(), CommitError> {
        if changes.is_empty() {
            return Ok(());
        }
        let now = self.clock().now();
        let records: Vec<_> = changes.iter().map(|change| offsets::encode(change, now)).collect();
        self.append_own(OFFSETS_TOPIC_ID, &records).await?;
        Ok(self.apply_commits().await?)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use factum_event::log::NewTopic;
    use factum_event::{EventLog, SystemClock};
    use factum_log::disk::sim::SimDisk;

    use super::*;
    use crate::BrokerSettings;
    use crate::groups::GroupSettings;

    #[test]
    fn groups_that_lose_their_offsets_with_a_topic_do_not_drive_others_out() {
        let groups = GroupSettings { max_groups: 2, ..Default::default() };
        let settings = BrokerSettings { groups, ..Default::default() };
        let (disk, clock) = (Arc::new(SimDisk::new(1)), Arc::new(SystemClock::new()));
        let broker = Broker::open(disk, clock, settings).unwrap().0;
        let orders: TopicName = "orders".parse().unwrap();
        let created = EventLog::create_topic(&broker, NewTopic::named(orders.clone()));
        pollster::block_on(created).unwrap();
        let [resting, first, second] =
            ["resting", "a", "b"].map(|name| GroupName::new(name).unwrap());
        broker.groups().remember(Duration::ZERO, &resting);
        for group in [&first, &second] {
            let commit = Commit {
                topic: orders.clone(),
                partition: Partition::ZERO,
                offset: Offset::ZERO,
                leader_epoch: -1,
                metadata: String::new(),
            };
            pollster::block_on(broker.commit_offsets(group, vec![commit])).unwrap();
        }
        pollster::block_on(broker.delete_topic("tester", &orders)).unwrap();
        assert!(broker.knows_group(&resting) && broker.knows_group(&first));
        assert!(!broker.knows_group(&second), "there is no room for it");
    }
}

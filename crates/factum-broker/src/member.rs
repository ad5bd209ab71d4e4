//! A member of a consumer group in this process: it shares partitions with Kafka clients through
//! the same coordinator, with Kafka's `range` assignor.
//!
//! It never expires by silence, as it cannot vanish without the process; it leaves when dropped.
//! A member that takes longer than five minutes to come back to
//! [`next`](GroupMember::next) while the others rebalance loses its partitions to them.

use std::collections::BTreeMap;
use std::time::Duration;

use factum_event::log::{GroupMember, ReadLimit, Result, Start, TopicPartition};
use factum_event::{
    BoxFuture, EventLog, GroupName, LogError, Offset, Place, StoredRecord, TopicName,
};
use factum_log::{PartitionId, Waiter};
use tokio::sync::watch;

use crate::Broker;
use crate::errors::group_error;
use crate::group_info::assigned;
use crate::groups::consumer_protocol::{PROTOCOL_TYPE, Subscription};
use crate::groups::{
    GroupError, JoinRequest, Joined, Leaving, MemberRef, Protocol, SyncRequest, range_assignor,
};

/// How long the others wait for this member in a rebalance (Kafka's `max.poll.interval.ms`).
pub(crate) const REBALANCE_TIMEOUT: Duration = Duration::from_secs(300);

/// Rebalances in a row that interrupt one another before a join gives up.
const MAX_ROUNDS: usize = 100;

/// The version of Kafka's consumer protocol that this member speaks.
const PROTOCOL_VERSION: i16 = 1;

pub(crate) struct Member {
    broker: Broker,
    group: GroupName,
    topics: Vec<TopicName>,
    start: Start,
    membership: Membership,
    /// Where to read on, for each partition that this member has.
    positions: BTreeMap<TopicPartition, Offset>,
    /// What was handed out since the last commit: where to read on after it.
    delivered: BTreeMap<TopicPartition, Offset>,
    /// Where reading goes on among the partitions, so that each gets its turn.
    turn: usize,
}

/// This member's standing with the coordinator.
#[derive(Default)]
struct Membership {
    member_id: String,
    generation: i32,
    leader: bool,
    rebalances: Option<(watch::Receiver<u64>, u64)>,
    topic_changes: Option<watch::Receiver<u64>>,
}

impl Member {
    pub(crate) async fn join(
        broker: Broker,
        group: GroupName,
        topics: Vec<TopicName>,
        start: Start,
    ) -> Result<Self> {
        let mut member = Self {
            broker,
            group,
            topics,
            start,
            membership: Membership::default(),
            positions: BTreeMap::new(),
            delivered: BTreeMap::new(),
            turn: 0,
        };
        member.rejoin().await?;
        Ok(member)
    }

    /// Takes part in the rebalance until this member has its partitions.
    async fn rejoin(&mut self) -> Result<()> {
        for _ in 0..MAX_ROUNDS {
            match self.round().await {
                Ok(partitions) => {
                    self.take_over(partitions).await?;
                    return Ok(());
                }
                Err(GroupError::UnknownMemberId) => self.membership.member_id.clear(),
                Err(GroupError::MemberIdRequired { member_id }) => {
                    self.membership.member_id = member_id;
                }
                Err(GroupError::RebalanceInProgress | GroupError::IllegalGeneration { .. }) => {}
                Err(error) => return Err(group_error(&error)),
            }
        }
        Err(LogError::InvalidRequest(format!(
            "consumer group {} rebalanced {MAX_ROUNDS} times without coming to rest",
            self.group
        )))
    }

    async fn round(&mut self) -> Result<Vec<TopicPartition>, GroupError> {
        let topic_changes = self.broker.topic_changes();
        let joined =
            self.broker.groups().join(self.now(), self.join_request()?, &self.broker).await?;
        self.membership.member_id.clone_from(&joined.member_id);
        self.membership.generation = joined.generation;
        self.membership.leader = joined.is_leader();
        self.membership.topic_changes = Some(topic_changes);
        let watch = self.broker.groups().watch(&self.group);
        self.membership.rebalances = watch.map(|watch| (watch, joined.rebalances));
        let synced = self.broker.groups().sync(self.now(), self.sync_request(&joined)).await?;
        Ok(assigned(&synced.assignment))
    }

    fn join_request(&self) -> Result<JoinRequest, GroupError> {
        let topics = self.topics.iter().map(|topic| topic.as_str().to_owned());
        let metadata = Subscription::of(topics)
            .encode(PROTOCOL_VERSION)
            .map_err(|error| GroupError::InvalidRequest(error.to_string()))?;
        Ok(JoinRequest {
            group: self.group.clone(),
            member_id: self.membership.member_id.clone(),
            instance_id: None,
            client_id: "factum".to_owned(),
            client_host: "in-process".to_owned(),
            session_timeout: None,
            rebalance_timeout: REBALANCE_TIMEOUT,
            protocol_type: PROTOCOL_TYPE.to_owned(),
            protocols: vec![Protocol { name: range_assignor::NAME.to_owned(), metadata }],
            require_member_id: false,
            skip_assignment: false,
            reason: None,
        })
    }

    fn sync_request(&self, joined: &Joined) -> SyncRequest {
        let partitions = |topic: &str| Some(self.broker.topic(topic)?.partition_count());
        let assignments = if joined.is_leader() {
            range_assignor::assign_encoded(&joined.members, &partitions)
        } else {
            Vec::new()
        };
        SyncRequest {
            group: self.group.clone(),
            generation: joined.generation,
            member_id: joined.member_id.clone(),
            instance_id: None,
            protocol_type: Some(joined.protocol_type.clone()),
            protocol: Some(joined.protocol.clone()),
            assignments,
        }
    }

    /// Goes on where the group is in each partition.
    async fn take_over(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.delivered.clear();
        self.positions.clear();
        self.broker.refresh_offsets().await?;
        for (topic, partition) in partitions {
            let committed = self.broker.committed(&self.group, &topic, partition);
            let offset = match (committed, self.start) {
                (Some(committed), _) => committed.offset,
                (None, Start::Earliest) => self.find(&topic, partition, Place::Start).await?,
                (None, Start::Latest) => self.find(&topic, partition, Place::End).await?,
            };
            self.positions.insert((topic, partition), offset);
        }
        Ok(())
    }

    async fn find(
        &self,
        topic: &TopicName,
        partition: factum_event::Partition,
        place: Place,
    ) -> Result<Offset> {
        match EventLog::locate(&self.broker, topic, partition, place).await {
            Ok(located) => Ok(located.offset),
            // Deleted since it was assigned: there is nothing to read.
            Err(LogError::UnknownTopic(_) | LogError::UnknownPartition { .. }) => Ok(Offset::ZERO),
            Err(error) => Err(error),
        }
    }

    fn rebalance_began(&self) -> bool {
        let later = |(watch, seen): &(watch::Receiver<u64>, u64)| *watch.borrow() > *seen;
        self.membership.rebalances.as_ref().is_none_or(later) || self.must_lead_anew()
    }

    /// Whether topics changed since this member, as the leader, handed out their partitions.
    fn must_lead_anew(&self) -> bool {
        let changed = |changes: &watch::Receiver<u64>| changes.has_changed().unwrap_or(false);
        self.membership.leader && self.membership.topic_changes.as_ref().is_some_and(changed)
    }

    async fn next_records(&mut self) -> Result<Vec<StoredRecord>> {
        loop {
            if self.rebalance_began() {
                self.rejoin().await?;
            }
            let mut waiter = self.broker.log().waiter(&self.partition_ids());
            match self.read_in_turn().await? {
                Some(records) if records.is_empty() => continue,
                Some(records) => return Ok(records),
                None => {}
            }
            if self.broker.log().is_closed() {
                return Err(LogError::Closed);
            }
            self.wait(&mut waiter).await;
        }
    }

    fn partition_ids(&self) -> Vec<PartitionId> {
        let id = |(topic, partition): &TopicPartition| {
            self.broker.topic(topic.as_str())?.partition_id(*partition)
        };
        self.positions.keys().filter_map(id).collect()
    }

    /// The records of the next partition that has some; none where there are none now, and
    /// nothing if only records were passed over that do not count.
    async fn read_in_turn(&mut self) -> Result<Option<Vec<StoredRecord>>> {
        let mut passed = false;
        let partitions: Vec<_> =
            self.positions.iter().map(|(at, from)| (at.clone(), *from)).collect();
        for step in 0..partitions.len() {
            let turn = (self.turn + step) % partitions.len();
            let ((topic, partition), from) = &partitions[turn];
            let read = self.broker.read(topic, *partition, *from, ReadLimit::default()).await;
            let chunk = match read {
                Ok(chunk) => chunk,
                Err(LogError::UnknownTopic(_) | LogError::UnknownPartition { .. }) => continue,
                Err(error) => return Err(error),
            };
            if chunk.records.is_empty() {
                // What was aborted or compacted is passed over; what is behind it comes next time.
                passed |= chunk.next > *from;
                self.positions.insert((topic.clone(), *partition), chunk.next);
                continue;
            }
            self.turn = turn + 1;
            self.positions.insert((topic.clone(), *partition), chunk.next);
            self.delivered.insert((topic.clone(), *partition), chunk.next);
            return Ok(Some(chunk.records));
        }
        Ok(passed.then(Vec::new))
    }

    /// Waits for records or a rebalance.
    async fn wait(&mut self, waiter: &mut Waiter) {
        let Membership { leader, rebalances, topic_changes, .. } = &mut self.membership;
        let Some((rebalances, seen)) = rebalances else { return };
        let topics_changed = async {
            match topic_changes {
                Some(changes) if *leader => drop(changes.clone().changed().await),
                _ => std::future::pending().await,
            }
        };
        tokio::select! {
            () = waiter.changed() => {}
            // An error says that the group is gone: the next round joins it anew.
            _ = rebalances.wait_for(|begun| *begun > *seen) => {}
            () = topics_changed => {}
        }
    }

    async fn commit_delivered(&mut self) -> Result<()> {
        let member = MemberRef {
            generation: self.membership.generation,
            member_id: &self.membership.member_id,
            instance_id: None,
        };
        let valid = self.broker.groups().validate_commit(self.now(), &self.group, &member);
        valid.map_err(|error| group_error(&error))?;
        self.broker.commit_all(&self.group, self.delivered.clone()).await?;
        self.delivered.clear();
        Ok(())
    }

    fn leave_group(&self) {
        if self.membership.member_id.is_empty() {
            return;
        }
        let leaving = Leaving {
            member_id: self.membership.member_id.clone(),
            instance_id: None,
            reason: None,
        };
        // A member that the group has dropped already has nothing to leave.
        drop(self.broker.groups().leave(self.now(), &self.group, &[leaving]));
    }

    fn now(&self) -> Duration {
        self.broker.clock().monotonic()
    }
}

impl GroupMember for Member {
    fn next(&mut self) -> BoxFuture<'_, Result<Vec<StoredRecord>>> {
        Box::pin(self.next_records())
    }

    fn commit(&mut self) -> BoxFuture<'_, Result<()>> {
        Box::pin(self.commit_delivered())
    }

    fn assignment(&self) -> Vec<TopicPartition> {
        self.positions.keys().cloned().collect()
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, Result<()>> {
        drop(self);
        Box::pin(std::future::ready(Ok(())))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave_group();
    }
}

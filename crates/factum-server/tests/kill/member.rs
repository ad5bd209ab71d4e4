//! Members of one consumer group: they share the partitions, read on from what is committed, and
//! commit what they have read. A new life knows no members: they join again.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use factum_wire::messages::*;
use factum_wire::{ErrorCode, Request, Str};

use super::reading::{fetch_many, writer_of};
use super::world::{Actor, Life, Tally, World};
use crate::common::client::{Client, newest};
use crate::common::work::*;

/// Most partitions that a member reads at once.
const READ_AT_ONCE: usize = 20;
/// How long a fetch waits for records, in milliseconds.
const WAIT_MS: i32 = 50;
const PATIENCE_MS: i32 = 20_000;

/// What members of the group have committed: by partition, the newest offset that was
/// acknowledged and the newest that was sent.
#[derive(Default)]
pub struct Committed(Mutex<BTreeMap<i32, (i64, i64)>>);

impl Committed {
    fn sent(&self, positions: &BTreeMap<i32, i64>) {
        let mut known = self.0.lock().unwrap();
        for (partition, position) in positions {
            let of = known.entry(*partition).or_default();
            of.1 = of.1.max(*position);
        }
    }

    fn acknowledged(&self, positions: &BTreeMap<i32, i64>) {
        let mut known = self.0.lock().unwrap();
        for (partition, position) in positions {
            let of = known.entry(*partition).or_default();
            of.0 = of.0.max(*position);
        }
    }

    /// What is found committed must be at least what was acknowledged.
    fn judge(&self, partition: i32, found: i64) {
        let known = self.0.lock().unwrap().get(&partition).copied().unwrap_or_default();
        let possible = known.0..=known.1;
        assert!(possible.contains(&found), "partition {partition}: {found} is not {possible:?}");
    }
}

/// A member of a consumer group.
pub struct Member {
    group: &'static str,
    topic: &'static str,
    partitions: i32,
    committed: Arc<Committed>,
    id: Str,
    generation: i32,
    commits: u64,
}

/// Why a member stops reading.
enum Stop {
    /// The group changes: join again.
    Rebalance,
    Drained,
}

impl Member {
    /// A member that reads a topic in which numbers are offsets.
    pub fn new(
        (group, topic): (&'static str, &'static str),
        partitions: i32,
        committed: &Arc<Committed>,
    ) -> Self {
        let committed = Arc::clone(committed);
        let id = Str::default();
        Self { group, topic, partitions, committed, id, generation: -1, commits: 0 }
    }

    /// Joins, and takes part in sharing the partitions; none if the group has changed meanwhile.
    fn join(&mut self, client: &mut Client) -> io::Result<Option<Vec<i32>>> {
        let joined = loop {
            let answer = call(client, &self.join_request())?;
            if answer.error_code == ErrorCode::MemberIdRequired.code() {
                self.id = name(&*answer.member_id);
            } else {
                ok("join", answer.error_code);
                break answer;
            }
        };
        self.generation = joined.generation_id;
        let synced = call(client, &self.sync_request(&joined))?;
        if self.must_join_again("sync", synced.error_code) {
            return Ok(None);
        }
        Ok(Some(assigned(synced.assignment)))
    }

    fn join_request(&self) -> JoinGroupRequest {
        JoinGroupRequest {
            group_id: name(self.group),
            session_timeout_ms: PATIENCE_MS,
            rebalance_timeout_ms: PATIENCE_MS,
            member_id: self.id.clone(),
            protocol_type: name("consumer"),
            protocols: vec![JoinGroupRequestProtocol {
                name: name("range"),
                metadata: subscription(self.topic),
            }],
            ..Default::default()
        }
    }

    fn sync_request(&self, joined: &JoinGroupResponse) -> SyncGroupRequest {
        let members = joined.members.len().max(1);
        let share = |first: usize| (0..self.partitions).skip(first).step_by(members);
        let assign = |(index, member): (usize, &JoinGroupResponseMember)| {
            let assignment = assignment(self.topic, &share(index).collect::<Vec<_>>());
            SyncGroupRequestAssignment { member_id: member.member_id.clone(), assignment }
        };
        SyncGroupRequest {
            group_id: name(self.group),
            generation_id: self.generation,
            member_id: self.id.clone(),
            protocol_type: Some(name("consumer")),
            protocol_name: Some(name("range")),
            assignments: joined.members.iter().enumerate().map(assign).collect(),
            ..Default::default()
        }
    }

    /// Whether an answer says that the group changes. Nothing else may be wrong.
    fn must_join_again(&mut self, what: &str, code: i16) -> bool {
        let changes = [ErrorCode::RebalanceInProgress, ErrorCode::IllegalGeneration];
        if !changes.map(|change| change.code()).contains(&code) {
            ok(what, code);
        }
        code != 0
    }

    /// Where the group has read to, which must be what was acknowledged to its members.
    fn positions(&self, client: &mut Client, of: Vec<i32>) -> io::Result<BTreeMap<i32, i64>> {
        let mut request = committed_request(self.group, self.topic, 0);
        let topics = request.groups[0].topics.as_mut().expect("one topic");
        topics[0].partition_indexes = of;
        let mut answer = call(client, &request)?;
        let group = answer.groups.remove(0);
        ok("offset fetch", group.error_code);
        let mut positions = BTreeMap::new();
        for partition in group.topics.into_iter().flat_map(|topic| topic.partitions) {
            let position = partition.committed_offset.max(0);
            self.committed.judge(partition.partition_index, position);
            positions.insert(partition.partition_index, position);
        }
        Ok(positions)
    }

    /// Reads and commits until the group changes or the world drains.
    fn consume(&mut self, world: &World, client: &mut Client, own: Vec<i32>) -> io::Result<Stop> {
        let mut positions = self.positions(client, own)?;
        let mut turn = 0;
        loop {
            if world.is_draining() {
                return Ok(Stop::Drained);
            }
            let read = self.read(client, &mut positions, turn)?;
            turn += READ_AT_ONCE;
            let changed = if read.is_empty() {
                let beat = HeartbeatRequest {
                    group_id: name(self.group),
                    generation_id: self.generation,
                    member_id: self.id.clone(),
                    ..Default::default()
                };
                let code = call(client, &beat)?.error_code;
                self.must_join_again("heartbeat", code)
            } else {
                self.commit(world, client, &read)?
            };
            if changed {
                return Ok(Stop::Rebalance);
            }
        }
    }

    /// Reads on in some of the partitions; how far it came in each that had something.
    fn read(
        &self,
        client: &mut Client,
        positions: &mut BTreeMap<i32, i64>,
        turn: usize,
    ) -> io::Result<BTreeMap<i32, i64>> {
        let turn = turn % positions.len().max(1);
        let some = positions.iter().cycle().skip(turn).take(READ_AT_ONCE.min(positions.len()));
        let asked: Vec<_> = some.map(|(partition, position)| (*partition, *position)).collect();
        let mut read = BTreeMap::new();
        for found in fetch_many(client, self.topic, &asked, WAIT_MS)? {
            let position = positions.get_mut(&found.partition).expect("it was asked for");
            for record in &found.records {
                let came = (record.offset.get(), writer_of(&record.record).1);
                let place = format!("{}-{}: (offset, number)", self.topic, found.partition);
                assert_eq!(came, (*position, *position), "{place}");
                *position += 1;
                read.insert(found.partition, *position);
            }
        }
        Ok(read)
    }

    /// Commits; whether the group has changed instead.
    fn commit(
        &mut self,
        world: &World,
        client: &mut Client,
        read: &BTreeMap<i32, i64>,
    ) -> io::Result<bool> {
        let partition = |(partition, position): (&i32, &i64)| OffsetCommitRequestPartition {
            partition_index: *partition,
            committed_offset: *position,
            ..Default::default()
        };
        let mut request = commit_request(self.group, self.topic, (0, 0), "");
        request.topics[0].partitions = read.iter().map(partition).collect();
        request.generation_id_or_member_epoch = self.generation;
        request.member_id = self.id.clone();
        self.committed.sent(read);
        let mut answer = call(client, &request)?;
        for partition in answer.topics.remove(0).partitions {
            if self.must_join_again("commit", partition.error_code) {
                return Ok(true);
            }
        }
        self.committed.acknowledged(read);
        self.commits += 1;
        world.tell();
        Ok(false)
    }

    fn leave(&self, client: &mut Client) -> io::Result<()> {
        let member = MemberIdentity { member_id: self.id.clone(), ..Default::default() };
        let group_id = name(self.group);
        let request = LeaveGroupRequest { group_id, members: vec![member], ..Default::default() };
        let code = call(client, &request)?.error_code;
        ok("leave", code);
        Ok(())
    }
}

impl Actor for Member {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        (self.id, self.generation) = (Str::default(), -1);
        loop {
            let Some(own) = self.join(client)? else { continue };
            if let Stop::Drained = self.consume(world, client, own)? {
                return self.leave(client);
            }
        }
    }

    fn check(&mut self, life: &Life) -> Tally {
        let client = &mut life.connect().unwrap();
        let all = (0..self.partitions).collect();
        let found = self.positions(client, all).expect("the server is not killed now");
        assert_eq!(found.len(), self.partitions as usize);
        let what = "commits of a member; the last ones count".to_owned();
        Tally { what, acknowledged: self.commits, found: self.commits }
    }
}

fn call<R: Request>(client: &mut Client, request: &R) -> io::Result<R::Response> {
    client.try_call(request, newest(R::KEY))
}

/// What a member tells the leader (ConsumerProtocolSubscription, version 0).
fn subscription(topic: &str) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    put_text(&mut bytes, topic);
    bytes.put_i32(-1);
    bytes.freeze()
}

/// What the leader tells a member (ConsumerProtocolAssignment, version 0).
fn assignment(topic: &str, partitions: &[i32]) -> Bytes {
    let mut bytes = BytesMut::new();
    bytes.put_i16(0);
    bytes.put_i32(1);
    put_text(&mut bytes, topic);
    bytes.put_i32(partitions.len() as i32);
    partitions.iter().for_each(|partition| bytes.put_i32(*partition));
    bytes.put_i32(-1);
    bytes.freeze()
}

fn put_text(bytes: &mut BytesMut, text: &str) {
    bytes.put_i16(text.len() as i16);
    bytes.put_slice(text.as_bytes());
}

/// The partitions of an assignment of one topic.
fn assigned(mut bytes: Bytes) -> Vec<i32> {
    // Version and number of topics.
    bytes.advance(6);
    let length = bytes.get_i16() as usize;
    bytes.advance(length);
    (0..bytes.get_i32()).map(|_| bytes.get_i32()).collect()
}

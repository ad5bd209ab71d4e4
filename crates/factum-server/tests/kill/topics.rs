//! Somebody who creates topics, writes to them, deletes them, and creates others of the same
//! names. A topic is there or not as was acknowledged, and has only its own records.

use std::collections::BTreeMap;
use std::io;

use factum_event::{Record, Timestamp};
use factum_wire::ApiKey;
use factum_wire::messages::*;
use uuid::Uuid;

use super::reading::{read_ranges, value_of, writer_of};
use super::world::{Actor, Life, Tally, World};
use crate::common::Dice;
use crate::common::client::{Client, newest};
use crate::common::work::*;

const PREFIX: &str = "passing-";
const NAMES: u64 = 8;
const MOST_PARTITIONS: u64 = 20;

/// A topic that is there.
#[derive(Debug)]
struct Known {
    id: Uuid,
    /// Which of all topics of this actor it is; the writer of its records.
    incarnation: u64,
    /// Records that are in its first partition.
    records: i64,
}

/// What was under way when the connection broke.
#[derive(Debug, Clone)]
enum Doubt {
    Creating(String),
    Deleting(String),
    Writing(String),
}

/// Creates, fills and deletes topics.
pub struct TopicKeeper {
    topics: BTreeMap<String, Known>,
    doubt: Option<Doubt>,
    incarnations: u64,
    changes: u64,
    dice: Dice,
}

impl TopicKeeper {
    pub fn new(dice: Dice) -> Self {
        Self { topics: BTreeMap::new(), doubt: None, incarnations: 0, changes: 0, dice }
    }

    /// Compares the topics, and what is in them, with what was acknowledged.
    fn verify(&mut self, client: &mut Client) -> io::Result<()> {
        let mut there = listed(client)?;
        // A kill in the middle of this leaves the doubt as it was.
        match self.doubt.clone() {
            Some(Doubt::Creating(name)) => {
                if let Some(id) = there.get(&name) {
                    self.incarnations += 1;
                    let incarnation = self.incarnations;
                    self.topics.insert(name, Known { id: *id, incarnation, records: 0 });
                }
            }
            Some(Doubt::Deleting(name)) if !there.contains_key(&name) => {
                self.topics.remove(&name);
            }
            Some(Doubt::Writing(name)) => {
                let end = list_end(client, &name)?;
                let records = &mut self.topics.get_mut(&name).expect("it was written to").records;
                assert!((*records..=*records + 1).contains(&end), "{name}: {end}, not {records}");
                *records = end;
            }
            Some(Doubt::Deleting(_)) | None => {}
        }
        self.doubt = None;
        for (name, known) in &self.topics {
            assert_eq!(there.remove(name), Some(known.id), "{name}: its id");
            let end = list_end(client, name)?;
            assert_eq!(end, known.records, "{name}: records");
            read_ranges(client, name, vec![(0, 0..end)], |_, record| {
                let expected = (known.incarnation, record.offset.get());
                assert_eq!(writer_of(&record.record), expected, "{name}");
            })?;
        }
        assert!(there.is_empty(), "topics that were deleted, or never created: {there:?}");
        Ok(())
    }

    /// One more change, which is in doubt until it is acknowledged.
    fn change(&mut self, client: &mut Client) -> io::Result<()> {
        let topic = format!("{PREFIX}{}", self.dice.below(NAMES));
        let written = self.dice.below(4) > 0;
        match self.topics.contains_key(&topic) {
            false => self.create(client, topic)?,
            true if written => self.write(client, topic)?,
            true => self.delete(client, topic)?,
        }
        self.doubt = None;
        self.changes += 1;
        Ok(())
    }

    fn create(&mut self, client: &mut Client, topic: String) -> io::Result<()> {
        let partitions = 1 + self.dice.below(MOST_PARTITIONS) as i32;
        let topics = vec![new_topic(&topic, partitions)];
        let request = CreateTopicsRequest { topics, ..Default::default() };
        self.doubt = Some(Doubt::Creating(topic.clone()));
        let answer = client.try_call(&request, newest(ApiKey::CreateTopics))?;
        ok(&format!("create {topic}"), answer.topics[0].error_code);
        self.incarnations += 1;
        let (id, incarnation) = (answer.topics[0].topic_id, self.incarnations);
        self.topics.insert(topic, Known { id, incarnation, records: 0 });
        Ok(())
    }

    fn write(&mut self, client: &mut Client, topic: String) -> io::Result<()> {
        let known = self.topics.get_mut(&topic).expect("it is there");
        let length = self.dice.below(3000) as usize;
        let value = value_of(known.incarnation, known.records, &self.dice.bytes(length));
        let record = Record {
            key: None,
            value: Some(value.into()),
            headers: Vec::new(),
            timestamp: Timestamp::from_millis(EPOCH),
        };
        self.doubt = Some(Doubt::Writing(topic.clone()));
        let request = produce_request(&topic, 0, Some(batch(&[record])));
        let answer = of_partition(client.try_call(&request, newest(ApiKey::Produce))?);
        ok(&format!("produce to {topic}"), answer.error_code);
        assert_eq!(answer.base_offset, known.records, "{topic}");
        known.records += 1;
        Ok(())
    }

    fn delete(&mut self, client: &mut Client, topic: String) -> io::Result<()> {
        let topics = vec![DeleteTopicState { name: Some(name(&topic)), ..Default::default() }];
        let request = DeleteTopicsRequest { topics, timeout_ms: 30_000, ..Default::default() };
        self.doubt = Some(Doubt::Deleting(topic.clone()));
        let answer = client.try_call(&request, newest(ApiKey::DeleteTopics))?;
        ok(&format!("delete {topic}"), answer.responses[0].error_code);
        self.topics.remove(&topic);
        Ok(())
    }
}

/// This actor's topics that are there, with their ids.
fn listed(client: &mut Client) -> io::Result<BTreeMap<String, Uuid>> {
    let request = MetadataRequest::default();
    let answer = client.try_call(&request, newest(ApiKey::Metadata))?;
    let topics = answer.topics.into_iter().filter_map(|topic| {
        let name = topic.name.as_deref()?.to_owned();
        name.starts_with(PREFIX).then_some((name, topic.topic_id))
    });
    Ok(topics.collect())
}

/// The end of a topic's first partition.
fn list_end(client: &mut Client, topic: &str) -> io::Result<i64> {
    let partitions = vec![ListOffsetsPartition { timestamp: -1, ..Default::default() }];
    let topics = vec![ListOffsetsTopic { name: name(topic), partitions }];
    let request = ListOffsetsRequest { replica_id: -1, topics, ..Default::default() };
    let answer = client.try_call(&request, newest(ApiKey::ListOffsets))?;
    let partition = &answer.topics[0].partitions[0];
    ok(&format!("list offsets of {topic}"), partition.error_code);
    Ok(partition.offset)
}

impl Actor for TopicKeeper {
    fn live(&mut self, world: &World, life: &Life) -> io::Result<()> {
        let client = &mut life.connect()?;
        self.verify(client)?;
        while !world.is_draining() {
            self.change(client)?;
            world.tell();
        }
        Ok(())
    }

    fn check(&mut self, life: &Life) -> Tally {
        self.verify(&mut life.connect().unwrap()).expect("the server is not killed now");
        let acknowledged = self.changes;
        let what = format!("changes of topics, {} topics at the end", self.topics.len());
        Tally { what, acknowledged, found: acknowledged }
    }
}

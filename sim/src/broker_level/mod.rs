//! The broker on its log: topics with retention and compaction, producers, readers and groups, on
//! a disk that has accidents.

mod answers;
mod changes;
mod clients;
mod commits;
mod life;
mod partition;
mod policy;
pub(crate) mod random;
mod sequences;
mod served;
mod topics;

use std::collections::{BTreeMap, BTreeSet};

use factum_broker::{Broker, BrokerMutant, BrokerOpenError, BrokerWorkers};
use factum_event::{Partition as PartitionNumber, TopicId};
use factum_log::{PartitionId, ReadError};

use crate::Violation;
use crate::machine::Machine;
use commits::Groups;
use life::Life;
use partition::{Asked, Look, Partition};
use served::Served;
use topics::{Existing, TopicModels};

/// The names that topics get, again and again.
const TOPICS: [&str; 4] = ["audits", "orders", "prices", "stocks"];

const GROUPS: [&str; 3] = ["billing", "search", "views"];

/// How often the process is started.
const LIVES: usize = 5;

/// Everything that is expected.
pub(crate) struct World {
    topics: TopicModels,
    partitions: BTreeMap<PartitionId, Partition>,
    groups: Groups,
    /// Ids that producers were given.
    producers: BTreeSet<i64>,
    cluster_id: Option<String>,
    mutant: BrokerMutant,
}

/// Runs a broker through several lives.
pub(crate) fn run(machine: &mut Machine, mutant: BrokerMutant) -> Result<(), Violation> {
    let mut world = World {
        topics: TopicModels::new(&TOPICS),
        partitions: BTreeMap::new(),
        groups: Groups::new(&GROUPS),
        producers: BTreeSet::new(),
        cluster_id: None,
        mutant,
    };
    for _ in 0..LIVES {
        let (broker, workers) = world.open(machine)?;
        Life::new(machine, &mut world, broker, workers).run()?;
    }
    world.open(machine).map(drop)
}

impl World {
    /// Opens the broker after whatever has happened to it, and checks everything in it.
    fn open(&mut self, machine: &mut Machine) -> Result<(Broker, BrokerWorkers), Violation> {
        if machine.random.one_in(4) {
            machine.delete_folds();
        }
        if machine.random.one_in(3) {
            // Accidents while it opens: it must open afterwards all the same.
            machine.trouble();
            drop(self.try_open(machine));
            machine.end();
        }
        machine.calm();
        if machine.random.one_in(2) {
            machine.mend();
        }
        if machine.random.one_in(4) {
            machine.verify_files()?;
        }
        let opened = match self.try_open(machine) {
            Err(_) if machine.is_damaged => {
                machine.mend();
                self.try_open(machine)
            }
            other => other,
        };
        let (broker, workers) = opened.map_err(|error| format!("it does not open: {error}"))?;
        machine.was_troubled = false;
        self.settle(machine, &broker)?;
        Ok((broker, workers))
    }

    fn try_open(&self, machine: &mut Machine) -> Result<(Broker, BrokerWorkers), BrokerOpenError> {
        let settings = random::broker_settings(machine);
        let (disk, clock) = (machine.disk(), machine.clock());
        let opened = Broker::open_mutant(disk, clock, settings, self.mutant);
        machine.totals.openings += 1;
        let found = opened.as_ref().map(|(_, _, recovery)| recovery).map_err(ToString::to_string);
        machine.history.note(format!("opening: {found:?}"));
        opened.map(|(broker, workers, _)| (broker, workers))
    }

    /// After opening: compares everything with what may and must be there.
    fn settle(&mut self, machine: &mut Machine, broker: &Broker) -> Result<(), Violation> {
        let cluster_id = self.cluster_id.get_or_insert_with(|| broker.cluster_id().to_owned());
        if cluster_id != broker.cluster_id() {
            return Err(format!("the cluster was {cluster_id}, and is {}", broker.cluster_id()));
        }
        self.settle_topics(broker)?;
        for (id, partition) in &mut self.partitions {
            let reopened = partition.reopened(broker.log().extent(*id));
            reopened.map_err(|violation| about(*id, &violation))?;
        }
        let ids: Vec<_> = self.partitions.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.audit(machine, broker, id))?;
        let known = |id: &PartitionId| broker.topic_by_id(id.topic).is_some();
        if let Some(unknown) = broker.log().partitions().into_iter().find(|id| !known(id)) {
            return Err(about(unknown, "it is there, though its topic is not"));
        }
        self.settle_groups(broker)
    }

    fn settle_topics(&mut self, broker: &Broker) -> Result<(), Violation> {
        for (name, named) in &mut self.topics.named {
            let found = broker.topic(name.as_str());
            named
                .check(found.as_ref())
                .map_err(|violation| format!("topic {name}: {violation}"))?;
            let was = named.now.take().map(|topic| topic.id);
            named.now = found.as_deref().map(Existing::from);
            (named.open, named.cuts) = (None, Vec::new());
            let is = named.now.as_ref().map(|topic| topic.id);
            self.topics.gone.extend(was.filter(|id| Some(*id) != is));
        }
        self.adopt_topics()
    }

    /// Expects the partitions of the topics that there are, and of no others.
    fn adopt_topics(&mut self) -> Result<(), Violation> {
        let named = self.topics.named.values();
        let topics: Vec<_> =
            named.filter_map(|named| Some((named.now.clone()?, named.cuts.clone()))).collect();
        if let Some((topic, _)) = topics.iter().find(|(t, _)| self.topics.gone.contains(&t.id)) {
            return Err(format!("topic {} is back, or another has its identity", topic.id));
        }
        self.partitions.retain(|id, _| topics.iter().any(|(topic, _)| topic.id == id.topic));
        for (topic, cuts) in &topics {
            for partition in (0..topic.partitions).filter_map(number) {
                let id = PartitionId { topic: topic.id, partition };
                self.partitions.entry(id).or_insert_with(|| {
                    let cuts = cuts.iter().filter(|(of, _)| *of == partition);
                    Partition::with_cuts(cuts.map(|(_, cut)| *cut).collect())
                });
            }
        }
        self.topics.gone.iter().for_each(|id| self.groups.forget(*id));
        Ok(())
    }

    fn settle_groups(&mut self, broker: &Broker) -> Result<(), Violation> {
        for name in self.groups.0.keys().cloned().collect::<Vec<_>>() {
            for topic in self.topics.named.keys().cloned().collect::<Vec<_>>() {
                for partition in (0..random::MAX_PARTITIONS).filter_map(number) {
                    let place = (topic.clone(), partition);
                    self.check_commit(broker, &name, &place)?;
                    let found = broker.committed(&name, &topic, partition);
                    if let Some(group) = self.groups.0.get_mut(&name) {
                        group.settle(place, found);
                    }
                }
            }
        }
        self.groups.0.values_mut().for_each(|group| group.open = None);
        Ok(())
    }

    /// Compares a committed offset with what was committed.
    fn check_commit(
        &self,
        broker: &Broker,
        name: &factum_event::GroupName,
        place: &commits::Place,
    ) -> Result<(), Violation> {
        let Some(group) = self.groups.0.get(name) else { return Ok(()) };
        let found = broker.committed(name, &place.0, place.1);
        let checked = group.check(place, found.as_ref(), |id| broker.topic_by_id(id).is_some());
        checked.map_err(|violation| format!("group {name}: {violation}"))
    }

    /// Reads a partition from its start to its end.
    fn audit(
        &mut self,
        machine: &mut Machine,
        broker: &Broker,
        id: PartitionId,
    ) -> Result<(), Violation> {
        let Some((_, named)) = self.topics.by_id(id.topic) else { return Ok(()) };
        let policy = named.policy.clone();
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        let audited = read_all(machine, broker, id, partition, &policy);
        audited.map_err(|violation| about(id, &violation))
    }

    /// Whether a topic is to be deleted, or may have been.
    fn is_leaving(&self, id: TopicId) -> bool {
        let named = self.topics.by_id(id).map(|(_, named)| named);
        named.is_none_or(|named| matches!(named.open, Some(topics::Change::Delete)))
    }
}

fn read_all(
    machine: &mut Machine,
    broker: &Broker,
    id: PartitionId,
    partition: &mut Partition,
    policy: &policy::Policy,
) -> Result<(), Violation> {
    let at = machine.totals.operations;
    let look = Look { policy, now: machine.now(), at };
    let asked = Asked { extent: broker.log().extent(id), at };
    let (mut served, mut is_whole) = (BTreeSet::new(), true);
    let mut next = partition.start;
    while next < partition.end {
        let read = match broker.log().read_blocking(id, next, machine.below(20_000)) {
            Ok(read) => read,
            Err(ReadError::Damaged { last, .. }) if machine.is_damaged => {
                (next, is_whole) = (last.next(), false);
                continue;
            }
            Err(_) if machine.was_troubled || machine.is_dead() => return Ok(()),
            Err(error) => return Err(format!("{next} cannot be read: {error}")),
        };
        machine.totals.compared += read.len() as u64;
        served.extend(partition.check_read(asked, next, &Served::stored(&read)?, &look)?);
        let Some(last) = read.last() else { break };
        next = last.entry.next_offset();
    }
    if is_whole { partition.check_keys(&served) } else { Ok(()) }
}

pub(crate) fn about(id: PartitionId, violation: &str) -> Violation {
    let PartitionId { topic, partition } = id;
    format!("topic {topic}, partition {partition}: {violation}")
}

fn number(partition: u32) -> Option<PartitionNumber> {
    PartitionNumber::new(i32::try_from(partition).ok()?)
}

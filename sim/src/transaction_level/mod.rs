//! Transactions: clients that write to several partitions and commit offsets, all or nothing, on a
//! disk that has accidents.
//!
//! The model does not say how a transaction ends where several things may end it. The first who
//! sees an end decides: everybody else, in every partition and for every offset, must see the same
//! from then on, crashes or not.

mod answers;
mod clients;
mod life;
mod offsets;
mod partition;
mod readers;
mod transactions;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use factum_broker::{
    Broker, BrokerMutant, BrokerOpenError, BrokerWorker, BrokerWorkers, CommitKey, Producer,
};
use factum_event::batch::BatchRecord;
use factum_event::log::{NewTopic, ReadLimit};
use factum_event::{Offset, Timestamp, TopicName};
use factum_log::{PartitionId, Worker};

use crate::Violation;
use crate::broker_level::random;
use crate::machine::Machine;
use clients::{Client, name};
use life::Life;
use offsets::Offsets;
use partition::{Partition, Policy};
use readers::{Shown, fetch, read};
use transactions::Transaction;

const TOPICS: [&str; 3] = ["orders", "prices", "stocks"];
const GROUPS: [&str; 2] = ["billing", "search"];
const IDS: [&str; 3] = ["bank-1", "bank-2", "shop"];

/// How often the process is started.
const LIVES: usize = 5;

/// An id that was not used for this long may be forgotten: seven days, in milliseconds.
const IDLE_MS: i64 = 7 * 86_400_000;

/// Turns of workers after which something asked for while opening must be there.
const MAX_TURNS: usize = 1000;

/// The longest that a transaction may take.
const LONGEST: Duration = Duration::from_secs(601);

/// Everything that is expected.
pub(crate) struct World {
    partitions: BTreeMap<PartitionId, Partition>,
    transactions: Vec<Transaction>,
    clients: Vec<Client>,
    offsets: Offsets,
    /// Ids for which somebody initializes a producer.
    initializing: BTreeSet<usize>,
    /// The newest producer of each id.
    latest: [Option<Producer>; IDS.len()],
    /// Whether each id was not used for so long that it may be forgotten.
    may_be_forgotten: [bool; IDS.len()],
    /// A producer without transactions.
    plain: Option<i64>,
    is_plain_busy: bool,
    mutant: BrokerMutant,
}

/// Runs a broker through several lives.
pub(crate) fn run(machine: &mut Machine, mutant: BrokerMutant) -> Result<(), Violation> {
    let mut world = World {
        partitions: BTreeMap::new(),
        transactions: Vec::new(),
        clients: Vec::new(),
        offsets: Offsets::default(),
        initializing: BTreeSet::new(),
        latest: [None; IDS.len()],
        may_be_forgotten: [false; IDS.len()],
        plain: None,
        is_plain_busy: false,
        mutant,
    };
    for _ in 0..LIVES {
        let (broker, workers) = world.open(machine)?;
        Life::new(machine, &mut world, broker, workers).run()?;
    }
    let (broker, workers) = world.open(machine)?;
    Life::new(machine, &mut world, broker, workers).run_last()
}

impl World {
    /// Opens the broker after whatever has happened to it, and checks everything in it.
    fn open(&mut self, machine: &mut Machine) -> Result<(Broker, BrokerWorkers), Violation> {
        if machine.random.one_in(3) {
            machine.delete_folds();
        }
        if machine.random.one_in(3) {
            // Accidents while it opens: it must open afterwards all the same.
            machine.trouble();
            drop(self.try_open(machine));
            machine.end();
        }
        machine.calm();
        if machine.random.one_in(4) {
            machine.verify_files()?;
        }
        let opened = self.try_open(machine);
        let (broker, mut workers) = opened.map_err(|error| format!("it does not open: {error}"))?;
        machine.was_troubled = false;
        if self.partitions.is_empty() {
            self.create(machine, &broker, &mut workers)?;
        }
        self.settle(machine, &broker, &mut workers)?;
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

    /// Makes topics, of which one is kept, one compacted, and one has random settings, and a
    /// producer.
    fn create(
        &mut self,
        machine: &mut Machine,
        broker: &Broker,
        workers: &mut BrokerWorkers,
    ) -> Result<(), Violation> {
        let random = random::configs(machine);
        let short = ["1000", "60000"];
        let compact = [
            ("cleanup.policy", "compact"),
            ("segment.bytes", machine.one_of(&["14", "2000"])),
            ("segment.ms", "1000"),
            ("min.cleanable.dirty.ratio", "0"),
            ("delete.retention.ms", machine.one_of(&short)),
        ];
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let kept = [own(("retention.ms", "-1"))].into();
        let configs = [kept, compact.map(own).into(), random];
        for (name, configs) in TOPICS.into_iter().zip(configs) {
            let name = TopicName::new(name).map_err(|error| error.to_string())?;
            let partitions = Some(u32::try_from(machine.below(2) + 1).unwrap_or(1));
            let new = NewTopic { name, partitions, configs };
            let created = wait(workers, broker.create_topic("simulation", new, false))?;
            let topic = created.map_err(|error| error.to_string())?;
            let settings = &topic.settings;
            let delete_retention_ms = i64::try_from(settings.delete_retention_ms);
            let policy = Policy {
                compacts: settings.cleanup.compact,
                retains: settings.cleanup.delete && topic.name.as_str() != TOPICS[0],
                delete_retention_ms: delete_retention_ms.unwrap_or(i64::MAX),
            };
            for id in topic.partition_numbers().filter_map(|number| topic.partition_id(number)) {
                self.partitions.insert(id, Partition::new(topic.name.clone(), policy));
            }
        }
        let producer = wait(workers, broker.new_producer_id())?;
        self.plain = Some(producer.map_err(|error| error.to_string())?);
        Ok(())
    }

    /// After opening: compares everything with what may and must be there.
    fn settle(
        &mut self,
        machine: &mut Machine,
        broker: &Broker,
        workers: &mut BrokerWorkers,
    ) -> Result<(), Violation> {
        for (id, partition) in &mut self.partitions {
            let reopened = partition.reopened(broker.log().extent(*id));
            reopened.map_err(|violation| about(*id, &violation))?;
        }
        self.settle_transactions(broker)?;
        self.audit_all(machine, broker, workers)?;
        let operation = machine.totals.operations;
        for (number, transaction) in self.transactions.iter().enumerate() {
            if transaction.outcome == Some(factum_event::batch::Outcome::Commit) {
                for (key, value) in &transaction.offsets {
                    self.offsets.ask(key, *value, Some(number), 0);
                    self.offsets.done(key, *value, operation);
                }
            }
        }
        for key in self.offsets.keys() {
            self.check_offset(broker, &key)?;
            self.offsets.settle(&key, committed(broker, &key), operation);
        }
        self.settle_clients(broker);
        Ok(())
    }

    fn settle_transactions(&mut self, broker: &Broker) -> Result<(), Violation> {
        for (number, transaction) in self.transactions.iter_mut().enumerate() {
            if transaction.is_over {
                continue;
            }
            let of = |partition: &Partition| {
                partition.sent.values().any(|sent| sent.transaction == Some(number))
            };
            let is_durable = !transaction.offsets.is_empty() || self.partitions.values().any(of);
            let state = broker.transaction(&name(transaction.id));
            if !transaction.reopened(state.as_ref(), is_durable)? {
                continue;
            }
            for key in transaction.offsets.keys() {
                if !broker.is_unstable(&key.group, &key.topic, key.partition) {
                    return Err(format!("{key:?} is stable, but {transaction:?}"));
                }
            }
        }
        Ok(())
    }

    fn settle_clients(&mut self, broker: &Broker) {
        self.initializing.clear();
        self.is_plain_busy = false;
        for client in &mut self.clients {
            let was_busy = std::mem::take(&mut client.is_busy);
            client.must_abort |= was_busy && client.ending.is_none();
            let partitions = &self.partitions;
            client.last.take_if(|(id, batch)| {
                partitions.get(id).is_none_or(|partition| !partition.has(batch.header()))
            });
            let Some(producer) = client.producer else { continue };
            let number = client.transaction;
            let is_lost = number.is_some_and(|number| {
                let transaction = &self.transactions[number];
                transaction.is_over && (transaction.outcome.is_none() || client.ending.is_none())
            });
            let state = broker.transaction(&name(client.id));
            if is_lost && state.is_some_and(|state| state.producer == producer) {
                client.rest();
            }
            client.sequences.clear();
            for (id, partition) in &self.partitions {
                let next = partition.next_sequence((producer.id, producer.epoch));
                client.sequences.insert(*id, next);
            }
        }
    }

    /// Time passes: what takes long may be aborted, and what is not used forgotten.
    fn grow_old(&mut self, broker: &Broker, now: Timestamp) {
        self.transactions.iter_mut().for_each(|one| one.grows_old(now));
        for (id, may_be_forgotten) in self.may_be_forgotten.iter_mut().enumerate() {
            let changed_at = broker.transaction(&name(id)).map(|state| state.changed_at);
            let is_idle = |at: Timestamp| now.as_millis() - at.as_millis() > IDLE_MS;
            *may_be_forgotten |= changed_at.is_some_and(is_idle);
        }
    }

    /// Whether what producers wrote to a partition may be forgotten.
    fn was_cut_off(&self, id: PartitionId) -> bool {
        self.partitions.get(&id).is_some_and(Partition::was_cut_off)
    }

    fn look_at(&mut self, broker: &Broker, id: PartitionId) -> Result<(), Violation> {
        let Some(partition) = self.partitions.get_mut(&id) else { return Ok(()) };
        let stable = broker.last_stable_offset(id);
        let checked = partition.bounds(broker.log().extent(id), stable, &self.transactions);
        checked.map_err(|violation| about(id, &violation))
    }

    fn audit_all(
        &mut self,
        machine: &mut Machine,
        broker: &Broker,
        workers: &mut BrokerWorkers,
    ) -> Result<(), Violation> {
        let ids: Vec<_> = self.partitions.keys().copied().collect();
        ids.into_iter().try_for_each(|id| self.audit(machine, broker, workers, id))
    }

    /// Reads what is committed of a partition in both ways, and compares.
    fn audit(
        &mut self,
        machine: &mut Machine,
        broker: &Broker,
        workers: &mut BrokerWorkers,
        id: PartitionId,
    ) -> Result<(), Violation> {
        self.look_at(broker, id)?;
        let about = |violation: Violation| about(id, &violation);
        let Some(partition) = self.partitions.get(&id) else { return Ok(()) };
        let range = (partition.start, broker.last_stable_offset(id));
        let mut clients = Vec::new();
        let mut from = range.0;
        while from < range.1 {
            let fetched = wait(workers, fetch(broker, id, from, machine.below(20_000)))?;
            let Ok(fetched) = fetched else { return unreadable(machine).map_err(about) };
            from = take(&mut clients, fetched.show().map_err(about)?, from).map_err(about)?;
        }
        let mut applications = Vec::new();
        let mut from = range.0;
        while from < range.1 {
            let bytes = u32::try_from(machine.below(20_000)).unwrap_or(0);
            let limit = ReadLimit { bytes, records: machine.one_of(&[1, 3, 1000]) };
            let shown = wait(workers, read(broker, &partition.topic, id, from, limit))?;
            let Ok(shown) = shown else { return unreadable(machine).map_err(about) };
            from = take(&mut applications, shown, from).map_err(about)?;
        }
        if clients != applications {
            let differs = |(a, b): &(&BatchRecord, &BatchRecord)| a != b;
            let differ = clients.iter().zip(&applications).find(differs);
            let first = differ.map(|(a, b)| (a.offset.get(), b.offset.get()));
            let (clients, applications) = (clients.len(), applications.len());
            return Err(about(format!(
                "clients are shown {clients} records, applications {applications}: {first:?}"
            )));
        }
        machine.totals.compared += 1;
        partition.check(range, &clients, &mut self.transactions).map_err(about)
    }

    /// Compares a committed offset with what was committed.
    fn check_offset(&mut self, broker: &Broker, key: &CommitKey) -> Result<(), Violation> {
        self.offsets.check(key, committed(broker, key), &mut self.transactions)
    }

    /// Ends every transaction: by a new producer, or by its timeout.
    fn end_all(
        &mut self,
        machine: &mut Machine,
        broker: &Broker,
        workers: &mut BrokerWorkers,
    ) -> Result<(), Violation> {
        if machine.random.one_in(2) {
            machine.clock.advance(LONGEST);
            self.grow_old(broker, machine.now());
            workers.step(BrokerWorker::Upkeep, &mut |_, _| ControlFlow::Continue(()));
            if broker.transaction_metrics().ongoing > 0 {
                return Err("a transaction is under way after its timeout".into());
            }
        }
        for id in 0..IDS.len() {
            let theirs = self.transactions.iter_mut().filter(|one| one.id == id);
            theirs.for_each(|one| one.may_abort = true);
            let name = name(id);
            wait(workers, broker.init_transactions(&name, LONGEST, None))?
                .map_err(|error| error.to_string())?;
        }
        self.transactions.iter_mut().for_each(|one| one.is_over = true);
        Ok(())
    }
}

/// Takes what was shown after the rest; where to read on.
fn take(all: &mut Vec<BatchRecord>, shown: Shown, from: Offset) -> Result<Offset, Violation> {
    all.extend(shown.records);
    if shown.next > from { Ok(shown.next) } else { Err(format!("a read stops at {from}")) }
}

fn unreadable(machine: &Machine) -> Result<(), Violation> {
    if machine.was_troubled || machine.is_dead() { Ok(()) } else { Err("not readable".into()) }
}

fn committed(broker: &Broker, key: &CommitKey) -> Option<i64> {
    let found = broker.committed(&key.group, &key.topic, key.partition);
    found.map(|committed| committed.offset.get())
}

/// Lets the log work until something is done.
fn wait<T>(workers: &mut BrokerWorkers, future: impl Future<Output = T>) -> Result<T, Violation> {
    let mut future = pin!(future);
    for _ in 0..MAX_TURNS {
        if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Ok(done);
        }
        if !workers.log().step(Worker::Reader) {
            workers.log().step(Worker::Writer);
            workers.log().step(Worker::Housekeeper);
        }
    }
    Err("there is no answer, though the log works".into())
}

pub(crate) fn about(id: PartitionId, violation: &str) -> Violation {
    let PartitionId { topic, partition } = id;
    format!("topic {topic}, partition {partition}: {violation}")
}

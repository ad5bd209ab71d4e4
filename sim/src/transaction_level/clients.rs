//! Clients that write in transactions, and what they ask for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use factum_broker::{
    Commit, CommitKey, Producer, TransactionPartition, TransactionProtocol, TransactionalId,
};
use factum_event::batch::{Batch, Outcome, ProducerState};
use factum_event::{GroupName, Offset};
use factum_log::PartitionId;

use super::answers::{Answer, Asked};
use super::life::Life;
use super::transactions::{Number, Transaction};
use super::{GROUPS, IDS};
use crate::Violation;
use crate::broker_level::random;

/// A producer of an application.
pub(crate) struct Client {
    /// The number of its transactional id.
    pub(crate) id: usize,
    pub(crate) protocol: TransactionProtocol,
    pub(crate) timeout: Duration,
    /// Who it is; none where it must ask.
    pub(crate) producer: Option<Producer>,
    pub(crate) transaction: Option<Number>,
    /// Something was done in its transaction.
    pub(crate) has_begun: bool,
    /// It does not know what has become of something that it did in its transaction.
    pub(crate) must_abort: bool,
    pub(crate) added: BTreeSet<PartitionId>,
    pub(crate) groups: BTreeSet<GroupName>,
    pub(crate) sequences: BTreeMap<PartitionId, i32>,
    /// The last batch of its transaction.
    pub(crate) last: Option<(PartitionId, Batch)>,
    /// How it wants its transaction to end; asked again until there is an answer.
    pub(crate) ending: Option<Outcome>,
    /// Who has ended the last transaction, and how.
    pub(crate) last_end: Option<(Producer, Outcome, Number)>,
    /// It has asked who it is, and asks again until there is an answer.
    pub(crate) is_initializing: bool,
    /// It waits for an answer.
    pub(crate) is_busy: bool,
    /// Another instance wants its id.
    pub(crate) is_challenged: bool,
    /// Another instance has its id.
    pub(crate) is_replaced: bool,
    /// It has heard of that, and does nothing more.
    pub(crate) is_gone: bool,
}

impl Client {
    pub(crate) fn new(id: usize, protocol: TransactionProtocol, timeout: Duration) -> Self {
        Self {
            id,
            protocol,
            timeout,
            producer: None,
            transaction: None,
            has_begun: false,
            must_abort: false,
            added: BTreeSet::new(),
            groups: BTreeSet::new(),
            sequences: BTreeMap::new(),
            last: None,
            ending: None,
            last_end: None,
            is_initializing: false,
            is_busy: false,
            is_challenged: false,
            is_replaced: false,
            is_gone: false,
        }
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.protocol == TransactionProtocol::V2
    }

    /// It has no transaction.
    pub(crate) fn rest(&mut self) {
        (self.transaction, self.ending, self.last) = (None, None, None);
        (self.has_begun, self.must_abort) = (false, false);
        self.added.clear();
        self.groups.clear();
    }

    /// It must ask again who it is.
    pub(crate) fn forget(&mut self) {
        self.rest();
        (self.producer, self.last_end, self.is_initializing) = (None, None, false);
        self.sequences.clear();
    }
}

pub(super) fn name(id: usize) -> TransactionalId {
    IDS[id].parse().expect("a constant that is a transactional id")
}

impl Life<'_> {
    /// One of the clients goes on.
    pub(super) fn step_client(&mut self) -> Result<(), Violation> {
        let clients = self.world.clients.iter().enumerate();
        let free = clients.filter(|(_, client)| !client.is_busy && !client.is_gone);
        let free: Vec<usize> = free.map(|(at, _)| at).collect();
        if free.is_empty() {
            return Ok(());
        }
        let at = self.machine.one_of(&free);
        let client = &self.world.clients[at];
        match (client.producer, client.transaction) {
            (None, _) => self.initialize(at),
            (Some(_), _) if client.is_initializing => self.initialize(at),
            (Some(_), _) if client.ending.is_some() => self.end(at),
            (Some(_), None) if client.last_end.is_some() && self.machine.random.one_in(8) => {
                self.end_again(at)
            }
            (Some(_), None) if self.machine.random.one_in(20) => self.initialize(at),
            (Some(producer), None) => {
                self.begin(at, producer);
                self.go_on(at, producer)
            }
            (Some(producer), Some(_)) => self.go_on(at, producer),
        }
    }

    fn begin(&mut self, at: usize, producer: Producer) {
        let client = &mut self.world.clients[at];
        let mut transaction = Transaction::new(
            client.id,
            (producer, client.protocol),
            (self.machine.now(), client.timeout),
        );
        transaction.may_abort = client.is_challenged;
        client.transaction = Some(self.world.transactions.len());
        if client.is_v2() {
            client.sequences.clear();
        }
        self.world.transactions.push(transaction);
    }

    fn go_on(&mut self, at: usize, producer: Producer) -> Result<(), Violation> {
        let client = &self.world.clients[at];
        let may_end = client.has_begun || client.is_v2() || client.is_replaced;
        match self.machine.random.below(100) {
            0..62 => self.write(at, producer),
            62..72 => self.commit_offset(at, producer),
            72..78 => self.write_again(at),
            78..98 if may_end => {
                let commits = client.has_begun && !client.must_abort;
                let aborts = !commits || self.machine.random.one_in(3);
                let outcome = if aborts { Outcome::Abort } else { Outcome::Commit };
                self.world.clients[at].ending = Some(outcome);
                self.end(at)
            }
            _ => Ok(()),
        }
    }

    fn asked(&mut self, at: usize) -> Asked {
        let client = &mut self.world.clients[at];
        client.is_busy = true;
        let (was_replaced, transaction) = (client.is_replaced, client.transaction);
        Asked { client: at, was_replaced, transaction, is_extra: false }
    }

    /// A new instance of an application comes, while the old one may still be there.
    pub(super) fn take_over(&mut self) -> Result<(), Violation> {
        let id = self.machine.below(IDS.len());
        if self.world.clients.iter().filter(|client| !client.is_gone).count() > 2 * IDS.len() {
            return Ok(());
        }
        let protocol = self.machine.one_of(&[TransactionProtocol::V1, TransactionProtocol::V2]);
        let seconds = self.machine.one_of(&[5, 60, 600]);
        let at = self.world.clients.len();
        self.world.clients.push(Client::new(id, protocol, Duration::from_secs(seconds)));
        self.initialize(at)
    }

    fn initialize(&mut self, at: usize) -> Result<(), Violation> {
        let id = self.world.clients[at].id;
        if self.world.initializing.contains(&id) {
            return Ok(());
        }
        self.world.initializing.insert(id);
        let known = self.world.clients[at].producer;
        for transaction in self.world.transactions.iter_mut().filter(|one| one.id == id) {
            transaction.ask(Outcome::Abort);
        }
        for (other, client) in self.world.clients.iter_mut().enumerate() {
            client.is_challenged |= client.id == id && other != at;
        }
        if known.is_none() {
            // It comes after all who are there.
            let client = &mut self.world.clients[at];
            (client.is_challenged, client.is_replaced) = (false, false);
        }
        self.world.clients[at].is_initializing = true;
        let asked = self.asked(at);
        let (broker, timeout) = (self.broker.clone(), self.world.clients[at].timeout);
        self.start(async move {
            let result = broker.init_transactions(&name(id), timeout, known).await;
            Answer::Initialized { asked, known, result }
        })
    }

    fn write(&mut self, at: usize, producer: Producer) -> Result<(), Violation> {
        let Some((id, topic)) = self.target() else { return Ok(()) };
        let client = &self.world.clients[at];
        if !client.is_v2() && !client.added.contains(&id) {
            return self.add_partition(at, producer, id);
        }
        let base_sequence = client.sequences.get(&id).copied().unwrap_or(0);
        let state = ProducerState { id: producer.id, epoch: producer.epoch, base_sequence };
        let batch = random::transactional(self.machine, state);
        self.send(at, (id, topic), batch)
    }

    /// The last batch again, as where the answer was lost.
    fn write_again(&mut self, at: usize) -> Result<(), Violation> {
        let Some((id, batch)) = self.world.clients[at].last.clone() else { return Ok(()) };
        let Some(topic) = self.broker.topic_by_id(id.topic) else { return Ok(()) };
        self.send(at, (id, topic), batch)
    }

    fn send(
        &mut self,
        at: usize,
        (id, topic): (PartitionId, std::sync::Arc<factum_broker::Topic>),
        batch: Batch,
    ) -> Result<(), Violation> {
        let asked = self.asked(at);
        let (of, protocol) = (name(self.world.clients[at].id), self.world.clients[at].protocol);
        let broker = self.broker.clone();
        self.start(async move {
            let sent = batch.clone();
            let by = (&of, protocol);
            let result = broker.enqueue_in_transaction(by, &topic, id.partition, sent).await;
            Answer::Queued { asked: Some(asked), id, batch, result }
        })
    }

    fn add_partition(
        &mut self,
        at: usize,
        producer: Producer,
        id: PartitionId,
    ) -> Result<(), Violation> {
        let asked = self.asked(at);
        let (of, broker) = (name(self.world.clients[at].id), self.broker.clone());
        let place = TransactionPartition { topic: id.topic, partition: id.partition };
        self.start(async move {
            let result = broker.add_partitions_to_transaction(&of, producer, [place]).await;
            Answer::Added { asked, what: Added::Partition(id), result }
        })
    }

    fn add_group(
        &mut self,
        at: usize,
        producer: Producer,
        group: GroupName,
    ) -> Result<(), Violation> {
        let asked = self.asked(at);
        let (of, broker) = (name(self.world.clients[at].id), self.broker.clone());
        self.start(async move {
            let result = broker.add_group_to_transaction(&of, producer, &group).await;
            Answer::Added { asked, what: Added::Group(group), result }
        })
    }

    /// An offset that somebody may commit.
    fn commit(&mut self) -> Option<(CommitKey, Commit, i64)> {
        let (id, topic) = self.target()?;
        let group = GroupName::new(self.machine.one_of(&GROUPS)).ok()?;
        let (topic, partition) = (topic.name.clone(), id.partition);
        let value = self.world.offsets.fresh();
        let (offset, metadata) = (Offset::new(value)?, String::new());
        let key = CommitKey { group, topic: topic.clone(), partition };
        Some((key, Commit { topic, partition, offset, leader_epoch: -1, metadata }, value))
    }

    fn commit_offset(&mut self, at: usize, producer: Producer) -> Result<(), Violation> {
        let Some((key, commit, value)) = self.commit() else { return Ok(()) };
        let client = &self.world.clients[at];
        if !client.is_v2() && !client.groups.contains(&key.group) {
            return self.add_group(at, producer, key.group);
        }
        let (of, protocol) = (name(client.id), client.protocol);
        let (asked, broker) = (self.asked(at), self.broker.clone());
        self.start(async move {
            let by = (&of, producer, protocol);
            let result = broker.commit_in_transaction(by, &key.group, vec![commit]).await;
            let result =
                result.and_then(|results| Ok(results.into_iter().collect::<Result<(), _>>()?));
            Answer::Offered { asked, key, value, result }
        })
    }

    /// A consumer commits by itself.
    pub(super) fn commit_plainly(&mut self) -> Result<(), Violation> {
        let Some((key, commit, value)) = self.commit() else { return Ok(()) };
        let (at, broker) = (self.machine.totals.operations, self.broker.clone());
        self.world.offsets.ask(&key, value, None, at);
        self.start(async move {
            let result = broker.commit_offsets(&key.group, vec![commit]).await;
            let result = result.and_then(|results| results.into_iter().collect());
            Answer::Committed { key, value, result }
        })
    }

    fn end(&mut self, at: usize) -> Result<(), Violation> {
        let client = &self.world.clients[at];
        let (Some(producer), Some(number), Some(outcome)) =
            (client.producer, client.transaction, client.ending)
        else {
            return Ok(());
        };
        let operation = self.machine.totals.operations;
        let transaction = &mut self.world.transactions[number];
        if !client.is_replaced && !transaction.is_over {
            transaction.ask(outcome);
            if outcome == Outcome::Commit {
                for (key, value) in &transaction.offsets {
                    self.world.offsets.ask(key, *value, Some(number), operation);
                }
            }
        }
        let asked = self.asked(at);
        self.ask_end(asked, (producer, outcome, number))?;
        // The answer does not come, and it asks again.
        if self.machine.random.one_in(6) && self.world.clients[at].is_busy {
            self.ask_end(Asked { is_extra: true, ..asked }, (producer, outcome, number))?;
        }
        Ok(())
    }

    /// As where the answer to the last one was lost.
    fn end_again(&mut self, at: usize) -> Result<(), Violation> {
        let Some(last) = self.world.clients[at].last_end else { return Ok(()) };
        let asked = Asked { transaction: Some(last.2), ..self.asked(at) };
        self.ask_end(asked, last)
    }

    fn ask_end(
        &mut self,
        asked: Asked,
        (producer, outcome, _): (Producer, Outcome, Number),
    ) -> Result<(), Violation> {
        let client = &self.world.clients[asked.client];
        let (of, protocol) = (name(client.id), client.protocol);
        let words = format!("client {} asks for {outcome:?} as {producer:?}", asked.client);
        self.machine.history.note(words);
        let broker = self.broker.clone();
        self.start(async move {
            let by = (&of, producer, protocol);
            let result = broker.end_transaction(by, outcome).await;
            Answer::Ended { asked, producer, outcome, result }
        })
    }

    /// A producer without transactions writes.
    pub(super) fn write_plainly(&mut self) -> Result<(), Violation> {
        let Some((id, topic)) = self.target() else { return Ok(()) };
        let is_idempotent = !self.world.is_plain_busy && self.machine.random.one_in(2);
        let partition = &self.world.partitions[&id];
        let state = self.world.plain.filter(|_| is_idempotent).map(|producer| {
            let base_sequence = partition.next_sequence((producer, 0));
            ProducerState { id: producer, epoch: 0, base_sequence }
        });
        self.world.is_plain_busy |= state.is_some();
        let batch = random::batch(self.machine, state, true);
        let broker = self.broker.clone();
        self.start(async move {
            let result = broker.enqueue(&topic, id.partition, batch.clone()).await;
            Answer::Queued { asked: None, id, batch, result }
        })
    }
}

/// What was added to a transaction.
#[derive(Debug)]
pub(crate) enum Added {
    Partition(PartitionId),
    Group(GroupName),
}

//! What clients get, compared with what they may get.

use factum_broker::{
    AdminError, CommitError, CommitKey, Pending, ProduceError, Produced, Producer, TransactionError,
};
use factum_event::batch::{Batch, Outcome};
use factum_event::log::LogError;
use factum_event::{Offset, Timestamp};
use factum_log::{PartitionId, ReadError};

use super::about;
use super::clients::{Added, name};
use super::life::Life;
use super::readers::{Fetched, Shown};
use super::transactions::Number;
use crate::Violation;

/// Who has asked, and what was so then.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Asked {
    pub(crate) client: usize,
    /// Another instance had its id.
    pub(crate) was_replaced: bool,
    pub(crate) transaction: Option<Number>,
    /// It waits for an answer to the same already.
    pub(crate) is_extra: bool,
}

/// What a client that waited has got.
pub(crate) enum Answer {
    Initialized {
        asked: Asked,
        known: Option<Producer>,
        result: Result<Producer, TransactionError>,
    },
    Added {
        asked: Asked,
        what: Added,
        result: Result<(), TransactionError>,
    },
    Queued {
        asked: Option<Asked>,
        id: PartitionId,
        batch: Batch,
        result: Result<Pending, ProduceError>,
    },
    Produced {
        id: PartitionId,
        base: Offset,
        produced: Result<Produced, ProduceError>,
    },
    /// An offset is part of a transaction.
    Offered {
        asked: Asked,
        key: CommitKey,
        value: i64,
        result: Result<(), TransactionError>,
    },
    Committed {
        key: CommitKey,
        value: i64,
        result: Result<(), CommitError>,
    },
    Ended {
        asked: Asked,
        producer: Producer,
        outcome: Outcome,
        result: Result<Producer, TransactionError>,
    },
    Fetched {
        id: PartitionId,
        asked_at: Timestamp,
        fetched: Result<Fetched, ReadError>,
    },
    Read {
        id: PartitionId,
        shown: Result<Shown, LogError>,
    },
    Cut(Result<Vec<Result<Offset, AdminError>>, AdminError>),
}

/// Why something was not done.
enum Trouble {
    /// The log takes nothing: nobody knows what was done.
    Log,
    /// The producer may not.
    Refused,
}

impl Life<'_> {
    pub(super) fn answered(&mut self, answer: Answer) -> Result<(), Violation> {
        match answer {
            Answer::Initialized { asked, known, result } => self.initialized(asked, known, result),
            Answer::Added { asked, what, result } => self.added(asked, what, result),
            Answer::Queued { asked, id, batch, result } => {
                let queued = self.queued(asked, id, &batch, result);
                queued.map_err(|violation| about(id, &violation))
            }
            Answer::Produced { id, base, produced } => {
                let checked = self.produced(id, base, produced);
                checked.map_err(|violation| about(id, &violation))
            }
            Answer::Offered { asked, key, value, result } => {
                self.offered(asked, key, value, result)
            }
            Answer::Committed { key, value, result } => self.committed(&key, value, result),
            Answer::Ended { asked, producer, outcome, result } => {
                self.ended(asked, producer, outcome, result)
            }
            Answer::Fetched { id, asked_at, fetched } => {
                let checked = self.fetched(id, asked_at, fetched);
                checked.map_err(|violation| about(id, &violation))
            }
            Answer::Read { id, shown } => {
                let checked = self.has_read(id, shown);
                checked.map_err(|violation| about(id, &violation))
            }
            Answer::Cut(result) => self.cut_off(result),
        }
    }

    /// Whether the disk may be to blame.
    fn may_fail(&self) -> bool {
        self.machine.was_troubled || self.machine.is_dead()
    }

    fn trouble(&self, error: &ProduceError) -> Result<Trouble, Violation> {
        match error {
            ProduceError::Log(_) if self.may_fail() => Ok(Trouble::Log),
            ProduceError::Transaction(_) => Ok(Trouble::Refused),
            error => Err(format!("a batch is refused: {error}")),
        }
    }

    fn trouble_of(&self, error: &TransactionError) -> Result<Trouble, Violation> {
        match error {
            TransactionError::Refused(_) => Ok(Trouble::Refused),
            TransactionError::Commit(CommitError::Produce(error)) => self.trouble(error),
            TransactionError::Produce(error) => self.trouble(error),
            TransactionError::ProducerId(error) => match error.as_ref() {
                AdminError::Produce(error) => self.trouble(error),
                AdminError::Fold(_) if self.may_fail() => Ok(Trouble::Log),
                error => Err(format!("no producer id: {error}")),
            },
            TransactionError::Fold(_) if self.may_fail() => Ok(Trouble::Log),
            error => Err(format!("a transaction is refused: {error}")),
        }
    }

    /// A client was refused because of who it is: somebody must have caused that.
    fn refused(&mut self, asked: Asked, why: &str) -> Result<(), Violation> {
        let client = &self.world.clients[asked.client];
        let transaction = asked.transaction.map(|number| &self.world.transactions[number]);
        let is_late = transaction.is_some_and(|transaction| transaction.may_abort);
        let is_forgotten = self.world.may_be_forgotten[client.id];
        if !client.is_challenged && !is_late && !is_forgotten {
            return Err(format!("client {} is refused: {why}", asked.client));
        }
        let client = &mut self.world.clients[asked.client];
        client.forget();
        client.is_gone = client.is_challenged;
        Ok(())
    }

    /// Something was done for a client.
    fn served(&mut self, asked: Asked) -> Result<(), Violation> {
        self.machine.totals.acknowledged += 1;
        if asked.was_replaced {
            return Err(format!("client {} was fenced off, and is served", asked.client));
        }
        Ok(())
    }

    fn initialized(
        &mut self,
        asked: Asked,
        known: Option<Producer>,
        result: Result<Producer, TransactionError>,
    ) -> Result<(), Violation> {
        let at = asked.client;
        self.note(at, &format!("is initialized, was {known:?}"), &result);
        let id = self.world.clients[at].id;
        self.world.clients[at].is_busy = false;
        self.world.initializing.remove(&id);
        let producer = match result {
            Ok(producer) => producer,
            Err(error) => {
                return match self.trouble_of(&error)? {
                    Trouble::Log => Ok(()),
                    Trouble::Refused if known.is_some() => self.refused(asked, &error.to_string()),
                    Trouble::Refused => Err(format!("client {at} is not initialized: {error}")),
                };
            }
        };
        self.served(asked)?;
        let latest = &mut self.world.latest[id];
        if latest.is_some_and(|latest| (producer.id, producer.epoch) <= (latest.id, latest.epoch)) {
            return Err(format!("client {at} is {producer:?}, after {latest:?}"));
        }
        *latest = Some(producer);
        // The answer may have been on its way for longer than the id is kept.
        self.world.may_be_forgotten[id] = self.broker.transaction(&name(id)).is_none();
        let theirs = self.world.transactions.iter_mut().filter(|one| one.id == id);
        for transaction in theirs.filter(|one| !one.is_over) {
            transaction.is_over = true;
            if !transaction.may_commit {
                transaction.decide(Outcome::Abort)?;
            }
        }
        for (other, client) in self.world.clients.iter_mut().enumerate() {
            client.is_replaced |= client.id == id && other != at;
        }
        let client = &mut self.world.clients[at];
        client.forget();
        client.producer = Some(producer);
        Ok(())
    }

    fn added(
        &mut self,
        asked: Asked,
        what: Added,
        result: Result<(), TransactionError>,
    ) -> Result<(), Violation> {
        self.note(asked.client, &format!("adds {what:?}"), &result);
        self.world.clients[asked.client].is_busy = false;
        if let Err(error) = result {
            return match self.trouble_of(&error)? {
                Trouble::Log => Ok(()),
                Trouble::Refused => self.refused(asked, &error.to_string()),
            };
        }
        self.served(asked)?;
        let client = &mut self.world.clients[asked.client];
        client.has_begun = true;
        match what {
            Added::Partition(id) => drop(client.added.insert(id)),
            Added::Group(group) => drop(client.groups.insert(group)),
        }
        Ok(())
    }

    fn queued(
        &mut self,
        asked: Option<Asked>,
        id: PartitionId,
        batch: &Batch,
        result: Result<Pending, ProduceError>,
    ) -> Result<(), Violation> {
        let (header, who) = (*batch.header(), asked.map(|asked| asked.client));
        let (base, is_new, words) = match &result {
            Ok(Pending::Appending { appending, .. }) => {
                (appending.base_offset(), true, "new".to_owned())
            }
            Ok(Pending::Duplicate { base_offset, .. }) => (*base_offset, false, "known".to_owned()),
            Err(error) => (Offset::ZERO, false, error.to_string()),
        };
        let by = (header.producer_id, header.producer_epoch, header.base_sequence);
        let records = header.record_count;
        self.machine.history.note(format!(
            "client {who:?}: {records} records of {by:?} to {}/{}: {words} at {base}",
            id.topic, id.partition
        ));
        match asked {
            Some(asked) => self.world.clients[asked.client].is_busy = false,
            None => self.world.is_plain_busy &= header.producer_id < 0,
        }
        let pending = match result {
            Ok(pending) => pending,
            Err(error) => return self.not_queued(asked, id, &error),
        };
        if let Some(asked) = asked {
            self.served(asked)?;
            self.wrote(asked, id, batch, is_new)?;
        }
        let partition = self.world.partitions.get_mut(&id).ok_or("there is no such partition")?;
        if is_new {
            partition.appended(base, batch, asked.and_then(|asked| asked.transaction))?;
        } else {
            partition.repeated(base, &header)?;
        }
        self.start(async move { Answer::Produced { id, base, produced: pending.durable().await } })
    }

    /// A batch is part of a client's transaction.
    fn wrote(
        &mut self,
        asked: Asked,
        id: PartitionId,
        batch: &Batch,
        is_new: bool,
    ) -> Result<(), Violation> {
        let transaction = asked.transaction.map(|number| &self.world.transactions[number]);
        if let Some(over) = transaction.filter(|one| one.is_over || one.outcome.is_some()) {
            return Err(format!("a batch is taken into {over:?}"));
        }
        let client = &mut self.world.clients[asked.client];
        if is_new {
            let header = batch.header();
            client.sequences.insert(id, header.base_sequence + header.record_count);
        }
        client.has_begun = true;
        client.last = Some((id, batch.clone()));
        Ok(())
    }

    fn not_queued(
        &mut self,
        asked: Option<Asked>,
        id: PartitionId,
        error: &ProduceError,
    ) -> Result<(), Violation> {
        if matches!(error, ProduceError::Sequence(_)) && self.world.was_cut_off(id) {
            if let Some(asked) = asked {
                self.world.clients[asked.client].must_abort = true;
            }
            return Ok(());
        }
        match (self.trouble(error)?, asked) {
            (Trouble::Log, _) => Ok(()),
            (Trouble::Refused, Some(asked)) => self.refused(asked, &error.to_string()),
            (Trouble::Refused, None) => Err(format!("a plain batch is refused: {error}")),
        }
    }

    fn produced(
        &mut self,
        id: PartitionId,
        base: Offset,
        produced: Result<Produced, ProduceError>,
    ) -> Result<(), Violation> {
        let words = produced.as_ref().map_err(ToString::to_string);
        self.machine.history.note(format!("{}/{} at {base}: {words:?}", id.topic, id.partition));
        match produced {
            Ok(_) => {}
            Err(ProduceError::Log(_)) if self.may_fail() => return Ok(()),
            Err(error) => return Err(format!("{base} is not durable: {error}")),
        }
        self.machine.totals.acknowledged += 1;
        let extent = self.broker.log().extent(id);
        let partition = self.world.partitions.get_mut(&id).ok_or("there is no such partition")?;
        partition.acknowledged(base, extent)
    }

    fn offered(
        &mut self,
        asked: Asked,
        key: CommitKey,
        value: i64,
        result: Result<(), TransactionError>,
    ) -> Result<(), Violation> {
        self.note(asked.client, &format!("offers {value} for {key:?}"), &result);
        self.world.clients[asked.client].is_busy = false;
        if let Err(error) = result {
            return match self.trouble_of(&error)? {
                Trouble::Log => {
                    self.world.clients[asked.client].must_abort = true;
                    Ok(())
                }
                Trouble::Refused => self.refused(asked, &error.to_string()),
            };
        }
        self.served(asked)?;
        self.world.clients[asked.client].has_begun = true;
        if let Some(number) = asked.transaction {
            let transaction = &mut self.world.transactions[number];
            let is_unstable = self.broker.is_unstable(&key.group, &key.topic, key.partition);
            if transaction.must_be_open() && !is_unstable {
                return Err(format!("{key:?} is stable, but {transaction:?}"));
            }
            transaction.offsets.insert(key, value);
        }
        Ok(())
    }

    fn committed(
        &mut self,
        key: &CommitKey,
        value: i64,
        result: Result<(), CommitError>,
    ) -> Result<(), Violation> {
        let words = result.as_ref().map_err(ToString::to_string);
        self.machine.history.note(format!("{value} is committed for {key:?}: {words:?}"));
        match result {
            Ok(()) => {
                self.machine.totals.acknowledged += 1;
                self.world.offsets.done(key, value, self.machine.totals.operations);
                self.check_offset(key)
            }
            Err(CommitError::Produce(ProduceError::Log(_)) | CommitError::Fold(_))
                if self.may_fail() =>
            {
                Ok(())
            }
            Err(error) => Err(format!("{value} is not committed for {key:?}: {error}")),
        }
    }

    fn ended(
        &mut self,
        asked: Asked,
        producer: Producer,
        outcome: Outcome,
        result: Result<Producer, TransactionError>,
    ) -> Result<(), Violation> {
        self.note(asked.client, &format!("ends with {outcome:?} as {producer:?}"), &result);
        let Some(number) = asked.transaction else { return Ok(()) };
        let client = &mut self.world.clients[asked.client];
        client.is_busy &= asked.is_extra;
        // Another answer to the same was here before.
        let is_first = client.transaction == Some(number);
        let is_latest = client.last_end.is_some_and(|(_, _, last)| last == number);
        let must_be_known = is_first || is_latest && client.transaction.is_none();
        let next = match result {
            Ok(next) => next,
            Err(error) => {
                return match self.trouble_of(&error)? {
                    Trouble::Log => Ok(()),
                    Trouble::Refused if must_be_known => self.refused(asked, &error.to_string()),
                    Trouble::Refused => Ok(()),
                };
            }
        };
        self.served(asked)?;
        self.is_over(number, outcome)?;
        let client = &mut self.world.clients[asked.client];
        let is_expected = match client.is_v2() {
            true => next != producer,
            false => next == producer,
        };
        if !is_expected {
            return Err(format!("client {} is {next:?}, after {producer:?}", asked.client));
        }
        if is_first {
            client.rest();
            client.producer = Some(next);
            client.last_end = Some((producer, outcome, number));
            let latest = &mut self.world.latest[client.id];
            *latest = latest.max_by_epoch(next);
        }
        Ok(())
    }

    /// A client knows how its transaction has ended.
    fn is_over(&mut self, number: Number, outcome: Outcome) -> Result<(), Violation> {
        let transaction = &mut self.world.transactions[number];
        transaction.decide(outcome)?;
        transaction.is_over = true;
        let offsets: Vec<_> = transaction.offsets.clone().into_iter().collect();
        for (key, value) in offsets {
            if outcome == Outcome::Commit {
                self.world.offsets.done(&key, value, self.machine.totals.operations);
            }
            self.check_offset(&key)?;
            self.check_stability(&key)?;
        }
        Ok(())
    }

    fn fetched(
        &mut self,
        id: PartitionId,
        asked_at: Timestamp,
        fetched: Result<Fetched, ReadError>,
    ) -> Result<(), Violation> {
        let fetched = match fetched {
            Ok(fetched) => fetched,
            Err(ReadError::OutOfRange { .. }) => return Ok(()),
            Err(_) if self.may_fail() => return Ok(()),
            Err(error) => return Err(error.to_string()),
        };
        // Who is too slow may miss that something was aborted, as with tombstones.
        let took_ms = self.machine.now().as_millis() - asked_at.as_millis();
        let policy = self.world.partitions[&id].policy;
        if policy.compacts && took_ms >= policy.delete_retention_ms {
            return Ok(());
        }
        let shown = fetched.show()?;
        self.shown(id, &shown)
    }

    fn has_read(
        &mut self,
        id: PartitionId,
        shown: Result<Shown, LogError>,
    ) -> Result<(), Violation> {
        match shown {
            Ok(shown) => self.shown(id, &shown),
            Err(LogError::OffsetOutOfRange { .. }) => Ok(()),
            Err(_) if self.may_fail() => Ok(()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Compares what a reader was shown.
    fn shown(&mut self, id: PartitionId, shown: &Shown) -> Result<(), Violation> {
        self.look_at(id)?;
        let offsets: Vec<_> = shown.records.iter().map(|found| found.offset.get()).collect();
        let (from, next) = (shown.from, shown.next);
        self.machine
            .history
            .note(format!("{}/{} shows {from} to {next}: {offsets:?}", id.topic, id.partition));
        self.machine.totals.compared += 1;
        let partition = self.world.partitions.get_mut(&id).ok_or("there is no such partition")?;
        partition.check((from, next), &shown.records, &mut self.world.transactions)
    }

    fn cut_off(
        &mut self,
        result: Result<Vec<Result<Offset, AdminError>>, AdminError>,
    ) -> Result<(), Violation> {
        self.machine.history.note(format!("records are deleted: {result:?}"));
        match result {
            Ok(_) | Err(AdminError::Compacted(_)) => Ok(()),
            Err(_) if self.may_fail() => Ok(()),
            Err(error) => Err(format!("records are not deleted: {error}")),
        }
    }

    /// What has come of something that a client has asked for.
    fn note<T: std::fmt::Debug>(
        &mut self,
        client: usize,
        what: &str,
        result: &Result<T, TransactionError>,
    ) {
        let words = result.as_ref().map_err(ToString::to_string);
        self.machine.history.note(format!("client {client} {what}: {words:?}"));
    }
}

/// The newest of the producers of an id.
pub(crate) trait Newest {
    fn max_by_epoch(self, other: Producer) -> Self;
}

impl Newest for Option<Producer> {
    fn max_by_epoch(self, other: Producer) -> Self {
        let key = |producer: &Producer| (producer.id, producer.epoch);
        Some(self.map_or(other, |known| if key(&known) > key(&other) { known } else { other }))
    }
}
